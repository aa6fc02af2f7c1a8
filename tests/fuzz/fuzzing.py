"""What a fuzzer of this project is: seeds, a check that any bytes must pass, and how seeds become
hostile.

A target is one file beside this one. Its check raises nothing, whatever the bytes are: it knows
which errors are lawful, and fails on everything else. Mutations are those that break parsers of
binary formats: lengths set to what they must not be, bits flipped, ends cut off, parts repeated,
parts of other seeds put in.
"""

from __future__ import annotations

import random
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

REGRESSIONS = Path(__file__).parent / "regressions"
"""Inputs that broke something once: `<target>/<what it was>`."""

LONGEST = 64 << 10
"""Bytes of the longest input that mutation makes."""
HANG_S = 30
"""No input of that length takes a target a hundredth of this."""
MEMORY_KIB = 256 << 10
"""What one input may add to the most that the process ever held."""


class Target(ABC):
    """Something that takes bytes from outside; `folder` is empty and its own."""

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Return well-formed inputs, each a kind of its own."""

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Take `data`; raise if that was not as it should be."""

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Let go of what the target holds."""


class Fault(Exception):
    """An input took too long, or too much memory."""


@contextmanager
def bounded() -> Iterator[None]:
    """Raise Fault where the block hangs, or makes the process much larger than it ever was."""

    def hung(number: int, frame: FrameType | None) -> None:
        raise Fault(f"not done after {HANG_S} s")

    before = _most_held_kib()
    was = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, was)
    grown = _most_held_kib() - before
    if grown > MEMORY_KIB:
        raise Fault(f"took {grown >> 10} MiB of memory")


def _most_held_kib() -> int:
    """Return the most memory that this process ever held; getrusage would count its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0])


def mutated(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield the seeds, then mutations of them without end; the same ones for the same `seed`."""
    yield from seeds
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 2, 4, 8))):
            chance.choice(MUTATIONS)(data, chance, seeds)
            del data[LONGEST:]
        yield bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(data)) if data else 0


def _run(data: Sequence[int], chance: random.Random) -> slice:
    """Return a part of `data`, most often a short one."""
    start = chance.randrange(len(data) + 1)
    longest = chance.choice((4, 16, 64, len(data)))
    return slice(start, min(start + chance.randint(0, longest), len(data)))


def flip_bit(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[_place(data, chance)] ^= 1 << chance.randrange(8)


def set_byte(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[_place(data, chance)] = chance.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x5C))


def set_number(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    """Write a number that lengths and counts should not be, or hardly ever are."""
    size = chance.choice((1, 2, 4, 4, 4, 8))
    at = chance.randrange(max(len(data) - size, 0) + 1)
    if chance.random() < 0.5:
        at &= ~1
    most = (1 << 8 * size) - 1
    left = len(data) - at - size
    number = chance.choice(
        (0, 1, 2, most, most - 1, most >> 1, (most >> 1) + 1, left, left + 1, left - 1, len(data))
    )
    order = "little" if chance.random() < 0.5 else "big"
    data[at : at + size] = (number & most).to_bytes(size, order)


def fill(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    run = _run(data, chance)
    data[run] = bytes([chance.choice((0, 0xFF, 0x20, 0x41))]) * (run.stop - run.start)


def cut_off(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    del data[_place(data, chance) :]


def take_out(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    del data[_run(data, chance)]


def repeat(data: bytearray, chance: random.Random, _: Sequence[bytes]) -> None:
    run = _run(data, chance)
    times = chance.choice((1, 2, 3, 16, 1000))
    part = bytes(data[run])
    data[run.stop : run.stop] = part * min(times, LONGEST // max(len(part), 1))


def put_in(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    at = chance.randrange(len(data) + 1)
    data[at:at] = other[_run(other, chance)]


def put_over(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    part = other[_run(other, chance)]
    at = chance.randrange(len(data) + 1)
    data[at : at + len(part)] = part


def cross(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    at = chance.randrange(min(len(data), len(other)) + 1)
    data[at:] = other[at:]


Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], None]
MUTATIONS: list[Mutation] = [
    *(flip_bit, set_byte, set_number, set_number, set_number, fill),
    *(cut_off, take_out, repeat, put_in, put_over, cross),
]
