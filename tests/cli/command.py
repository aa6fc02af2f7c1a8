"""The command as users run it."""

import json
import subprocess
import sys
from pathlib import Path

VNA = Path(sys.executable).with_name("vna")


def vna(*arguments):
    """Run the command; return its exit code, its report, and what it says besides."""
    ended = subprocess.run(
        [VNA, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def report_of(*arguments):
    """Run the command with --json; return its exit code and its report."""
    code, out, said = vna(*arguments, "--json")
    assert len(out.splitlines()) == 1, said
    return code, json.loads(out)
