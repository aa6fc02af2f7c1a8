"""The store: the one door to blobs, wherever their packs are."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from vna._native import EncodedBlob, raw_blob
from vna.clock import Clock, SystemClock
from vna.errors import Corrupt, Unavailable
from vna.storage.codecs import CodecName
from vna.storage.decoded import DecodedChunks
from vna.storage.faults import reading, write_error
from vna.storage.format import PACK_HEADER, pack_name
from vna.storage.lift import (
    LARGE_RECORD,
    codec_of,
    held,
    held_run,
    lift,
    pour,
    rest_of,
    runs,
)
from vna.storage.open_packs import OpenPacks
from vna.storage.orphan import OrphanPack
from vna.storage.present import PresentBlobs
from vna.storage.read import StoredRecord
from vna.storage.stream import BlobStream
from vna.storage.tiers.cached import CachedReader, CachedTier, Flight
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.tierset import HOT, TierSet, tier_of
from vna.storage.walk import RecordWalk, ends_in_seal
from vna.storage.whole import LargeBlob, WholePack
from vna.storage.writer import OwnedPack, PackWriter
from vna.types import BlobKind, BlobPlace, PackId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vna._native import Buffer
    from vna.storage.tier import HotTier, PackReader, Tier
    from vna.types import Geometry

T = TypeVar("T")

_PIECE: Final = 1 << 20
_SMALL: Final = 64 << 10
RECALL_RUN: Final = 128 << 20
"""Bytes that a recall gets by one request at most."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where packs are and how they are written.

    `node` is this machine's number, unique in the archive. A pack is sealed when the next append
    would exceed `pack_size_bytes`. `open_packs` bounds the packs kept open for reading, and
    `decoded_cache_bytes` the chunks kept in memory that had to be decoded.
    """

    path: Path
    node: int = 1
    pack_size_bytes: int = 1 << 30
    codec: CodecName = "zstd"
    zstd_level: int = 1
    open_packs: int = 256
    decoded_cache_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class PackInfo:
    """A pack and its size in bytes."""

    id: PackId
    size: int


class BlobStore:
    """Blobs and commits in packs on a tier. Thread-safe; its writers and streams are not.

    Reads raise Corrupt when stored bytes fail a check, naming pack and offset, and Unavailable
    when a pack is missing or cannot be read. `present` reads without ever waiting for a disk.
    """

    def __init__(
        self,
        settings: StorageSettings,
        tier: HotTier | None = None,
        clock: Clock | None = None,
        lower: Mapping[int, Tier] | None = None,
    ) -> None:
        """Open the store on a hot tier, with the tiers below it by number.

        Unavailable when the hot tier cannot be used; the others may be away.
        """
        self._settings = settings
        self._clock = clock or SystemClock()
        try:
            self._tier = tier or DirectoryTier(settings.path)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the pack directory {settings.path} cannot be used: {error}"
            ) from error
        self.tiers = TierSet(self._tier, lower or {})
        self._packs = OpenPacks(self.tiers, settings.open_packs)
        self._decoded = DecodedChunks(settings.decoded_cache_bytes)
        self.present = PresentBlobs(self._packs, self._decoded)

    @property
    def identity(self) -> str:
        """The UUID of the tier; another one means another place."""
        return self._tier.identity

    def close(self) -> None:
        """Close the packs that are open for reading."""
        self._packs.close()

    def writer(self) -> PackWriter:
        """Return a writer with an active pack of its own, which is made at its first append."""
        settings = self._settings
        return PackWriter(self._tier, settings.node, settings.pack_size_bytes, self._clock)

    def stream(
        self,
        chunk_length: int,
        kind: BlobKind = BlobKind.BULK,
        codec: CodecName | None = None,
    ) -> BlobStream:
        """Begin a large blob in a pack of its own. Full or Unavailable."""
        settings = self._settings
        pack = OwnedPack.create(self._tier, settings.node, self._clock)
        codec = codec or settings.codec
        return BlobStream(
            self._tier,
            pack,
            chunk_length,
            kind,
            codec=codec,
            level=settings.zstd_level,
        )

    def read(self, place: BlobPlace, start: int = 0, stop: int | None = None) -> bytes | memoryview:
        """Return bytes `[start, stop)` of a blob."""
        stop = _bounded(place, start, stop)
        if (kept := self._decoded.read(place, start, stop)) is not None:
            return kept
        keep = partial(self._decoded.keep, place)
        with reading(place.pack), self._packs.pin(place.pack) as source:
            if not isinstance(source, CachedReader):
                return StoredRecord.placed(source, place).read(start, stop, keep)
            source.want(place.offset, place.size)
            try:
                return StoredRecord.placed(source, place).read(start, stop, keep)
            except Corrupt:  # the cache may be wrong; the tier is asked once more
                source.drop(place.offset, place.size)
                return StoredRecord.placed(source, place).read(start, stop, keep)

    def read_each(self, places: Iterable[BlobPlace]) -> Iterator[bytes | memoryview]:
        """Yield small blobs, each whole. A pack stays open from one to the next that is in it."""
        for pack, run in groupby(places, attrgetter("pack")):
            with reading(pack), self._packs.pin(pack) as source:
                for place in run:
                    if isinstance(source, CachedReader):
                        yield self.read(place)
                    else:
                        yield _whole(source, place)

    def pieces(
        self, place: BlobPlace, start: int = 0, stop: int | None = None, piece_length: int = _PIECE
    ) -> Iterator[memoryview]:
        """Yield bytes `[start, stop)` of a blob in order, at most `piece_length` at a time.

        Holds no more than that, or one chunk. The pack is held open from the first piece until
        the end, or until the iterator is closed.
        """

        def pieces(record: StoredRecord, start: int) -> Iterator[tuple[int, memoryview]]:
            return ((len(each), each) for each in record.pieces(start, end, piece_length))

        end = _bounded(place, start, stop)
        return (piece for _, piece in self._parts(place, start, end, pieces))

    def zstd_frames(
        self, place: BlobPlace, start: int, stop: int
    ) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield bytes `[start, stop)` of a blob as frames of zstd, and how many bytes each holds.

        Together they are one stream (RFC 8878). Chunks stored in zstd are not decoded; one that
        is to be cut, or too large for clients, is. Holds the pack open as `pieces` does.
        """

        def frames(record: StoredRecord, start: int) -> Iterator[tuple[int, bytes | memoryview]]:
            return record.zstd_frames(start, stop)

        return self._parts(place, start, stop, frames)

    def verify(self, place: BlobPlace, digest: bytes) -> None:
        """Read the whole record back and check every byte of it.

        Corrupt unless it is as it was written and the blob's BLAKE3 is `digest`.
        """
        with reading(place.pack), self._uncached(place.pack) as source:
            if tier_of(place.pack) != HOT and place.size <= LARGE_RECORD:
                source = held(source, place)  # noqa: PLW2901  # by one request
            StoredRecord.placed(source, place).verify(digest)

    def lift(
        self,
        place: BlobPlace,
        digest: bytes,
    ) -> EncodedBlob:
        """Return the record of a blob, to be appended elsewhere, its chunks as they are.

        It is read as a whole and checked, BLAKE3 included: Corrupt unless it is as it was written.
        """
        with reading(place.pack), self._uncached(place.pack) as source:
            return lift(source, place, digest, None, self._settings.zstd_level)

    def lift_run(
        self,
        named: Sequence[tuple[bytes, BlobPlace]],
        codec: CodecName | None = None,
        geometries: Mapping[bytes, Geometry | None] | None = None,
    ) -> Iterator[EncodedBlob | Corrupt]:
        """Yield the records of blobs as `lift` does, what is damaged as the error.

        Chunks are stored anew with `codec`, if that is given. `geometries` says of blobs that are pixels how those lie. Those that lie side by side are one read, of at most 64 MiB.
        """
        digests = {place: digest for digest, place in named}
        for run in runs((place for _, place in named), LARGE_RECORD):
            with reading(run[0].pack), self._uncached(run[0].pack) as source:
                front = held_run(source, run)
            for place in run:
                try:
                    digest = digests[place]
                    geometry = geometries.get(digest) if geometries else None
                    level = self._settings.zstd_level
                    yield lift(front, place, digest, codec, level, geometry)
                except Corrupt as error:
                    yield error

    def large(self, place: BlobPlace, digest: bytes) -> LargeBlob:
        """Return the record of a blob of any size, read back and checked, for a whole pack."""
        self.verify(place, digest)
        with reading(place.pack), self._uncached(place.pack) as source:
            header = StoredRecord.placed(source, place).header

        def rest() -> Iterator[Buffer]:
            with reading(place.pack), self._uncached(place.pack) as source:
                yield from rest_of(source, place)

        return LargeBlob(header, rest)

    def keep(self, whole: WholePack, pack: PackId) -> int:
        """Put a whole pack on its tier, under a name that was reserved; return its size.

        Durable there, and read back, on return. Raises Unavailable, Full, Corrupt when the tier
        gave back other bytes, and FileExistsError when it has a pack of that name.
        """
        with self._asking(pack, "cannot be put on its tier"):
            return whole.put(self._plain(tier_of(pack)), pack)

    def reserve(self, number: int) -> PackId:
        """Return a name for a new pack on tier `number`, never given before."""
        try:
            return self.tiers.reserve(self._settings.node, number)
        except OSError as error:
            raise write_error(error, "a new pack cannot be named") from error

    def discard(self, pack: PackId) -> None:
        """Remove a pack of a lower tier, if it is there. Raises Unavailable."""
        with self._asking(pack, "cannot be removed from its tier"):
            self.tiers.tier(tier_of(pack)).remove(pack)

    def lower_packs(self, number: int) -> list[PackInfo]:
        """Return the packs on a lower tier, ascending by id. Raises Unavailable."""
        try:
            return [PackInfo(pack, size) for pack, size in self.tiers.tier(number).list()]
        except OSError as error:
            raise Unavailable(f"tier {number} cannot be listed: {error}") from error

    def front(self, pack: PackId) -> bytes:
        """Return the header of a pack of a lower tier, as it is there. Raises Unavailable."""
        with reading(pack), self._uncached(pack) as source:
            return bytes(source.read(0, PACK_HEADER.size))

    def whole(self, pack: PackId) -> Iterator[Buffer]:
        """Yield a pack of a lower tier from begin to end, by one read. Raises Unavailable."""
        with reading(pack), self._uncached(pack) as source:
            yield from source.stream(0, source.size())

    @property
    def caches(self) -> bool:
        """Whether there is a cache before any tier."""
        return any(isinstance(tier, CachedTier) for tier in self.tiers.lower.values())

    def at_hand(self, place: BlobPlace) -> bool:
        """Return whether a record is on the hot tier, or all of it in the cache."""
        tier = self.tiers.lower.get(tier_of(place.pack))
        if isinstance(tier, CachedTier):
            return tier.cache.covers(place.pack, place.offset, place.offset + place.size)
        return tier_of(place.pack) == HOT

    def begin_recall(self, places: Sequence[BlobPlace]) -> list[Flight]:
        """Return flights that bring records into the cache, in runs as they come in `places`.

        Announced: who wants such a record waits for it, until the flight has landed. Records that
        are there, or on a tier without a cache, are left out.
        """
        flights = []
        for run in runs(self._missing(places), RECALL_RUN):
            tier = self.tiers.tier(tier_of(run[0].pack))
            assert isinstance(tier, CachedTier), "others are left out"
            stop = run[-1].offset + run[-1].size
            flights.append(tier.begin(run[0].pack, run[0].offset, stop))
        return flights

    def _missing(self, places: Sequence[BlobPlace]) -> Iterator[BlobPlace]:
        for place in places:
            tier = self.tiers.lower.get(tier_of(place.pack))
            if isinstance(tier, CachedTier):
                stop = place.offset + place.size
                if not tier.cache.covers(place.pack, place.offset, stop):
                    yield place

    def copy_large(
        self,
        place: BlobPlace,
        digest: bytes,
    ) -> BlobPlace:
        """Copy a blob into a hot pack of its own, in bounded memory. Durable on return.

        It is checked, BLAKE3 included: Corrupt unless it is as it was written. Raises Full too.
        """
        with reading(place.pack), self._uncached(place.pack) as source:
            record = StoredRecord.placed(source, place).header
            stream = self.stream(record.stride, BlobKind(record.kind), codec_of(source, place))
            try:
                pour(source, place, digest, stream)
                return stream.finish(digest)
            finally:
                stream.abort()

    def has_record(self, pack: PackId, offset: int) -> bool:
        """Return whether a record begins at `offset` of a pack, or is the first one for 0."""
        at = max(offset, PACK_HEADER.size)
        with reading(pack), self._packs.pin(pack) as source:
            return StoredRecord.at(source, pack, at, source.size() - at) is not None

    def sealed(self, pack: PackId) -> bool:
        """Return whether a pack is complete: nobody writes it any more."""
        with reading(pack), self._packs.pin(pack) as source:
            return ends_in_seal(source, pack)

    def has(self, pack: PackId) -> bool:
        """Return whether there is a pack of that name; taken for granted below the hot tier."""
        with reading(pack):
            return self.tiers.has(pack)

    def remove(self, pack: PackId) -> None:
        """Remove a pack, durably; what reads in it goes on."""
        try:
            self._tier.remove(pack)
        except OSError as error:
            what = f"pack {pack_name(pack)} cannot be removed"
            raise write_error(error, what) from error
        self.let_go()

    def let_go(self) -> None:
        """Close packs that were removed, so that their space is free; now and then a duty."""
        self._packs.let_go()

    def packs(self) -> list[PackInfo]:
        """Return all packs of the hot tier, ascending by id."""
        try:
            return [PackInfo(pack, size) for pack, size in self._tier.list()]
        except OSError as error:
            raise Unavailable(f"the packs cannot be listed: {error.strerror}") from error

    def records(self, pack: PackId, start: int = 0) -> RecordWalk:
        """Walk the records of a pack from `start` on, blobs by their headers alone."""
        return RecordWalk(self._packs.pin(pack), pack, start)

    @contextmanager
    def claim(self, pack: PackId) -> Iterator[OrphanPack | None]:
        """Own a pack to recover it; None if a live process writes it, or if it is gone."""
        with reading(pack):
            file = self._tier.claim(pack)
        if file is None:
            yield None
            return
        try:
            yield OrphanPack(self._tier, pack, file)
        finally:
            file.close()

    def _plain(self, number: int) -> Tier:
        """Return a tier without the cache before it."""
        tier = self.tiers.tier(number)
        return tier.inner if isinstance(tier, CachedTier) else tier

    @contextmanager
    def _asking(self, pack: PackId, what: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise write_error(error, f"pack {pack_name(pack)} {what}") from error

    @contextmanager
    def _uncached(self, pack: PackId) -> Iterator[PackReader]:
        """Hold a pack open so that its bytes come from the tier, not from the cache before it."""
        with self._packs.pin(pack) as source:
            yield source.inner if isinstance(source, CachedReader) else source

    def _parts(
        self,
        place: BlobPlace,
        start: int,
        stop: int,
        parts: Callable[[StoredRecord, int], Iterator[tuple[int, T]]],
    ) -> Iterator[tuple[int, T]]:
        """Yield the parts that `parts` makes of a blob from `start` on, with the bytes each holds."""
        with reading(place.pack), self._packs.pin(place.pack) as source:
            if not isinstance(source, CachedReader):
                yield from parts(StoredRecord.placed(source, place), start)
                return
            source.want(place.offset, place.size, whole=stop - start > place.length // 2)
            try:
                for size, part in parts(StoredRecord.placed(source, place), start):
                    yield size, part
                    start += size
            except Corrupt:  # as in `read`
                source.drop(place.offset, place.size)
                yield from parts(StoredRecord.placed(source, place), start)


def _whole(source: PackReader, place: BlobPlace) -> bytes:
    """Return a blob, with as little ado as can be if it is small and stored as it is."""
    if place.size <= _SMALL:
        record = source.read_present(place.offset, place.size)
        if record is None:
            record = source.read(place.offset, place.size)
        blob = raw_blob(record, place.pack, place.offset)
        if blob is not None and len(blob) == place.length:
            return blob
    return StoredRecord.placed(source, place).read(0, place.length)


def _bounded(place: BlobPlace, start: int, stop: int | None) -> int:
    stop = place.length if stop is None else stop
    if not 0 <= start <= stop <= place.length:
        raise ValueError(f"bytes {start} to {stop} of a blob of {place.length}")
    return stop
