"""Policies: which series are to be on which tier, by their age and kind; a plan of what to move.

A policy only ever moves down. Of several that a series matches, the one with the coldest tier holds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

from vna.archive.inventory import tier_of_version
from vna.archive.pace import Background, Pace, Stopped
from vna.archive.tiers import Tiers
from vna.clock import Clock
from vna.dicom.attributes import STUDY_DATE
from vna.errors import VnaError
from vna.index import Index, Reader, Series, Study

__all__ = ["PlannedMove", "PolicySettings", "TieringSettings", "follow_policies", "plan"]

log = logging.getLogger(__name__)

DAY_NS = 86_400 * 10**9
LOOK_AGAIN_S = 600.0
LONGEST_PAUSE_S = 3600.0
FIRST_PAUSE_S = 60.0
RECLAIM_EVERY_S = 86_400.0


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
class TieringSettings(Background):
    """How hard policies are followed."""


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
    index: Index, tiers: Tiers, policies: Sequence[PolicySettings], now: int
) -> Iterator[PlannedMove]:
    """Yield what policies would have moved at `now` (ns since 1970), the oldest studies first.

    Looks at every series. Raises Invalid for a policy that names no tier.
    """
    order = {each.name: place for place, each in enumerate(tiers.names.values())}
    for policy in policies:
        tiers.number(policy.to)
    after = 0
    while policies:
        with index.read() as reader:
            study = next(reader.studies(after), None)
            if study is None:
                return
            found = [
                move
                for series in reader.series_of(study.id)
                if (move := _move(reader, tiers, order, policies, study, series, now)) is not None
            ]
        yield from found
        after = study.id


def follow_policies(
    planned: Callable[[], Iterable[PlannedMove]],
    move: Callable[[str, Sequence[PlannedMove], Pace], None],
    reclaim: Callable[[], int],
    *,
    settings: TieringSettings,
    clock: Clock,
    stop: threading.Event,
) -> None:
    """Move what is planned, again and again, until `stop`; a tier that is away is tried again."""
    pace = Pace(clock, stop, settings)
    due = clock.monotonic()
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        wait_s = LOOK_AGAIN_S
        try:
            pace(0)
            moves = sorted(planned(), key=lambda each: each.to)
            for to, some in groupby(moves, key=lambda each: each.to):
                move(to, list(some), pace)
            if clock.monotonic() >= due:
                reclaim()
                due = clock.monotonic() + RECLAIM_EVERY_S
            pause_s = FIRST_PAUSE_S
        except Stopped:
            return
        except VnaError as error:
            log.warning("policies wait for %g s: %s", pause_s, error)
            wait_s, pause_s = pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
        stop.wait(wait_s)


def _move(  # noqa: PLR0917
    reader: Reader,
    tiers: Tiers,
    order: dict[str, int],
    policies: Sequence[PolicySettings],
    study: Study,
    series: Series,
    now: int,
) -> PlannedMove | None:
    instances = reader.instances_of(study.id, series.id)
    first = next((each for each in instances if each.version.holes), None)
    if first is None:
        return None  # it is all header, which stays
    number = tier_of_version(reader, first.version)
    if number not in tiers.names:
        return None
    source = tiers.names[number].name
    chosen = [each for each in policies if _matches(each, study, series, now)]
    coldest = max(chosen, key=lambda each: order[each.to], default=None)
    if coldest is None or order[coldest.to] <= order[source]:
        return None
    return PlannedMove(
        study.uid,
        series.uid,
        series.modality,
        series.instances,
        series.bytes,
        source,
        coldest.to,
        coldest.name,
    )


def _matches(policy: PolicySettings, study: Study, series: Series, now: int) -> bool:
    if policy.modalities and series.modality not in policy.modalities:
        return False
    since = series.updated
    if policy.since == "study_date":
        since = _date(study) or since
    return now - since >= policy.days * DAY_NS


def _date(study: Study) -> int:
    """Return the Study Date as ns since 1970, 0 where there is none that can be read."""
    values = study.attributes.get(STUDY_DATE) or [""]
    try:
        date = datetime.strptime(str(values[0]), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(date.timestamp()) * 10**9
