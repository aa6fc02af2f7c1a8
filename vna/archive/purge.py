"""Letting go of versions for good: at once when told to, or when their retention is over.

A purge is a commit of its own for each instance. It takes nothing from a pack: the blobs that no
version needs any more are left out when their pack is compacted, and gone with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from vna.archive.commit import Committer, Proposal
from vna.archive.every import deleted_instances, living_instances
from vna.archive.history import Known, known_instance
from vna.clock import Clock
from vna.errors import Conflict, NotFound
from vna.index import Applied, Index, Instance, Outcome, Reader, Tombstone, content_id
from vna.observe import metrics
from vna.storage import EncodedBlob
from vna.types import Level, PurgeCommit

__all__ = ["Purged", "RetentionSettings", "let_go_of", "purge_deleted", "purge_version"]

log = logging.getLogger(__name__)

DAY_NS = 86_400 * 10**9
AT_ONCE = 256
"""Purges that are committed together."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long what is deleted, and versions that were replaced, can be brought back; 0 is for ever.

    Days count from the delete, and from the store of the version that took their place.
    """

    deleted_days: float = 0.0
    versions_days: float = 0.0


@dataclass(slots=True)
class Purged:
    """What a purge let go of: versions of so many instances."""

    instances: int = 0
    versions: int = 0


@dataclass(frozen=True, slots=True)
class _Wish:
    """Versions of an instance, by their place in its history; `due` says if it is still time."""

    known: Known
    numbers: list[int]
    reason: str
    due: Callable[[Reader], bool]


def purge_deleted(index: Index, committer: Committer, uid: str, reason: str) -> Purged:
    """Purge every version of the deleted instances below `uid`, a study, series or instance."""

    def wishes() -> Iterator[_Wish]:
        with index.read() as reader:
            found = list(_deleted_below(reader, uid))
        for known in found:
            yield _Wish(known, list(range(len(known.stamps))), reason, partial(_still_dead, known))

    return _purge(index, committer, wishes())


def purge_version(
    index: Index, committer: Committer, sop_uid: str, stamp: int, reason: str
) -> Purged:
    """Purge one version of an instance. Raises NotFound, or Conflict for what stands."""
    with index.read() as reader:
        known = known_instance(reader, sop_uid)
        if known is None:
            raise NotFound(f"instance {sop_uid} is not in the archive")
    for number, version in enumerate([known.version, *known.older]):
        if version.stamp == stamp:
            if number == 0 and isinstance(known, Instance):
                raise Conflict(f"version {stamp} of instance {sop_uid} is the current one")
            # Stored or restored meanwhile it has a newer stamp, which a purge of this one leaves.
            return _purge(index, committer, [_Wish(known, [number], reason, lambda _: True)])
    raise NotFound(f"instance {sop_uid} has no version {stamp}")


def let_go_of(
    index: Index, committer: Committer, clock: Clock, settings: RetentionSettings
) -> Purged:
    """Purge what has been deleted, or replaced, for longer than it is to be kept."""
    now = clock.stamp()
    purged = Purged()
    if settings.deleted_days:
        before = now - int(settings.deleted_days * DAY_NS)
        reason = f"deleted for {settings.deleted_days:g} days"
        _add(purged, _purge(index, committer, _long_deleted(index, before, reason)))
    if settings.versions_days:
        before = now - int(settings.versions_days * DAY_NS)
        reason = f"replaced for {settings.versions_days:g} days"
        _add(purged, _purge(index, committer, _long_replaced(index, before, reason)))
    if purged.versions:
        log.info("retention: %d versions of %d instances", purged.versions, purged.instances)
    return purged


def _long_deleted(index: Index, before: int, reason: str) -> Iterator[_Wish]:
    def due(known: Tombstone, reader: Reader) -> bool:
        return _still_dead(known, reader) and 0 < _dead_since(reader, known) < before

    for known in deleted_instances(index):
        with index.read() as reader:
            wanted = due(known, reader)
        if wanted:
            yield _Wish(known, list(range(len(known.stamps))), reason, partial(due, known))


def _long_replaced(index: Index, before: int, reason: str) -> Iterator[_Wish]:
    every: Iterable[Iterable[Known]] = (living_instances(index), deleted_instances(index))
    for some in every:
        for known in some:
            # A version was replaced when the next newer one was stored, or was restored.
            numbers = [n for n in range(1, len(known.stamps)) if known.stamps[n - 1] < before]
            if numbers:
                yield _Wish(known, numbers, reason, partial(_as_it_was, known))


def _still_dead(known: Tombstone, reader: Reader) -> bool:
    now = reader.tombstone(known.uid)
    return now is not None and now.stamps == known.stamps


def _as_it_was(known: Known, reader: Reader) -> bool:
    """Say whether an instance has the versions it had, alive or deleted."""
    now = known_instance(reader, known.uid)
    return now is not None and now.stamps == known.stamps


def _dead_since(reader: Reader, known: Tombstone) -> int:
    """Return the stamp of the first known delete that keeps an instance dead; 0 if there is none."""
    barriers = (
        reader.barrier(Level.INSTANCE, known.uid),
        reader.barrier(Level.SERIES, known.series_uid),
        reader.barrier(Level.STUDY, known.study_uid),
    )
    stamps = [each.stamp for each in barriers if each and each.stamp >= known.stamps[0]]
    return min(stamps, default=0)


def _deleted_below(reader: Reader, uid: str) -> Iterator[Tombstone]:
    if (tombstone := reader.tombstone(uid)) is not None:
        yield tombstone
    yield from reader.tombstones_of(uid)
    for study_uid in reader.studies_of_series(uid):
        yield from reader.tombstones_of(study_uid, uid)


def _purge(index: Index, committer: Committer, wishes: Iterable[_Wish]) -> Purged:
    """Commit purges of what is not purged yet, many at a time; durable on return."""
    purged = Purged()
    waiting: list[Future[Applied]] = []
    for wish in wishes:
        proposal = _proposal(index, wish)
        if proposal is not None:
            waiting.append(committer.submit(proposal))
        if len(waiting) >= AT_ONCE:
            _wait(waiting, purged)
    _wait(waiting, purged)
    return purged


def _wait(waiting: list[Future[Applied]], purged: Purged) -> None:
    for done in waiting:
        count = done.result().count
        metrics.PURGED_VERSIONS.add(by=count)
        purged.versions += count
        purged.instances += count > 0
    waiting.clear()


def _proposal(index: Index, wish: _Wish) -> Proposal | None:
    """Return the purge of those versions that are kept; None if there are none.

    It comes to nothing when it is not due any more as the committer takes it.
    """
    known = wish.known
    with index.read() as reader:
        purges = reader.purges(known)
    versions = [known.version, *known.older]
    contents = [
        (content_id(versions[number]), known.stamps[number])
        for number in wish.numbers
        if purges[number] is None
    ]
    if not contents:
        return None

    def record(stamp: int) -> PurgeCommit:
        return PurgeCommit(stamp, known.uid, contents, wish.reason)

    def judge(reader: Reader, blobs: Sequence[EncodedBlob]) -> Outcome | Sequence[EncodedBlob]:
        return blobs if wish.due(reader) else Outcome.NOTHING

    return Proposal(record, judge=judge)


def _add(total: Purged, more: Purged) -> None:
    total.instances += more.instances
    total.versions += more.versions
