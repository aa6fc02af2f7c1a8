"""Settling what a crash left: records in packs that the index does not have yet.

Work is bounded by what was written after each pack's mark, not by the size of the archive.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from vna.errors import Corrupt
from vna.index import Index, Mutation
from vna.storage import BlobRecord, BlobStore, OrphanPack
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
    """
    with index.read() as reader:
        marks = reader.marks()
    packs = mutations = torn = 0
    for pack in store.packs():
        if marks.get(pack.id) == pack.size:
            continue
        with store.claim(pack.id) as orphan:
            if orphan is None:
                continue
            applied, cut = _settle(orphan, pack.id, marks.get(pack.id, 0), index)
        packs, mutations, torn = packs + 1, mutations + applied, torn + cut
        if applied or cut:
            log.warning("recovered pack=%016x mutations=%d torn_bytes=%d", pack.id, applied, cut)
    return Recovered(packs, mutations, torn)


def _settle(orphan: OrphanPack, pack: PackId, mark: int, index: Index) -> tuple[int, int]:
    voided: set[tuple[int, str]] = set()
    waiting: list[Mutation] = []
    blobs: list[tuple[bytes, BlobPlace]] = []
    for record in orphan.records(mark):
        if isinstance(record, BlobRecord):
            blobs.append((record.digest, record.place))
            continue
        try:
            commit: Commit = decode_commit(record.payload)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"pack {pack:016x}, offset {record.offset}: commit record: {error}") from error
        if isinstance(commit, VoidCommit):
            voided.add((commit.voided, commit.sop_uid))
        waiting.append(Mutation(commit, blobs))
        blobs = []
    cut = orphan.truncate_torn_tail()
    end = orphan.seal()
    kept = [m for m in waiting if (m.commit.stamp, getattr(m.commit, "sop_uid", "")) not in voided]
    for at in range(0, len(kept), GROUP):
        index.apply(kept[at : at + GROUP], {})
    index.apply([], {pack: end})
    return len(kept), cut
