"""Policies: which series are to be on which tier, by their age, size and kind; a plan of what to move.

A policy only ever moves down. Of several that a series matches, the one with the coldest tier holds.
Beyond them, a tier that is too full lets series go down that were not read for longest. What is
decided here is a function of facts and a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, TypeAlias

from vna.archive import SeriesFacts, TierFacts, leaving

__all__ = ["PlannedMove", "PolicySettings", "Since", "plan"]

DAY_NS = 86_400 * 10**9

Since: TypeAlias = Literal["received", "study_date", "accessed"]


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A series goes to tier `to` when it is older than `days`, and is what the rest asks for.

    Its age counts from its Study Date, from when its last instance was `received`, or from when
    its study was last `accessed`; without a date from the second, without a read too. `modalities`,
    `departments` (0008,1040) and `stations` (0008,1010) limit it to series of one of those; none is
    any. Its data sets have at least `min_bytes`, and at most `max_bytes` (0: any number).
    """

    name: str
    to: str
    days: float
    since: Since = "received"
    modalities: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    min_bytes: int = 0
    max_bytes: int = 0

    def matches(self, series: SeriesFacts, now: int) -> bool:
        """Return whether a series is to move at `now` (ns since 1970)."""
        since = {
            "received": series.received,
            "study_date": series.study_date or series.received,
            "accessed": series.accessed,
        }[self.since]
        return (
            now - since >= self.days * DAY_NS
            and _among(series.modality, self.modalities)
            and _among(series.department, self.departments)
            and _among(series.station, self.stations)
            and series.bytes >= self.min_bytes
            and (not self.max_bytes or series.bytes <= self.max_bytes)
        )


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A series that is to move, by which policy, and how large it is as received."""

    study_uid: str
    series_uid: str
    modality: str
    instances: int
    bytes: int
    source: str
    to: str
    policy: str


def plan(
    series: Iterable[SeriesFacts],
    tiers: Sequence[TierFacts],
    policies: Sequence[PolicySettings],
    now: int,
) -> Iterator[PlannedMove]:
    """Yield what is to be moved at `now` (ns since 1970): by policies, then by watermarks.

    The former in the order of `series`, the latter those that were not read for longest first.
    `tiers` go from hot to cold; policies name them.
    """
    order = {tier.name: place for place, tier in enumerate(tiers)}
    copies = {place: tier.copies for place, tier in enumerate(tiers)}
    coldest_first = sorted(policies, key=lambda policy: -order[policy.to])
    overfull = {
        tier.name: _Overfull(excess) for tier in tiers[:-1] if (excess := _excess(tier)) > 0
    }
    for each in series if policies or overfull else ():
        policy = next((policy for policy in coldest_first if policy.matches(each, now)), None)
        held = {order[name] for name in each.tiers}
        full = overfull.get(each.tier)
        if policy is not None and _has_to_move(order[each.tier], order[policy.to], held, copies):
            yield _move(each, policy.to, policy.name)
            if full is not None:
                full.excess -= each.bytes
        elif full is not None and order[each.tier] in leaving(held, order[each.tier] + 1, copies):
            full.consider(each)
    for name, full in overfull.items():
        below = tiers[order[name] + 1].name
        for each in full.chosen():
            yield _move(each, below, f"watermark of {name}")


def _has_to_move(source: int, to: int, held: set[int], copies: dict[int, int]) -> bool:
    """Say whether moving does anything: a tier below has no copy yet, or this one lets go of its own."""
    return to > source and (to not in held or source in leaving(held, to, copies))


def _move(series: SeriesFacts, to: str, policy: str) -> PlannedMove:
    return PlannedMove(
        series.study_uid,
        series.series_uid,
        series.modality,
        series.instances,
        series.bytes,
        series.tier,
        to,
        policy,
    )


def _among(value: str, wanted: Sequence[str]) -> bool:
    return not wanted or value.casefold() in (each.casefold() for each in wanted)


def _excess(tier: TierFacts) -> float:
    """Return the bytes that have to leave a tier."""
    high, low = tier.high_watermark_percent, tier.low_watermark_percent
    if not high or tier.used_bytes <= tier.total_bytes * high / 100:
        return 0
    return tier.used_bytes - tier.total_bytes * low / 100


@dataclass(slots=True)
class _Overfull:
    """Series that could leave a tier, as many as are needed: those that were not read for longest."""

    excess: float
    _size: int = 0
    _latest_first: list[tuple[int, str, str, SeriesFacts]] = field(default_factory=list)

    def consider(self, series: SeriesFacts) -> None:
        """Have a series leave, unless others are enough that were read before it."""
        entry = (-series.accessed, series.study_uid, series.series_uid, series)
        heappush(self._latest_first, entry)
        self._size += series.bytes
        while self._latest_first and self._size - self._latest_first[0][3].bytes >= self.excess:
            self._size -= heappop(self._latest_first)[3].bytes

    def chosen(self) -> Iterator[SeriesFacts]:
        """Yield those that leave, the one not read for longest first."""
        for *_, series in sorted(self._latest_first, reverse=True):
            if self.excess <= 0:
                return
            self.excess -= series.bytes
            yield series
