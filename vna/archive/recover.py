"""Settling what a crash left: records in packs that the index does not have yet.

Work is bounded by what was written after each pack's mark, not by the size of the archive.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from vna.errors import Corrupt
from vna.index import Index, Mutation
from vna.storage import BlobRecord, BlobStore, CommitRecord, DamagedRecord, RecordWalk
from vna.types import BlobPlace, Commit, PackId, VoidCommit

__all__ = ["Recovered", "decode_commit", "recover"]

log = logging.getLogger(__name__)

decode_commit = msgspec.msgpack.Decoder(Commit).decode

GROUP = 256
"""Mutations applied in one index transaction."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did: packs looked into, mutations applied again, torn bytes cut."""

    packs: int
    mutations: int
    torn_bytes: int


def recover(store: BlobStore, index: Index) -> Recovered:
    """Apply what abandoned packs hold beyond their marks, cut torn tails, seal the packs.

    Packs that another process is writing are left alone. Idempotent; safe to be killed anywhere.
    An empty index is made again from all packs this way. Newest pack first: a void is never in an
    older pack than its store, and must be applied before it.
    """
    with index.read() as reader:
        marks = reader.marks()
    packs = mutations = torn = 0
    for pack in reversed(store.packs()):
        mark = marks.get(pack.id, 0)
        if mark == pack.size:
            continue
        with store.claim(pack.id) as orphan:
            if orphan is None:
                continue
            # Each walk makes the pack durable first, and ends where the torn tail begins.
            _apply_voids(orphan.records(mark), index, pack.id)
            applied = _apply_rest(orphan.records(mark), index, pack.id)
            cut = orphan.truncate_torn_tail()
            if end := orphan.seal():
                index.apply([], {pack.id: end})
        packs, mutations, torn = packs + 1, mutations + applied, torn + cut
        log.info("recovered pack=%016x mutations=%d torn_bytes=%d", pack.id, applied, cut)
    return Recovered(packs, mutations, torn)


def _apply_voids(records: RecordWalk, index: Index, pack: PackId) -> None:
    commits = (_decode(pack, r) for r in records if isinstance(r, CommitRecord))
    voids = [Mutation(commit) for commit in commits if isinstance(commit, VoidCommit)]
    if voids:
        index.apply(voids, {}, replay=True)


def _apply_rest(records: RecordWalk, index: Index, pack: PackId) -> int:
    """Apply all mutations of a pack beyond its mark, in bounded groups; return how many."""
    count = 0
    group: list[Mutation] = []
    blobs: list[tuple[bytes, BlobPlace]] = []
    for record in records:
        if isinstance(record, BlobRecord):
            blobs.append((record.digest, record.place))
        elif isinstance(record, DamagedRecord):
            log.error("damage pack=%016x from=%d to=%d", pack, record.offset, record.end)
        else:
            group.append(Mutation(_decode(pack, record), blobs))
            count, blobs = count + 1, []
        if len(group) == GROUP:
            index.apply(group, {}, replay=True)
            group = []
    index.apply([*group, Mutation(None, blobs)], {}, replay=True)
    return count


def _decode(pack: PackId, record: CommitRecord) -> Commit:
    try:
        commit: Commit = decode_commit(record.payload)
    except msgspec.MsgspecError as error:
        where = f"pack {pack:016x}, offset {record.offset}"
        raise Corrupt(f"{where}: the commit record does not decode: {error}") from error
    return commit
