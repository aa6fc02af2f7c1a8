"""Policies: which series are to be on which tier, by their age and kind; a plan of what to move.

A policy only ever moves down. Of several that a series matches, the one with the coldest tier holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vna.archive import SeriesFacts

__all__ = ["PlannedMove", "PolicySettings", "plan"]

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """A series goes to tier `to` when it is older than `days`.

    Its age counts from its Study Date, or from when its last instance was `received`; without a
    date from the latter too. `modalities` limits it to series of those; none is any.
    """

    name: str
    to: str
    days: float
    since: Literal["study_date", "received"] = "received"
    modalities: tuple[str, ...] = ()


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
    tiers: Sequence[str],
    policies: Sequence[PolicySettings],
    now: int,
) -> Iterator[PlannedMove]:
    """Yield what policies would have moved at `now` (ns since 1970), in the order of `series`.

    `tiers` are named from hot to cold; policies name them.
    """
    order = {name: place for place, name in enumerate(tiers)}
    for each in series if policies else ():
        chosen = [policy for policy in policies if _matches(policy, each, now)]
        coldest = max(chosen, key=lambda policy: order[policy.to], default=None)
        if coldest is not None and order[coldest.to] > order[each.tier]:
            yield PlannedMove(
                each.study_uid,
                each.series_uid,
                each.modality,
                each.instances,
                each.bytes,
                each.tier,
                coldest.to,
                coldest.name,
            )


def _matches(policy: PolicySettings, series: SeriesFacts, now: int) -> bool:
    if policy.modalities and series.modality not in policy.modalities:
        return False
    since = series.received
    if policy.since == "study_date":
        since = series.study_date or since
    return now - since >= policy.days * DAY_NS
