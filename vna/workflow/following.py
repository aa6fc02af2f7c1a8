"""Following policies: the plan of an archive as it is, and its execution in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from vna.archive import Archive, Background, Pace, Stopped
from vna.errors import Corrupt, Full, Invalid, Unavailable, VnaError
from vna.workflow.tiering import PlannedMove, PolicySettings, plan

__all__ = ["TieringSettings", "follow_plan", "follow_policies", "planned_moves"]

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3600.0
FIRST_PAUSE_S = 60.0
RECLAIM_EVERY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class TieringSettings(Background):
    """How hard policies are followed, and how many seconds after a plan was done the next is made."""

    every_s: float = 600.0


def planned_moves(archive: Archive, policies: Sequence[PolicySettings]) -> Iterator[PlannedMove]:
    """Yield what policies and watermarks would have moved now; looks at every series.

    Raises Invalid for a policy that names no tier.
    """
    names = archive.tier_names
    for policy in policies:
        if policy.to not in names:
            raise Invalid(
                f"policy {policy.name} moves to {policy.to}; there are {', '.join(names)}"
            )
    yield from plan(archive.series_facts(), archive.tier_facts(), policies, archive.clock.stamp())


def follow_plan(archive: Archive, policies: Sequence[PolicySettings], pace: Pace) -> None:
    """Move what policies and watermarks ask for now.

    Raises Unavailable when a tier is away, Full when its disk is, and Corrupt when it gave back other
    bytes; what goes to others is moved all the same.
    """
    moves = sorted(planned_moves(archive, policies), key=lambda each: each.to)
    failed: VnaError | None = None
    for to, some in groupby(moves, key=lambda each: each.to):
        try:
            _execute(archive, to, list(some), pace)
        except (Unavailable, Full, Corrupt) as error:
            log.warning("what is to move to %s waits: %s", to, error)
            failed = error
    if failed is not None:
        raise failed
    if _frees_below(archive, moves):
        archive.reclaim(stop=pace.stop)


def follow_policies(
    archive: Archive,
    policies: Sequence[PolicySettings],
    settings: TieringSettings,
    stop: threading.Event,
) -> None:
    """Move what policies say, at a set rate in set hours, and reclaim tiers, until `stop`.

    A tier that is away is tried again.
    """
    clock = archive.clock
    pace = Pace(clock, stop, settings)
    due = clock.monotonic()
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        wait_s = settings.every_s
        try:
            pace(0)
            follow_plan(archive, policies, pace)
            if clock.monotonic() >= due:
                archive.reclaim(stop=stop)
                due = clock.monotonic() + RECLAIM_EVERY_S
            pause_s = FIRST_PAUSE_S
        except Stopped:
            return
        except VnaError as error:
            log.warning("policies wait for %g s: %s", pause_s, error)
            wait_s, pause_s = pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
        stop.wait(wait_s)


def _frees_below(archive: Archive, moves: Sequence[PlannedMove]) -> bool:
    """Say whether a tier below the hot one is to have more space: it has once it is reclaimed."""
    low = {tier.name for tier in archive.tier_facts()[1:] if tier.high_watermark_percent}
    return any(move.source in low for move in moves)


def _execute(archive: Archive, to: str, moves: Sequence[PlannedMove], pace: Pace) -> None:
    moved = archive.move_series(to, [(each.study_uid, each.series_uid) for each in moves], pace)
    log.info("policies moved %d series to %s, %d blobs", moved.series, to, moved.blobs)
