"""Blobs and packs within one write transaction: who needs what, and where it is."""

from __future__ import annotations

from vna.index.entities import Blob, Counts, PackUse, decode_blob, decode_pack, encode
from vna.index.layout import Table, row_key
from vna.index.transaction import Transaction
from vna.types import BlobPlace, PackId, Version

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

    def learn(self, digest: bytes, place: BlobPlace) -> None:
        """Record that the blob is at `place`; of several places the first in pack order stays."""
        blob = self._blob(digest)
        known = blob.place
        if known is not None:
            if (known.pack, known.offset) <= (place.pack, place.offset):
                return
            self._account(blob, -1)
        blob.place = place
        self._account(blob, +1)

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

    def _account(self, blob: Blob, sign: int) -> None:
        assert blob.place is not None
        use = self._pack(blob.place.pack)
        use.total += sign * blob.place.size
        use.end = max(use.end, blob.place.offset + blob.place.size)
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
