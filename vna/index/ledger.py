"""Blobs and packs within one write transaction: who needs what, and where it is."""

from __future__ import annotations

from vna.index.entities import (
    Blob,
    Counts,
    Damaged,
    PackUse,
    decode_blob,
    decode_damaged,
    decode_pack,
    encode,
)
from vna.index.layout import Table, damaged_key, row_key
from vna.index.transaction import Transaction
from vna.types import BlobPlace, DamageCommit, PackId, Version

__all__ = ["Ledger", "blobs_of"]


def blobs_of(version: Version) -> set[bytes]:
    """Return the digests of all blobs that a version is made of."""
    digests = {version.header, *(hole.blob for hole in version.holes)}
    if version.frames is not None and version.frames.table is not None:
        digests.add(version.frames.table)
    return digests


class Ledger:
    """Reads what it must, remembers, and writes each entry once in `settle`."""

    def __init__(self, txn: Transaction, counts: Counts) -> None:
        self._txn = txn
        self._counts = counts
        self._blobs: dict[bytes, Blob] = {}
        self._packs: dict[PackId, PackUse] = {}

    def learn(self, digest: bytes, place: BlobPlace) -> bool:
        """Record that the blob is at `place`; say if it was needed and had no undamaged place."""
        known = self._damaged(digest, place)
        if known is not None and known.reason:
            return False
        use = self._pack(place.pack)
        use.end = max(use.end, place.offset + place.size)
        blob = self._blob(digest)
        was_lost = blob.place is None and blob.refs > 0
        self._settle_on(blob, {*_places(blob), place})
        return was_lost

    def condemn(self, commit: DamageCommit) -> None:
        """Record what is said of a copy, unless something newer is known; serve another one."""
        digest, place = commit.digest, commit.place
        known = self._damaged(digest, place)
        now = Damaged(place, commit.stamp, commit.reason)
        if known is not None and (known.stamp, known.reason) >= (now.stamp, now.reason):
            return
        self._txn.put(Table.DAMAGED, damaged_key(digest, place), encode(now))
        blob = self._blob(digest)
        places = set(_places(blob))
        self._settle_on(blob, places - {place} if now.reason else places | {place})

    def hold(self, version: Version) -> None:
        """Count one more need of each blob of `version`."""
        for digest in blobs_of(version):
            blob = self._blob(digest)
            blob.refs += 1
            if blob.refs == 1:
                self._counts.blobs += 1
                self._live(blob, +1)

    def release(self, version: Version) -> None:
        """Count one need less of each blob of `version`."""
        for digest in blobs_of(version):
            blob = self._blob(digest)
            blob.refs -= 1
            if blob.refs == 0:
                self._counts.blobs -= 1
                self._live(blob, -1)

    def mark(self, pack: PackId, end: int) -> None:
        """Record that the commit records of a pack are applied up to `end`; never goes back."""
        use = self._pack(pack)
        use.mark = max(use.mark, end)

    def settle(self) -> None:
        """Write what changed."""
        for digest, blob in self._blobs.items():
            self._txn.put(Table.BLOBS, digest, encode(blob))
        for pack, use in self._packs.items():
            self._txn.put(Table.PACKS, row_key(pack), encode(use))

    def _damaged(self, digest: bytes, place: BlobPlace) -> Damaged | None:
        value = self._txn.get(Table.DAMAGED, damaged_key(digest, place))
        return decode_damaged(value) if value is not None else None

    def _settle_on(self, blob: Blob, places: set[BlobPlace]) -> None:
        """Let the first of `places` be the blob's place and the others its copies."""
        ordered = sorted(places, key=_order)
        first, blob.copies = (ordered[0] if ordered else None), ordered[1:]
        if first != blob.place:
            if blob.place is not None:
                self._account(blob, -1)
            blob.place = first
            if first is not None:
                self._account(blob, +1)

    def _account(self, blob: Blob, sign: int) -> None:
        assert blob.place is not None
        self._pack(blob.place.pack).total += sign * blob.place.size
        if blob.refs:
            self._live(blob, sign)

    def _live(self, blob: Blob, sign: int) -> None:
        if blob.place is not None:
            self._pack(blob.place.pack).live += sign * blob.place.size
            self._counts.blob_bytes += sign * blob.place.size

    def _blob(self, digest: bytes) -> Blob:
        blob = self._blobs.get(digest)
        if blob is None:
            value = self._txn.get(Table.BLOBS, digest)
            blob = decode_blob(value) if value is not None else Blob(None, 0)
            self._blobs[digest] = blob
        return blob

    def _pack(self, pack: PackId) -> PackUse:
        use = self._packs.get(pack)
        if use is None:
            value = self._txn.get(Table.PACKS, row_key(pack))
            use = decode_pack(value) if value is not None else PackUse(0, 0, 0)
            self._packs[pack] = use
        return use


def _places(blob: Blob) -> list[BlobPlace]:
    return [*([blob.place] if blob.place is not None else []), *blob.copies]


def _order(place: BlobPlace) -> tuple[int, int]:
    return place.pack, place.offset
