"""Stored objects on their way out: whole, by frame, by bulk value, or as metadata.

A `Retrieval` of `Recent` and `PresentBlobs` never waits, and raises WouldWait where it would have
to; a `BlockingRetrieval` of `IndexLookup` and `BlobStore` does the same in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Protocol, TypeAlias, TypeVar

from vna.archive.access import AccessKind, AccessLog
from vna.archive.blobs import BlobReads
from vna.archive.expand import Expanded
from vna.archive.frames import Range, cut_frame, in_little_endian
from vna.archive.lookup import Lookup, StoredObject
from vna.archive.spans import Item, Piece, Span
from vna.dicom.part10 import file_prefix
from vna.dicom.paths import bulk_path
from vna.dicom.scan import header_json
from vna.errors import Corrupt, NotFound, WouldWait
from vna.observe import metrics
from vna.storage import HOT, tier_of
from vna.types import BlobPlace, FrameKind, Hole

__all__ = ["Blobs", "BlockingRetrieval", "BulkPath", "Retrieval"]

BulkPath: TypeAlias = tuple[int, ...]
Whole = TypeVar("Whole", bound=Item)

PREAMBLE = 128
AT_ONCE = 256 << 10
"""A header up to this size is read in one go."""


class Blobs(Protocol):
    """Reads blobs."""

    def read(self, digest: bytes, place: BlobPlace, start: int, stop: int) -> Piece:
        """Return bytes `[start, stop)` of a blob that was at `place` when that was looked up."""

    def read_each(self, wanted: Sequence[tuple[bytes, BlobPlace]]) -> Iterator[Piece]:
        """Yield small blobs, each whole."""


class Retrieval:
    """Reads objects: the look-up says where the blobs are, `blobs` gives their bytes."""

    def __init__(self, blobs: Blobs, lookup: Lookup, access: AccessLog) -> None:
        self._blobs = blobs
        self._lookup = lookup
        self._access = access

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """Return the instances of a study, a series, or one. Raises NotFound or Deleted."""
        return self._lookup.objects(study_uid, series_uid, sop_uid)

    def state(self, study_uid: str, series_uid: str | None = None) -> str:
        """Return a text that every change in a study or series changes. Raises NotFound, Deleted."""
        return self._lookup.state(study_uid, series_uid)

    def must_wait(self) -> None:
        """Say that what follows is work for a thread."""
        raise WouldWait

    # whole ------------------------------------------------------------------------------------
    def dataset(self, stored: StoredObject) -> list[Item]:
        """Return what the data set is made of, exactly as received."""
        [(_, dataset)] = self._parts([stored])
        return dataset

    def datasets(self, objects: Sequence[StoredObject]) -> list[list[Item]]:
        """Return what several data sets are made of, looked up and their headers read at once.

        Raises WouldWait where the headers are long.
        """
        found = self._places(objects)
        if sum(first.length for first, *_ in found) > AT_ONCE:
            raise WouldWait
        opened = self._opened(objects, found)
        return [_dataset(stored, header, bulks) for stored, header, bulks in opened]

    def file(self, stored: StoredObject, ae_title: str) -> list[Item]:
        """Return what the object as a Part 10 file is made of.

        A file that came with preamble and file meta information comes back with its own; for
        other objects they are made, with `ae_title` as the source (PS3.10 7.1).
        """
        return self.files([stored], ae_title)[0]

    def files(self, objects: Sequence[StoredObject], ae_title: str) -> list[list[Item]]:
        """Return what several objects as Part 10 files are made of, looked up at once."""
        found = [
            [_file_prefix(stored, prefix, ae_title), *dataset]
            for stored, (prefix, dataset) in zip(objects, self._parts(objects), strict=True)
        ]
        self.note_each("dataset", objects, found)
        return found

    def _parts(self, objects: Sequence[StoredObject]) -> list[tuple[Piece, list[Item]]]:
        """Return the prefix that each object came with, and its data set."""
        parts = []
        for stored, header, bulks in self._opened(objects, self._places(objects)):
            prefix = _part(stored, header, 0, stored.version.prefix)
            parts.append((self._bytes(prefix), _dataset(stored, header, bulks)))
        return parts

    def _opened(
        self, objects: Sequence[StoredObject], found: Sequence[list[BlobPlace]]
    ) -> Iterator[tuple[StoredObject, Item, list[BlobPlace]]]:
        """Yield each object with its header, read unless it is long, and where its bulk values are."""
        short = [
            (stored.version.header, place)
            for stored, (place, *_) in zip(objects, found, strict=True)
            if place.length <= AT_ONCE
        ]
        headers = self._blobs.read_each(short)
        for stored, (place, *bulks) in zip(objects, found, strict=True):
            if place.length <= AT_ONCE:
                yield stored, memoryview(next(headers)), bulks
            else:
                yield stored, Span(stored.version.header, place, 0, place.length), bulks

    def _places(self, objects: Sequence[StoredObject]) -> list[list[BlobPlace]]:
        """Return where the blobs of each object are, its header first."""
        wanted = [_blobs_of(stored) for stored in objects]
        places = iter(self._lookup.places(chain.from_iterable(wanted)))
        return [list(islice(places, len(blobs))) for blobs in wanted]

    # parts ------------------------------------------------------------------------------------
    def expanded(self, stored: StoredObject) -> Expanded | None:
        """Return what several frames of a deflated object are read from; None for any other."""
        return self._expanded(stored) if stored.version.deflated else None

    def frame(
        self,
        stored: StoredObject,
        number: int,
        *,
        big_endian_word: int = 1,
        expanded: Expanded | None = None,
    ) -> Piece:
        """Return frame `number` (from 1): native bytes, or the payload of its fragments.

        A native frame that does not begin on a byte is shifted so that it does. Words of so many
        bytes that are in big endian are turned around before. Raises NotFound for a number outside
        the object.
        """
        tier = HOT
        if stored.version.deflated:
            expanded = expanded or self._expanded(stored)
            frames = expanded.frames
            pixels: Range = expanded.pixels
        else:
            frames = stored.version.frames
            blob = stored.version.holes[frames.hole].blob if frames else b""

            def pixels(start: int, stop: int) -> Piece:
                nonlocal tier
                span = self._span(stored, blob, start, stop)
                tier = tier_of(span.place.pack)
                return self._blobs.read(blob, span.place, span.start, span.stop)

        def table(start: int, stop: int) -> Piece:
            span = self._span(stored, (frames and frames.table) or b"", start, stop)
            return self._blobs.read(span.digest, span.place, span.start, span.stop)

        if frames is not None and frames.kind == FrameKind.NATIVE and big_endian_word > 1:
            length = stored.version.holes[frames.hole].length
            pixels = in_little_endian(pixels, big_endian_word, length)
        frame = cut_frame(frames, number, pixels, table, stored.sop_uid)
        self._served("frame", stored, tier, len(frame))
        return frame

    def frame_item(
        self, stored: StoredObject, number: int, expanded: Expanded | None = None
    ) -> Item:
        """Return frame `number`, or where it is when its bytes lie in a row as they are."""
        span = self._frame_span(stored, number)
        if span is None:
            return self.frame(stored, number, expanded=expanded)
        self._served("frame", stored, tier_of(span.place.pack), len(span))
        return span

    def _frame_span(self, stored: StoredObject, number: int) -> Span | None:
        frames = stored.version.frames
        if frames is None or frames.kind != FrameKind.NATIVE or frames.frame_bits % 8:
            return None
        size = frames.frame_bits // 8
        hole = stored.version.holes[frames.hole]
        if not 1 <= number <= frames.count or number * size > hole.length:
            return None  # `frame` says what is wrong
        return self._span(stored, hole.blob, (number - 1) * size, number * size)

    def bulk(self, stored: StoredObject, path: BulkPath) -> Hole:
        """Return what the bulk value at `path` is.

        Exactly the values that metadata names by BulkDataURI are there; others are NotFound.
        """
        version = stored.version
        holes = self._expanded(stored).holes if version.deflated else version.holes
        for hole in holes:
            if hole.path == path:
                return hole
        raise NotFound(f"instance {stored.sop_uid} has no bulk value at {bulk_path(path)}")

    def bulk_span(self, stored: StoredObject, hole: Hole) -> Span:
        """Return where a bulk value is; of an object that is not deflated."""
        return self._span(stored, hole.blob, 0, hole.length)

    def bulk_item(self, stored: StoredObject, hole: Hole, start: int, stop: int) -> Span:
        """Return where bytes `[start, stop)` of a bulk value are; of an object that is not deflated."""
        span = self.bulk_span(stored, hole)[start:stop]
        self.note("bulk", stored, [span])
        return span

    def metadata(self, stored: StoredObject, bulk_uri: str) -> bytes:
        """Return the DICOM JSON of the object without its bulk values (PS3.18 F.2), as UTF-8.

        `bulk_uri` is the stem of BulkDataURIs: stem, slash, path.
        """
        return self.metadata_of([stored], [bulk_uri])[0]

    def metadata_of(self, objects: Sequence[StoredObject], bulk_uris: Sequence[str]) -> list[bytes]:
        """Return `metadata` of several objects, looked up at once."""
        plain = [stored for stored in objects if not stored.version.deflated]
        digests = [stored.version.header for stored in plain]
        places = self._lookup.places(zip(plain, digests, strict=True))
        headers = self._blobs.read_each(list(zip(digests, places, strict=True)))
        found = []
        for stored, uri in zip(objects, bulk_uris, strict=True):
            version = stored.version
            if version.deflated:
                inner = self._expanded(stored)
                text = header_json(inner.header, 0, inner.transfer_syntax, inner.holes, uri)
            else:
                syntax, holes = version.transfer_syntax, version.holes
                text = header_json(next(headers), version.prefix, syntax, holes, uri)
            found.append(text)
        metrics.RETRIEVED.add("metadata", by=len(found))
        metrics.RETRIEVED_BYTES.add("metadata", by=sum(map(len, found)))
        return found

    # inside -----------------------------------------------------------------------------------
    def note(self, kind: AccessKind, stored: StoredObject, items: Iterable[Item]) -> None:
        """Count that items of an object are read to be sent."""
        tier, size = _tier_and_size(items)
        self._served(kind, stored, tier, size)

    def note_each(
        self, kind: AccessKind, objects: Iterable[StoredObject], found: Iterable[Iterable[Item]]
    ) -> None:
        """Count as `note` does, for each object: those of a series in one step."""
        series: dict[tuple[str, str, int], tuple[StoredObject, list[int]]] = {}
        for stored, items in zip(objects, found, strict=True):
            tier, size = _tier_and_size(items)
            key = stored.study_uid, stored.series_uid, tier
            series.setdefault(key, (stored, []))[1].append(size)
        for (*_, tier), (stored, sizes) in series.items():
            self._served(kind, stored, tier, sum(sizes), len(sizes))

    def _served(
        self, kind: AccessKind, stored: StoredObject, tier: int, size: int, reads: int = 1
    ) -> None:
        _count(kind, size, reads)
        self._access.note(stored.study_uid, stored.series_uid, kind, tier, size, reads=reads)

    def _span(self, stored: StoredObject, digest: bytes, start: int, stop: int) -> Span:
        place = self._lookup.place(stored, digest)
        _check_part(stored, place.length, start, stop)
        return Span(digest, place, start, stop)

    def _bytes(self, item: Item) -> Piece:
        if isinstance(item, Span):
            return self._blobs.read(item.digest, item.place, item.start, item.stop)
        return item

    def _expanded(self, stored: StoredObject) -> Expanded:  # noqa: ARG002
        """Return a deflated object parted as if it were not: here, that is too much work."""
        raise WouldWait


class BlockingRetrieval(Retrieval):
    """Reads objects, waiting for disks; call it through `Archive.run`."""

    def __init__(
        self, blobs: BlobReads, lookup: Lookup, access: AccessLog, max_expanded_bytes: int
    ) -> None:
        """A deflated data set that inflates to more than `max_expanded_bytes` is not looked into."""
        super().__init__(blobs, lookup, access)
        self._pieces = blobs.pieces
        self._max_expanded = max_expanded_bytes

    def must_wait(self) -> None:
        """Nothing: this is a thread."""

    def pieces(self, items: Iterable[Item]) -> Iterator[Piece]:
        """Yield the bytes of the items, in bounded pieces."""
        for item in items:
            if isinstance(item, Span):
                yield from self._pieces(item.digest, item.place, item.start, item.stop)
            else:
                yield item

    def bulk_range(
        self, stored: StoredObject, hole: Hole, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield bytes `[start, stop)` of a bulk value as stored."""
        if not stored.version.deflated:
            return self.pieces([self.bulk_item(stored, hole, start, stop)])
        self._served("bulk", stored, HOT, stop - start)
        return self._expanded(stored).value(hole, start, stop)

    def _expanded(self, stored: StoredObject) -> Expanded:
        """Return a deflated object parted as if it were not."""
        return Expanded(
            lambda: self.pieces(self.dataset(stored)), self._max_expanded, stored.sop_uid
        )


def _count(resource: str, size: int, reads: int = 1) -> None:
    metrics.RETRIEVED.add(resource, by=reads)
    metrics.RETRIEVED_BYTES.add(resource, by=size)


def _tier_and_size(items: Iterable[Item]) -> tuple[int, int]:
    """Return the tier of the longest item that is to be read, and the bytes of all."""
    size, longest, tier = 0, 0, HOT
    for item in items:
        length = len(item)
        size += length
        if length > longest and isinstance(item, Span):
            longest, tier = length, tier_of(item.place.pack)
    return tier, size


def _blobs_of(stored: StoredObject) -> list[tuple[StoredObject, bytes]]:
    """Return the blobs of an object, its header first, then its bulk values."""
    version = stored.version
    return [(stored, version.header), *((stored, hole.blob) for hole in version.holes)]


def _file_prefix(stored: StoredObject, prefix: Piece, ae_title: str) -> Piece:
    """Return what stands before the data set in a file: what it came with, or one that is made."""
    if len(prefix) > PREAMBLE + 4 and prefix[PREAMBLE : PREAMBLE + 4] == b"DICM":
        return prefix
    return file_prefix(
        sop_class=stored.sop_class,
        sop_uid=stored.sop_uid,
        transfer_syntax=stored.transfer_syntax,
        ae_title=ae_title,
    )


def _dataset(stored: StoredObject, header: Item, bulks: Iterable[BlobPlace]) -> list[Item]:
    """Return what a data set is made of: parts of the header, and bulk values between them."""
    dataset: list[Item] = []
    position = stored.version.prefix
    _check_part(stored, len(header), 0, position)
    for hole, where in zip(stored.version.holes, bulks, strict=True):
        if hole.offset > position:
            dataset.append(_part(stored, header, position, hole.offset))
            position = hole.offset
        if where.length:
            dataset.append(Span(hole.blob, where, 0, where.length))
    if position < len(header):
        dataset.append(_part(stored, header, position, len(header)))
    return dataset


def _part(stored: StoredObject, whole: Whole, start: int, stop: int) -> Whole:
    """Return bytes `[start, stop)` of a blob. Raises Corrupt unless it has what the index says."""
    _check_part(stored, len(whole), start, stop)
    return whole[start:stop]  # type: ignore[return-value]  # a part is of the same kind


def _check_part(stored: StoredObject, length: int, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= length:
        raise Corrupt(
            f"instance {stored.sop_uid}: its index entry asks for bytes {start} to {stop} of a blob"
            f" of {length}; `vna rebuild-index` makes it again"
        )
