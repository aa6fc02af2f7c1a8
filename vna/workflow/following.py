"""Following policies: the plan of an archive as it is, and its execution in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import inf

from vna.archive import Archive, Background, Pace, Stopped
from vna.clock import Clock
from vna.errors import Invalid, VnaError
from vna.workflow.tiering import PlannedMove, PolicySettings, plan

__all__ = ["TieringSettings", "follow_plan", "follow_policies", "planned_moves"]

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3600.0
FIRST_PAUSE_S = 60.0
RECLAIM_EVERY_S = 86_400.0
RECLAIMING = "reclaiming waits"


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
    failed = _follow(archive, policies, pace, _Waits(archive.clock))
    if failed is not None:
        raise failed


def follow_policies(
    archive: Archive,
    policies: Sequence[PolicySettings],
    settings: TieringSettings,
    stop: threading.Event,
) -> None:
    """Move what policies say, at a set rate in set hours, and reclaim tiers, until `stop`.

    What fails is tried again, later each time; what else there is to do goes on meanwhile.
    """
    clock = archive.clock
    pace = Pace(clock, stop, settings)
    waits = _Waits(clock)
    due = clock.monotonic()

    def follow() -> None:
        _follow(archive, policies, pace, waits)

    def reclaim() -> None:
        nonlocal due
        _reclaim(archive, stop)
        due = clock.monotonic() + RECLAIM_EVERY_S

    while not stop.is_set():
        try:
            pace(0)
            waits.attempt("policies wait", follow)
            if clock.monotonic() >= due:
                waits.attempt(RECLAIMING, reclaim)
        except Stopped:
            return
        stop.wait(min(settings.every_s, waits.left_s()))


class _Waits:
    """What failed, and until when it waits: for a minute, longer each time, an hour at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[str, tuple[float, float]] = {}

    def attempt(self, what: str, work: Callable[[], None]) -> VnaError | None:
        """Do something unless it is too early to try it again; return why it failed, if it did."""
        pause_s, until = self._pauses.get(what, (FIRST_PAUSE_S, 0.0))
        if self._clock.monotonic() < until:
            return None
        try:
            work()
        except VnaError as error:
            log.warning("%s for %g s: %s", what, pause_s, error)
            later = min(2 * pause_s, LONGEST_PAUSE_S)
            self._pauses[what] = later, self._clock.monotonic() + pause_s
            return error
        self._pauses.pop(what, None)
        return None

    def left_s(self) -> float:
        """Return in how many seconds something can be tried again; infinity where nothing waits."""
        now = self._clock.monotonic()
        return min((until - now for _, until in self._pauses.values() if until > now), default=inf)


def _follow(
    archive: Archive, policies: Sequence[PolicySettings], pace: Pace, waits: _Waits
) -> VnaError | None:
    """Move what is to go to tiers that are not waited for; return what failed last."""
    moves = sorted(planned_moves(archive, policies), key=lambda each: each.to)
    done: list[PlannedMove] = []

    def execute(to: str, some: list[PlannedMove]) -> None:
        _execute(archive, to, some, pace)
        done.extend(some)

    failed: VnaError | None = None
    for to, some in groupby(moves, key=lambda each: each.to):
        what = f"what is to move to {to} waits"
        failed = waits.attempt(what, partial(execute, to, list(some))) or failed
    if _frees_below(archive, done):
        failed = waits.attempt(RECLAIMING, lambda: _reclaim(archive, pace.stop)) or failed
    return failed


def _frees_below(archive: Archive, moves: Sequence[PlannedMove]) -> bool:
    """Say whether a tier below the hot one is to have more space: it has once it is reclaimed."""
    low = {tier.name for tier in archive.tier_facts()[1:] if tier.high_watermark_percent}
    return any(move.source in low for move in moves)


def _execute(archive: Archive, to: str, moves: Sequence[PlannedMove], pace: Pace) -> None:
    moved = archive.move_series(to, [(each.study_uid, each.series_uid) for each in moves], pace)
    log.info("policies moved %d series to %s, %d blobs", moved.series, to, moved.blobs)


def _reclaim(archive: Archive, stop: threading.Event) -> None:
    archive.reclaim(stop=stop)
