"""Settling what a crash left: records in packs that the index does not have yet.

Work is bounded by what was written after each pack's mark, not by the size of the archive. An
empty index is made again from all packs in the same way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from vna.errors import Corrupt, Invalid
from vna.index import Index, Mutation
from vna.storage import (
    HOT,
    BlobRecord,
    BlobStore,
    CommitRecord,
    DamagedRecord,
    MissingPack,
    OrphanPack,
    RecordWalk,
    pack_name,
    tier_of,
)
from vna.types import BlobPlace, Commit, PackId, VoidCommit

__all__ = ["Progress", "Recovered", "decode_commit", "missing_packs", "recover"]

log = logging.getLogger(__name__)

decode_commit = msgspec.msgpack.Decoder(Commit).decode

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

DYING_S = 1.0
"""How long a process that dies may take to let go of all its packs."""
LOOK_S = 0.01
GROUP = 512
"""Mutations applied in one index transaction."""


@dataclass(slots=True)
class Recovered:
    """What recovery did: packs looked into, mutations applied again, torn bytes cut.

    `busy` counts packs left to the live process that writes them. `damage` names what was durable
    once and is no more; all else is applied in spite of it.
    """

    packs: int = 0
    mutations: int = 0
    torn_bytes: int = 0
    busy: int = 0
    damage: list[str] = field(default_factory=list)

    def damaged(self, what: str) -> None:
        """Note and log damage."""
        log.error("damage: %s", what)
        self.damage.append(what)


def recover(
    store: BlobStore,
    index: Index,
    progress: Progress | None = None,
    *,
    wait: bool = True,
) -> Recovered:
    """Apply what abandoned packs hold beyond their marks, cut torn tails, seal the packs.

    Packs that another process is writing are left alone. `progress` follows the bytes of packs.
    Idempotent; safe to be killed anywhere, and goes on from the marks. Newest pack first: a void
    is never in an older pack than its store, and must be applied before it. So one process recovers
    at a time; while another does, nothing is done without `wait`.
    """
    recovery = _Recovery(store, index, progress)
    with index.recovering(wait=wait) as alone:
        if alone:
            recovery.run()
    return recovery.recovered


def missing_packs(store: BlobStore, index: Index) -> list[PackId]:
    """Return the hot packs that should be there and are not; those compacted away should not."""
    with index.read() as reader:
        known = {pack for pack in reader.packs() if tier_of(pack) == HOT}
    gone = known - {pack.id for pack in store.packs()}
    with index.read() as reader:  # only now: one may have been compacted since
        uses = reader.packs()
    return sorted(pack for pack in gone if not uses[pack].emptied)


class _Recovery:
    """One pass over the packs."""

    def __init__(self, store: BlobStore, index: Index, progress: Progress | None) -> None:
        self.recovered = Recovered()
        self._store = store
        self._index = index
        self._progress = progress
        self._done = 0
        self._total = 0
        self._busy: list[tuple[PackId, int]] = []

    def run(self) -> None:
        with self._index.read() as reader:
            marks = reader.marks()
        packs = self._store.packs()
        self._total = sum(pack.size for pack in packs)
        for missing in missing_packs(self._store, self._index):
            self.recovered.damaged(f"pack {pack_name(missing)} is missing")
        for pack in reversed(packs):
            mark = marks.get(pack.id, 0)
            if mark != pack.size:
                self._settle(pack.id, mark)
            self._done += pack.size
            self._follow(0)
        self.recovered.busy = len(self._busy)

    def _settle(self, pack: PackId, mark: int) -> None:
        """Settle one pack beyond its mark, or note that it is busy."""
        with self._store.claim(pack) as orphan:
            if orphan is None or not self._newer_settled(pack, mark):
                self._busy.append((pack, mark))
            else:
                self._take(orphan, pack, mark)

    def _newer_settled(self, pack: PackId, mark: int) -> bool:
        """Say whether no void for what is in `pack` can be in a newer pack that was busy.

        A process that dies lets go of its packs one after the other. What it did not apply stays so
        until somebody has its newer pack; one that lives goes on and applies it. What has to stay
        for the next recovery was acknowledged to nobody.
        """
        if not self._busy or not self._store.has_record(pack, mark):
            return True
        until = time.monotonic() + DYING_S
        while self._unapplied():
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_S)
        return True

    def _unapplied(self) -> bool:
        """Settle what is not busy any more; say whether some that is has a record that stays unapplied."""
        busy, self._busy = self._busy, []
        unapplied = False
        for pack, before in busy:
            with self._index.read() as reader:
                mark = reader.marks().get(pack, 0)
            with self._store.claim(pack) as orphan:
                if orphan is not None:
                    self._take(orphan, pack, mark)
                    continue
            self._busy.append((pack, before))
            with suppress(MissingPack):
                unapplied |= mark == before and self._store.has_record(pack, mark)
        return unapplied

    def _take(self, orphan: OrphanPack, pack: PackId, mark: int) -> None:
        """Settle a pack that is ours now; one that cannot be is damage, and stays as it is."""
        try:
            self._settle_orphan(orphan, pack, mark)
        except Corrupt as error:
            self.recovered.damaged(str(error))
        except Invalid as error:
            self.recovered.damaged(f"pack {pack_name(pack)}: a commit cannot be applied: {error}")

    def _settle_orphan(self, orphan: OrphanPack, pack: PackId, mark: int) -> None:
        # Each walk makes the pack durable first, and ends where the torn tail begins.
        self._apply_voids(orphan.records(mark), pack)
        applied = self._apply_rest(orphan.records(mark), pack)
        cut = orphan.truncate_torn_tail()
        if end := orphan.seal():
            self._index.apply([], {pack: end})
        self.recovered.packs += 1
        self.recovered.torn_bytes += cut
        log.info("recovered pack=%s mutations=%d torn_bytes=%d", pack_name(pack), applied, cut)

    def _apply_voids(self, records: RecordWalk, pack: PackId) -> None:
        commits = (_decode(pack, each) for each in records if isinstance(each, CommitRecord))
        voids = [Mutation(commit) for commit in commits if isinstance(commit, VoidCommit)]
        if voids:
            self._index.apply(voids, {}, replay=True)

    def _apply_rest(self, records: RecordWalk, pack: PackId) -> int:
        """Apply all mutations of a pack beyond its mark, in bounded groups; return how many.

        Each group takes the mark along: the voids of the whole pack were applied before the first.
        """
        count = 0
        group: list[Mutation] = []
        blobs: list[tuple[bytes, BlobPlace]] = []
        for record in records:
            if isinstance(record, BlobRecord):
                blobs.append((record.digest, record.place))
            elif isinstance(record, DamagedRecord):
                where = f"pack {pack_name(pack)}: bytes {record.offset} to {record.end}"
                self.recovered.damaged(f"{where} are damaged")
            else:
                group.append(Mutation(_decode(pack, record), blobs))
                blobs = []
                if len(group) == GROUP:
                    count += self._apply(group, {pack: record.end})
                    group = []
                    self._follow(record.end)
        return count + self._apply([*group, Mutation(None, blobs)], {})

    def _apply(self, group: list[Mutation], marks: dict[PackId, int]) -> int:
        self._index.apply(group, marks, replay=True)
        applied = sum(mutation.commit is not None for mutation in group)
        self.recovered.mutations += applied
        return applied

    def _follow(self, end: int) -> None:
        if self._progress is not None:
            self._progress(self._done + end, self._total)


def _decode(pack: PackId, record: CommitRecord) -> Commit:
    try:
        commit: Commit = decode_commit(record.payload)
    except msgspec.MsgspecError as error:
        where = f"pack {pack_name(pack)} at {record.offset}"
        raise Corrupt(f"{where}: the commit record does not decode: {error}") from error
    return commit
