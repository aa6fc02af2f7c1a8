"""What lanes did: operations, octets, errors and times."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Iterable

import msgspec

__all__ = ["Operations", "Tally", "summary", "timed"]

KEPT_ERRORS = 5


class Record(msgspec.Struct):
    """The operations of one name of one lane: `seconds` are doubles in native order."""

    name: str
    octets: int
    last: float
    seconds: bytes


class Tally:
    """Counts what one lane does; times are seconds since the start that all lanes share.

    `turn` numbers what a lane does or sends next, and is not set back when it begins again.
    """

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self.turn = 0
        self._failed_at = 0.0
        self._seconds: dict[str, array[float]] = {}
        self._octets: Counter[str] = Counter()
        self._last: dict[str, float] = {}

    def done(self, name: str, began: float, octets: int = 0, times: int = 1) -> None:
        """Count an operation that began at `began` (`time.perf_counter`) and ends now.

        One of many parts counts so many `times`, each as long as the whole.
        """
        now = time.perf_counter()
        try:
            found = self._seconds[name]
        except KeyError:
            found = self._seconds[name] = array("d")
        if times == 1:
            found.append(now - began)
        else:
            found.extend([now - began] * times)
        self._octets[name] += octets
        self._last[name] = now

    def failed(self, error: Exception) -> None:
        """Count an operation that failed."""
        self.errors[f"{type(error).__name__}: {error}"] += 1
        self._failed_at = time.perf_counter()

    def records(self, start: float, seconds: float) -> list[Record]:
        """Return what was counted, for another process; the lane was to run for `seconds`.

        Time in which a lane failed is part of its time: it could have worked then.
        """
        failed_at = min(self._failed_at, start + seconds)
        return [
            Record(
                name, self._octets[name], max(self._last[name], failed_at) - start, times.tobytes()
            )
            for name, times in self._seconds.items()
        ]


class Operations(msgspec.Struct, frozen=True):
    """All operations of one name: how many, how fast, and how long one took (milliseconds)."""

    count: int
    octets: int
    per_s: float
    octets_per_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def summary(records: Iterable[Record]) -> dict[str, Operations]:
    """Return the operations by name.

    A rate is the sum of the lanes' own, each over the time to the end of its last operation or
    error: what a lane left unfinished, or when it was stopped, does not count.
    """
    by_name: dict[str, list[Record]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    return {name: _operations(found) for name, found in by_name.items()}


def timed(count: int, octets: int, seconds: float) -> Operations:
    """Return what another program did: `count` operations that ended together after `seconds`."""
    each = (1000 * seconds,) * 5
    return Operations(count, octets, count / seconds, octets / seconds, *each)


def _operations(records: list[Record]) -> Operations:
    seconds: array[float] = array("d")
    per_s = octets_per_s = 0.0
    for record in records:
        seconds.frombytes(record.seconds)
        time_s = max(record.last, 1e-9)
        per_s += len(record.seconds) / seconds.itemsize / time_s
        octets_per_s += record.octets / time_s
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Operations(
        len(ordered),
        sum(record.octets for record in records),
        per_s,
        octets_per_s,
        1000 * sum(ordered) / len(ordered),
        at(0.5),
        at(0.9),
        at(0.99),
        1000 * ordered[-1],
    )
