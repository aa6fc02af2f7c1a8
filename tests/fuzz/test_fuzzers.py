"""Every fuzzer passes its seeds, what broke it once, and a few mutations; the driver tells faults."""

import re
import subprocess
import sys
import threading
import warnings
from itertools import islice
from pathlib import Path

import fuzz
import pytest
from fuzzing import Fault, Target, bounded, mutated
from hypothesis import given, settings
from hypothesis import strategies as st

MUTATIONS = 60


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_seeds_regressions_and_mutations_pass(name: str, tmp_path: Path) -> None:
    target = fuzz.TARGETS[name](tmp_path)
    try:
        seeds = target.seeds() + [path.read_bytes() for path in fuzz.regressions(name)]
        for data in islice(mutated(seeds, seed=0), len(seeds) + MUTATIONS):
            target.check(data)
    finally:
        target.close()


def test_every_regression_has_a_target() -> None:
    assert {path.name for path in fuzz.REGRESSIONS.iterdir()} <= fuzz.TARGETS.keys()


class Brittle(Target):
    """Breaks on a length that is one too large."""

    name = "brittle"

    def seeds(self) -> list[bytes]:
        return [b"\4\0\0\0abcd"]

    def check(self, data: bytes) -> None:
        length = int.from_bytes(data[:4], "little")
        assert len(data) < 4 or length <= len(data) - 4 or length > 0xFFFF


def test_a_fault_is_found_kept_and_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "ARTIFACTS", tmp_path / "artifacts")
    monkeypatch.setitem(fuzz.TARGETS, "brittle", Brittle)
    with warnings.catch_warnings(), pytest.raises(AssertionError):
        fuzz.fuzz("brittle", seconds=60, seed=1)
    (kept,) = (tmp_path / "artifacts").iterdir()
    with pytest.raises(AssertionError):
        fuzz.replay("brittle", kept)


@settings(max_examples=25)
@given(st.lists(st.binary(max_size=40), min_size=1), st.integers(0, 1 << 32))
def test_mutations_of_anything_depend_on_the_seed_alone(seeds: list[bytes], seed: int) -> None:
    some = list(islice(mutated(seeds, seed), 20))
    assert some == list(islice(mutated(seeds, seed), 20))
    assert some[: len(seeds)] == seeds[:20]


def test_a_hang_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzing.HANG_S", 0.01)
    with pytest.raises(Fault, match="not done"), bounded():
        threading.Event().wait()


def test_too_much_memory_is_a_fault() -> None:
    """In a process of its own: what this one held before does not count."""
    work = "import fuzzing; fuzzing.MEMORY_KIB = 9000\nwith fuzzing.bounded(): b'x' * (32 << 20)"
    folder = Path(fuzz.__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", work], cwd=folder, capture_output=True, text=True, check=False
    )
    assert re.search(r"Fault: took \d+ MiB of memory", run.stderr)
