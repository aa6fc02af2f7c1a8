"""Blobs and packs within one write transaction: who needs what, and where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
from vna.index.layout import BLOBS, DAMAGED, MOVED, PACKS, copy_key, row_key
from vna.index.transaction import Transaction
from vna.types import (
    BlobPlace,
    CopyCommit,
    DamageCommit,
    DropCommit,
    MoveCommit,
    PackId,
    Version,
)

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
        if use.dropped:
            return False
        use.end = max(use.end, place.offset + place.size)
        blob = self._blob(digest)
        if blob.place is None:  # the only one: there is nothing to put in order
            blob.place = place
            self._account(blob, +1)
            return blob.refs > 0
        self._settle_on(digest, blob, {*_places(blob), place})
        return False

    def take(self, commit: DamageCommit | MoveCommit | CopyCommit | DropCommit) -> None:
        """Record what a commit says of where blobs are."""
        if isinstance(commit, DamageCommit):
            self.condemn(commit)
        elif isinstance(commit, MoveCommit):
            self.move(commit)
        elif isinstance(commit, CopyCommit):
            self.copied(commit)
        else:
            self.drop(commit)

    def condemn(self, commit: DamageCommit) -> None:
        """Record what is said of a copy, unless something newer is known; serve another one."""
        digest, place = commit.digest, commit.place
        known = self._damaged(digest, place)
        now = Damaged(place, commit.stamp, commit.reason)
        if known is not None and (known.stamp, known.reason) >= (now.stamp, now.reason):
            return
        self._txn.put(DAMAGED, copy_key(digest, place), encode(now))
        blob = self._blob(digest)
        places = set(_places(blob))
        gone = now.reason or self._dropped(place.pack)
        self._settle_on(digest, blob, places - {place} if gone else places | {place})

    def move(self, commit: MoveCommit) -> None:
        """Prefer every other copy to those at the places that were moved."""
        for digest, place in commit.places:
            self._txn.put(MOVED, copy_key(digest, place), b"")
            blob = self._blob(digest)
            self._settle_on(digest, blob, set(_places(blob)))
        if commit.pack:
            use = self._pack(commit.pack)
            use.moved = max(use.moved, commit.end)

    def copied(self, commit: CopyCommit) -> None:
        """Record the copies on lower tiers."""
        for digest, place in commit.places:
            self.learn(digest, place)

    def drop(self, commit: DropCommit) -> None:
        """Know a pack of a lower tier no more, whatever is said of it before or later."""
        self._pack(commit.pack).dropped = True
        for digest in commit.digests:
            blob = self._blob(digest)
            left = {place for place in _places(blob) if place.pack != commit.pack}
            for place in set(_places(blob)) - left:
                self._txn.delete(MOVED, copy_key(digest, place))
            self._settle_on(digest, blob, left)

    def forget(
        self, pack: PackId, digests: Iterable[bytes], there: Callable[[PackId], bool]
    ) -> int:
        """Drop the places of blobs in a pack that is to vanish; return how many must stay.

        Those are needed and have no other place in a pack that is `there`, damaged ones included.
        """
        kept = 0
        for digest in digests:
            blob = self._blob(digest)
            left = {place for place in _places(blob) if place.pack != pack}
            gone = set(_places(blob)) - left
            needed = blob.refs and (gone or self._damaged_in(pack, digest))
            if needed and not any(there(place.pack) for place in left):
                kept += 1
                continue
            self._settle_on(digest, blob, left)
            for place in gone:
                self._txn.delete(MOVED, copy_key(digest, place))
        return kept

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
            if blob.refs or blob.place is not None:
                self._txn.put(BLOBS, digest, encode(blob))
            else:
                self._txn.delete(BLOBS, digest)
        for pack, use in self._packs.items():
            self._txn.put(PACKS, row_key(pack), encode(use))

    def _dropped(self, pack: PackId) -> bool:
        use = self._packs.get(pack)
        if use is None:
            value = self._txn.get(PACKS, row_key(pack))
            return value is not None and decode_pack(value).dropped
        return use.dropped

    def _damaged(self, digest: bytes, place: BlobPlace) -> Damaged | None:
        if self._txn.bare(DAMAGED):
            return None
        value = self._txn.get(DAMAGED, copy_key(digest, place))
        return decode_damaged(value) if value is not None else None

    def _damaged_in(self, pack: PackId, digest: bytes) -> bool:
        """Say whether a damaged copy of a blob is known in a pack."""
        rows = self._txn.scan(DAMAGED, digest + row_key(pack))
        return any(decode_damaged(value).reason for _, value in rows)

    def _settle_on(self, digest: bytes, blob: Blob, places: set[BlobPlace]) -> None:
        """Let the first of `places` be the blob's place and the others its copies."""
        ordered = list(places)
        if len(ordered) > 1:
            ordered.sort(key=lambda place: (self._moved(digest, place), place.pack, place.offset))
        first, copies = (ordered[0] if ordered else None), ordered[1:]
        if copies != blob.copies:
            for sign, rest in ((-1, blob.copies), (+1, copies)):
                for place in rest:
                    self._pack(place.pack).spare += sign * place.size
            blob.copies = copies
        if first != blob.place:
            if blob.place is not None:
                self._account(blob, -1)
            blob.place = first
            if first is not None:
                self._account(blob, +1)

    def _moved(self, digest: bytes, place: BlobPlace) -> bool:
        return self._txn.get(MOVED, copy_key(digest, place)) is not None

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
            value = self._txn.get(BLOBS, digest)
            blob = decode_blob(value) if value is not None else Blob(None, 0)
            self._blobs[digest] = blob
        return blob

    def _pack(self, pack: PackId) -> PackUse:
        use = self._packs.get(pack)
        if use is None:
            value = self._txn.get(PACKS, row_key(pack))
            use = decode_pack(value) if value is not None else PackUse(0, 0, 0)
            self._packs[pack] = use
        return use


def _places(blob: Blob) -> list[BlobPlace]:
    return [*([blob.place] if blob.place is not None else []), *blob.copies]
