"""What came of a simulation."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["CACHE", "Day", "Latencies", "Outcome", "PrefetchOutcome", "Served"]

CACHE = "cache"
"""Where reads are served from that found what they wanted in the cache of far tiers."""


@dataclass(slots=True)
class Served:
    """Reads of series that one tier, or the cache, has served, and their bytes.

    `reads` counts a series once for each line of the trace, `share` is the part of all.
    """

    reads: int = 0
    bytes: int = 0
    share: float = 0.0


@dataclass(slots=True)
class PrefetchOutcome:
    """Studies that were brought into the cache, and what became of that when they were read.

    `in_time` were there, whole, before their first read; `late` were on their way.
    """

    studies: int = 0
    bytes: int = 0
    in_time: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """The end of a day: bytes stored on each tier and in the cache, and those moved in it."""

    stored: dict[str, float]
    moved: int


@dataclass(slots=True)
class Outcome:
    """What one setup made of a trace.

    Times are of reads of series: to the `first` object, to the `whole` series, and to the first
    object of series that were `old`, received more than 30 days before. `moved` has bytes by
    "source to target". Costs are the mean of all days, per month; the cache is on the first tier.
    """

    name: str
    tiers: Sequence[str]
    served: dict[str, Served]
    moved: dict[str, int] = field(default_factory=dict)
    moved_per_month: float = 0.0
    cost_per_month: float = 0.0
    cost_by_tier: dict[str, float] = field(default_factory=dict)
    first_p50_ms: float = 0.0
    first_p95_ms: float = 0.0
    old_p50_ms: float = 0.0
    old_p95_ms: float = 0.0
    whole_p50_ms: float = 0.0
    whole_p95_ms: float = 0.0
    waiting: int = 0
    """Series that were still to move at the end: the rate was too low."""
    prefetch: PrefetchOutcome | None = None
    days: list[Day] = field(default_factory=list)


class Latencies:
    """Times of which percentiles are wanted."""

    def __init__(self) -> None:
        self._seconds = array("d")

    def add(self, seconds: float) -> None:
        """Note a time."""
        self._seconds.append(seconds)

    def percentile_ms(self, percent: float) -> float:
        """Return the time that so many percent did not exceed, in ms; 0 without any."""
        if not self._seconds:
            return 0.0
        ordered = sorted(self._seconds)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] * 1e3
