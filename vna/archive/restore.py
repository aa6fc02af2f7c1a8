"""Bringing back what was deleted or replaced.

A restore is a commit of its own for each instance, and its record carries all that the index needs
to have the instance again. To make it, the version is read back whole: its attributes come from
its own bytes, and what is damaged is refused instead of restored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vna.archive.check import Damage
from vna.archive.commit import Proposal
from vna.archive.history import Known, deleted_by, known_instance, level_of
from vna.archive.lookup import StoredObject
from vna.archive.prepare import IngestRoom, store_commit
from vna.archive.retrieve import BlockingRetrieval
from vna.dicom.scan import ObjectScan
from vna.errors import Conflict, Corrupt, NotFound, VnaError
from vna.index import Outcome, Reader, Tombstone, blobs_of
from vna.storage import EncodedBlob
from vna.types import Level, RestoreCommit, StoreCommit, Version

__all__ = ["Restored", "restore"]

AT_ONCE = 8
"""Instances read back at the same time; they share syncs."""


@dataclass(slots=True)
class Restored:
    """What a restore did: `instances` were brought back.

    `left` counts those that stay deleted because a delete of their own series or of themselves
    stands, `purged` those that are gone for good; `failed` names those that could not be brought back.
    """

    level: Level
    instances: int = 0
    left: int = 0
    purged: int = 0
    failed: list[Damage] = field(default_factory=list)


class _Target(NamedTuple):
    """An instance to bring back, and the newest stamp that it had when that was asked for."""

    sop_uid: str
    newest: int


async def restore(
    room: IngestRoom, retrieval: BlockingRetrieval, uid: str, stamp: int | None, reason: str
) -> Restored:
    """Bring back what `uid` names; see `Archive.restore`."""
    restored, targets = await room.offload.run(_targets, room, uid, stamp)
    todo = iter(targets)

    async def lane() -> None:
        for target in todo:
            try:
                proposal = await room.offload.run(_proposal, room, retrieval, target, stamp, reason)
                done = room.committer.submit(proposal)
                applied = await asyncio.shield(asyncio.wrap_future(done))
            except VnaError as error:
                restored.failed.append(Damage(target.sop_uid, str(error)))
            else:
                restored.instances += applied.outcome in (Outcome.STORED, Outcome.REPLACED)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(lane())
    return restored


def _targets(room: IngestRoom, uid: str, stamp: int | None) -> tuple[Restored, list[_Target]]:
    """Return the instances to bring back. Raises NotFound, or Conflict where none is to be."""
    with room.index.read() as reader:
        level = level_of(reader, uid)
        restored = Restored(level)
        if level is Level.INSTANCE:
            known = _known(reader, uid)
            _choose(reader, known, stamp)
            return restored, [_Target(uid, _newest(reader, known))]
        named = f"{level.name.lower()} {uid}"
        if stamp is not None:
            raise Conflict(f"{named} has no versions: each of its instances has")
        targets = []
        for tombstone in _buried(reader, level, uid):
            if reader.purges(tombstone)[0] is not None:
                restored.purged += 1
            elif deleted_by(reader, tombstone) <= level:
                targets.append(_Target(tombstone.uid, _newest(reader, tombstone)))
            else:
                restored.left += 1
        if restored.purged and not targets and not restored.left:
            raise Conflict(f"what of {named} is deleted was purged: it is gone for good")
        if not targets and not restored.left:
            raise Conflict(f"nothing of {named} is deleted")
        return restored, targets


def _buried(reader: Reader, level: Level, uid: str) -> Iterator[Tombstone]:
    if level is Level.STUDY:
        yield from reader.tombstones_of(uid)
    else:
        for study_uid in reader.studies_of_series(uid):
            yield from reader.tombstones_of(study_uid, uid)


def _known(reader: Reader, sop_uid: str) -> Known:
    known = known_instance(reader, sop_uid)
    if known is None:
        raise NotFound(f"instance {sop_uid} is not in the archive")
    return known


def _choose(reader: Reader, known: Known, stamp: int | None) -> Version:
    """Return the version that `stamp` names, of a deleted instance the last one by default.

    Raises NotFound, or Conflict when that is what stands already, or was purged.
    """
    alive = not isinstance(known, Tombstone)
    if stamp is None:
        if alive:
            raise Conflict(f"instance {known.uid} is not deleted: name the version to restore")
        stamp = known.version.stamp
    versions = [known.version, *known.older]
    for version, purge in zip(versions, reader.purges(known), strict=True):
        if version.stamp == stamp:
            if purge is not None:
                gone = f"version {stamp} of instance {known.uid} was purged"
                raise Conflict(f"{gone}: {purge.reason}" if purge.reason else gone)
            if alive and version is known.version:
                raise Conflict(f"version {stamp} of instance {known.uid} is the current one")
            return version
    raise NotFound(f"instance {known.uid} has no version {stamp}")


def _proposal(
    room: IngestRoom, retrieval: BlockingRetrieval, target: _Target, stamp: int | None, reason: str
) -> Proposal:
    """Return the restore of an instance, its bytes read back and found whole.

    Nothing comes of it, but Conflict, when the instance was deleted, stored or purged meanwhile.
    """

    def chosen(reader: Reader) -> tuple[Known, Version]:
        known = _known(reader, target.sop_uid)
        if _newest(reader, known) != target.newest:
            raise Conflict(f"instance {target.sop_uid} was deleted or stored meanwhile")
        return known, _choose(reader, known, stamp)

    with room.index.read() as reader:
        known, version = chosen(reader)
    stored = StoredObject("", "", target.sop_uid, known.sop_class, version)
    store = _read_back(room, retrieval, stored)

    def record(stamp: int) -> RestoreCommit:
        # Stamps of other processes may be ahead of this clock: a restore is above what it undoes.
        return RestoreCommit(max(stamp, target.newest + 1), store, reason)

    def judge(reader: Reader, blobs: Sequence[EncodedBlob]) -> Sequence[EncodedBlob]:
        chosen(reader)
        return blobs

    return Proposal(record, shared=blobs_of(version), judge=judge)


def _newest(reader: Reader, known: Known) -> int:
    """Return the newest stamp of what became of an instance: stored, restored or deleted."""
    return max(known.stamps[0], _barrier(reader, known))


def _barrier(reader: Reader, known: Known) -> int:
    """Return the stamp of the newest delete that keeps an instance dead."""
    if not isinstance(known, Tombstone):
        return 0
    barriers = [
        reader.barrier(Level.INSTANCE, known.uid),
        reader.barrier(Level.SERIES, known.series_uid),
        reader.barrier(Level.STUDY, known.study_uid),
    ]
    return max((barrier.stamp for barrier in barriers if barrier is not None), default=0)


def _read_back(room: IngestRoom, retrieval: BlockingRetrieval, stored: StoredObject) -> StoreCommit:
    """Return the commit that stored a version, made from its bytes. Raises Corrupt."""
    version = stored.version
    scan = ObjectScan("dataset", version.transfer_syntax, max_header=room.settings.max_header_bytes)
    for piece in retrieval.pieces(retrieval.dataset(stored)):
        scan.feed(piece)
    found = scan.finish()
    if found.digest != version.digest or found.sop_uid != stored.sop_uid:
        raise Corrupt(f"version {version.stamp} of instance {stored.sop_uid} is not as received")
    return store_commit(found, version, "replace")
