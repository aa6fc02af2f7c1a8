"""Fuzz what takes bytes from outside: `fuzz.py [--seconds N] [--seed N] [target ...]`.

Every target runs for the given time in a process of its own, as many at once as there are
processors. An input that breaks a target is kept in `artifacts`, with the command that runs it
again: `fuzz.py --replay FILE target`. Exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from associations import Associations
from fuzzing import HANG_S, REGRESSIONS, Target, bounded, mutated
from identifiers import Identifiers
from index_values import IndexValues
from messages import Messages
from multiparts import Multiparts
from objects import Objects
from pack_records import PackRecords
from searches import Searches

ARTIFACTS = Path(__file__).parent / "artifacts"
TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        *(Associations, Identifiers, IndexValues, Messages),
        *(Multiparts, Objects, PackRecords, Searches),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="time for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--replay", type=Path, help="run one input, by one target, here")
    parser.add_argument("--here", action="store_true", help="run one target in this process")
    parser.add_argument("target", nargs="*", help=f"all, or some of: {', '.join(TARGETS)}")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.target) - TARGETS.keys():
        parser.error(f"no target is named {', '.join(sorted(unknown))}")
    names = asked.target or list(TARGETS)
    if asked.replay:
        return replay(names[0], asked.replay)
    if asked.here:
        return fuzz(names[0], asked.seconds, asked.seed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda name: _apart(name, asked.seconds, asked.seed), names))
    return max(codes)


def regressions(name: str) -> list[Path]:
    """Return the inputs that broke a target once."""
    return sorted((REGRESSIONS / name).glob("*"))


def replay(name: str, path: Path) -> int:
    """Run one input; its error shows."""
    with tempfile.TemporaryDirectory() as folder:
        target = TARGETS[name](Path(folder))
        with bounded():
            target.check(path.read_bytes())
        target.close()
    print(f"{name}: {path.name} passes")
    return 0


def fuzz(name: str, seconds: float, seed: int) -> int:
    """Run a target for `seconds` on mutations of its seeds."""
    warnings.simplefilter("error")
    current = ARTIFACTS / f"{name}-{seed}-{os.getpid()}"
    ARTIFACTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, current.open("wb", buffering=0) as note:
        target = TARGETS[name](Path(folder))
        seeds = target.seeds() + [path.read_bytes() for path in regressions(name)]
        end = time.monotonic() + seconds
        for number, data in zip(count(1), mutated(seeds, seed), strict=False):
            # Noted before it is tried: no way to die leaves no trace.
            os.pwrite(note.fileno(), data, 0)
            os.ftruncate(note.fileno(), len(data))
            with bounded():
                target.check(data)
            if number > len(seeds) and time.monotonic() > end:
                break
        target.close()
    current.unlink()
    print(f"{name}: {number} inputs in {seconds:g} s passed (seed {seed})")
    return 0


def _apart(name: str, seconds: float, seed: int) -> int:
    """Fuzz in a process of its own; show what it says, and how to see a failure again."""
    command = [sys.executable, __file__, "--here", "--seed", str(seed), "--seconds", str(seconds)]
    process = subprocess.Popen(
        [*command, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds + 4 * HANG_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    if process.returncode:
        kept = ARTIFACTS / f"{name}-{seed}-{process.pid}"
        said += f"{name}: FAILED; again: {sys.executable} {__file__} --replay {kept} {name}\n"
    print(said, end="", flush=True)
    return 1 if process.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
