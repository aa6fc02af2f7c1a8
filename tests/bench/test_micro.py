"""The micro benchmarks still fit what they time."""

import subprocess
import sys


def test_each_micro_benchmark_runs_once(root):
    command = [sys.executable, "-m", "pytest", "bench/micro", "-q", "--benchmark-disable"]
    done = subprocess.run(
        [*command, "--override-ini=testpaths=bench/micro"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
