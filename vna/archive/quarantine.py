"""Copies of blobs that fail their check: found, recorded, not served, and replaced when they come again.

A damaged place is recorded by a commit like any other, so that it holds for every process and
survives a rebuild; docs/format/index.md says what follows from it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from vna.archive.commit import Committer, Proposal
from vna.errors import Corrupt, VnaError
from vna.index import Index
from vna.observe import metrics
from vna.storage import AwayPack, BlobStore, MissingPack, tier_of
from vna.types import BlobPlace, DamageCommit

__all__ = ["LostBlob", "Quarantine"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LostBlob:
    """A blob that objects need and that has no undamaged copy: its digest, and why."""

    digest: str
    reason: str


class Quarantine:
    """Judges blobs. Thread-safe."""

    def __init__(self, store: BlobStore, index: Index, committer: Committer) -> None:
        self._store = store
        self._index = index
        self._committer = committer

    def verdict(self, digest: bytes, place: BlobPlace | None) -> str:
        """Read a blob back; return what is wrong with it, or nothing.

        Damage is recorded. What cannot be read now is named only: it may be readable again. A copy
        that has meanwhile moved is read where it is now, unless on another tier: a move there reads
        back what it wrote. Raises AwayPack when nothing can be said, as its tier is away.
        """
        if place is None:
            return self._known(digest)
        try:
            self._verify(digest, place)
        except Corrupt as error:
            self._record(digest, place, str(error))
            return str(error)
        except MissingPack as error:
            with self._index.read() as reader:
                places = reader.places(digest)
            if not places or place in places:
                return str(error)
            here = [each for each in places if tier_of(each.pack) == tier_of(place.pack)]
            return self.verdict(digest, here[0]) if here else ""
        except AwayPack:
            raise
        except VnaError as error:
            return str(error)
        return ""

    def lost(self) -> list[LostBlob]:
        """Return the blobs that have no undamaged copy and are needed."""
        with self._index.read() as reader:
            return [
                LostBlob(digest.hex(), damaged.reason)
                for digest, damaged in reader.damage()
                if reader.blob(digest) is None and reader.refs(digest)
            ]

    def look_again(self) -> None:
        """Read back what is recorded as damaged; a pack may have been put back from a backup."""
        with self._index.read() as reader:
            recorded = list(reader.damage())
        for digest, damaged in recorded:
            try:
                self._store.verify(damaged.place, digest)
            except VnaError:
                continue
            # a pack that was removed may be open here still: nobody is to look for blobs in it
            if self._store.has(damaged.place.pack):
                self._record(digest, damaged.place, "")

    def _verify(self, digest: bytes, place: BlobPlace) -> None:
        try:
            self._store.verify(place, digest)
        except Corrupt:
            self._store.verify(place, digest)  # once more: what failed may have been the reading

    def _record(self, digest: bytes, place: BlobPlace, reason: str) -> None:
        """Make durable what was found; that there is no room for it now is no reason to stop."""

        def record(stamp: int) -> DamageCommit:
            return DamageCommit(stamp, digest, place, reason)

        try:
            self._committer.submit(Proposal(record)).result()
        except VnaError as error:
            log.warning("blob %s: damage could not be recorded: %s", digest.hex(), error)
        else:
            metrics.DAMAGE_RECORDED.add("damaged" if reason else "sound")
            log.warning("blob %s: %s", digest.hex(), reason or "a damaged copy is sound again")

    def _known(self, digest: bytes) -> str:
        with self._index.read() as reader:
            reasons = [damaged.reason for _, damaged in reader.damage(digest)]
        return reasons[0] if reasons else f"blob {digest.hex()} is not in the index"
