"""Relocation: blobs and commit records copied to another pack, which the index then prefers.

    1  what is to move is read and checked, every byte of it, and appended to another
       pack, with a move commit behind it that names the places it comes from
    2  that pack is synced
    3  one index transaction applies the move: the new copies are served, the old ones are spare
    4  once nothing in the old pack is needed, and nobody can begin to count on it, it is removed

docs/design/compaction.md draws this, and says what a crash leaves at each step. 1 to 3 are done for
some records at a time (a step), so that neither memory nor the index's write lock is held for long;
every step is complete in itself. Compaction works by it; between tiers series move (movement.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from vna.archive.commit import encode_commit
from vna.archive.quarantine import Quarantine
from vna.archive.recover import decode_commit
from vna.clock import Clock
from vna.errors import Corrupt
from vna.index import Index, Mutation, Reader
from vna.storage import (
    HOT,
    LARGE_RECORD,
    BlobRecord,
    BlobStore,
    CommitRecord,
    EncodedBlob,
    PackWriter,
    commit_record,
    tier_of,
)
from vna.types import BlobPlace, CopyCommit, MoveCommit, PackId, StoreCommit

__all__ = ["Paced", "Relocated", "Relocation"]

log = logging.getLogger(__name__)

STEP_RECORDS = 512
STEP_BYTES = 16 << 20

Paced = Callable[[int], None]
"""Told how many bytes were read; returns when it is time to read on, or raises to stop."""

Named = tuple[bytes, BlobPlace]
"""A blob and one of its places."""


@dataclass(slots=True)
class Relocated:
    """What a relocation did: `blobs` and `commits` copied, in records of `bytes`.

    `damaged` names blobs that could not be read whole; they stay where they are.
    """

    blobs: int = 0
    commits: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Step:
    """Records of one pack, as far as they were read."""

    blobs: list[Named] = field(default_factory=list)
    commits: list[bytes] = field(default_factory=list)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.blobs) + len(self.commits) >= STEP_RECORDS or self.size >= STEP_BYTES


class Relocation:
    """Moves to packs of its own; one at a time in an archive, one thread. Close it: that seals the last.

    Methods raise Full and Unavailable; what was moved before is moved, and the rest is as it was.
    """

    def __init__(
        self,
        store: BlobStore,
        index: Index,
        quarantine: Quarantine,
        clock: Clock,
        *,
        pace: Paced | None = None,
    ) -> None:
        self.done = Relocated()
        self._store = store
        self._index = index
        self._quarantine = quarantine
        self._clock = clock
        self._pace = pace or (lambda _size: None)
        self._writer: PackWriter = store.writer()
        self._stamp = 0
        # Before there is a pack of our own: when that is made, what is gone now is gone for good.
        self._there = frozenset(pack.id for pack in store.packs())

    def close(self) -> None:
        """Seal the pack that was written. Raises Full, Unavailable; what was moved is durable."""
        self._writer.close()

    def move_pack(self, pack: PackId) -> None:
        """Move what is needed of a complete pack: blobs served from it, and its commit records.

        Goes on where an earlier move of it has stopped. Blobs that nobody needs, or that have
        another place, are left behind, and so is what is damaged.
        """
        with self._index.read() as reader:
            use = reader.packs()[pack]
        if use.emptied:
            return
        again = use.moved >= use.mark  # what was left behind then is needed now
        start = 0 if again else use.moved
        walk = self._store.records(pack, start)
        step = _Step()
        for record in walk:
            if isinstance(record, BlobRecord):
                step.blobs.append((record.digest, record.place))
                step.size += record.place.size
            elif isinstance(record, CommitRecord) and not again:
                step.commits.append(record.payload)
                step.size += len(record.payload)
            if step.full:
                self._take(step, pack, record.end)
                step = _Step()
        self._take(step, pack, use.mark)

    def _take(self, step: _Step, pack: PackId, end: int) -> None:
        """Move the records of a step: durable and applied on return."""
        with self._index.read() as reader:
            needed = [each for each in step.blobs if self._serves(reader, *each)]
            commits = list(_surviving(step.commits, reader, self._there))
            self._stamp = max(self._clock.stamp(), self._stamp + 1, reader.last_stamp() + 1)
        lifted, placed, damaged = self._lift(needed)
        places = [(digest, place) for digest, place in step.blobs if digest not in damaged]
        move = MoveCommit(self._stamp, pack, end, places)
        records = [commit_record(commit) for commit in [*commits, encode_commit(move)]]
        # The move commit is last: what counts on it is before it.
        new, mark = self._writer.append_records([*records[:-1], *lifted, records[-1]])
        copies = zip((blob.digest for blob in lifted), new[len(commits) : -1], strict=True)
        placed += copies
        self._writer.sync()
        marks = {place.pack: place.offset + place.size for _, place in placed}
        self._index.apply([Mutation(move, placed)], {**marks, mark.pack: mark.end})
        self._writer.let_go()
        self.done.blobs += len(placed)
        self.done.commits += len(commits)
        self.done.bytes += sum(record.size for record in records)
        self.done.bytes += sum(place.size for _, place in placed)

    def _serves(self, reader: Reader, digest: bytes, place: BlobPlace) -> bool:
        """Say whether a version needs a blob and has it from this place; a lost pack has none."""
        places = reader.places(digest)
        return place in places and place == next(
            (each for each in places if self._store.has(each.pack)), None
        )

    def _lift(self, needed: Sequence[Named]) -> tuple[list[EncodedBlob], list[Named], set[bytes]]:
        """Read blobs; return records to append, large ones that are copied, and the damaged ones."""
        lifted: list[EncodedBlob] = []
        placed: list[Named] = []
        damaged: set[bytes] = set()
        for digest, place in needed:
            try:
                if place.size > LARGE_RECORD:
                    placed.append((digest, self._store.copy_large(place, digest)))
                else:
                    lifted.append(self._store.lift(place, digest))
            except Corrupt:
                if reason := self._quarantine.verdict(digest, place):
                    self.done.damaged.append(reason)
                damaged.add(digest)
            self._pace(place.size)
        return lifted, placed, damaged


def _surviving(
    commits: Sequence[bytes], reader: Reader, there: frozenset[PackId]
) -> Iterator[bytes]:
    """Yield the commit records that a rebuild still needs.

    Not those of stores that were refused: without the store its void may be in any pack. And not
    those of moves out of packs that are gone, or of copies in such. `there` are the hot packs from
    before the pack that takes the others was made: that synced the folder, so the rest is gone for good.
    """
    for payload in commits:
        commit = decode_commit(payload)
        if isinstance(commit, StoreCommit) and reader.voided(commit.sop_uid, commit.version):
            continue
        if isinstance(commit, MoveCommit | CopyCommit):
            packs = {place.pack for _, place in commit.places}
            if isinstance(commit, MoveCommit) and commit.pack:
                packs.add(commit.pack)
            if not any(_is_there(pack, reader, there) for pack in packs):
                continue
        yield payload


def _is_there(pack: PackId, reader: Reader, there: frozenset[PackId]) -> bool:
    """Say whether a pack still is, on whatever tier, as far as the archive knows."""
    return pack in there if tier_of(pack) == HOT else not reader.dropped(pack)
