"""Stored objects on their way out: whole, by frame, by bulk value, or as metadata.

Everything here may wait for a disk: call it through `Archive.run` or `Archive.stream`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from vna.archive.blobs import BlobReads
from vna.archive.expand import Expanded
from vna.archive.frames import cut_frame
from vna.dicom.part10 import file_prefix
from vna.dicom.paths import bulk_path
from vna.dicom.scan import header_json
from vna.errors import Corrupt, Deleted, NotFound
from vna.index import Index, Instance, Reader
from vna.types import BlobPlace, Hole, Version

__all__ = ["Retrieval", "StoredObject"]

Piece: TypeAlias = bytes | memoryview

PREAMBLE = 128


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An instance as it stands, and who it belongs to."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    version: Version

    @property
    def transfer_syntax(self) -> str:
        """UID of the transfer syntax it is stored in."""
        return self.version.transfer_syntax

    @property
    def length(self) -> int:
        """Bytes of the data set."""
        return self.version.length

    @property
    def frame_count(self) -> int:
        """Frames that can be asked for; 0 without pixel data."""
        return self.version.frames.count if self.version.frames else 0


class Retrieval:
    """Reads objects: the index says where the blobs are, `blobs` gives their bytes."""

    def __init__(self, blobs: BlobReads, index: Index, max_expanded_bytes: int) -> None:
        self._blobs = blobs
        self._index = index
        self._max_expanded = max_expanded_bytes

    # which ------------------------------------------------------------------------------------
    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """Return the live instances of a study, series, or the one instance, in arrival order.

        Raises Deleted or NotFound, naming the level and UID, when there is none.
        """
        with self._index.read() as reader:
            study = reader.study(study_uid)
            if study is None:
                raise _absent(reader.deleted_study(study_uid), "study", study_uid)
            if sop_uid is not None:
                return [self._instance(reader, study.id, series_uid, sop_uid)]
            if series_uid is None:
                series_of = {series.id: series.uid for series in reader.series_of(study.id)}
                found = reader.instances_of(study.id)
            else:
                series = reader.series(series_uid, study.id)
                if series is None:
                    raise _absent(reader.deleted_series(series_uid), "series", series_uid)
                series_of = {series.id: series.uid}
                found = reader.instances_of(study.id, series.id)
            return [
                _stored(study_uid, series_of[instance.series_id], instance) for instance in found
            ]

    def _instance(
        self, reader: Reader, study_id: int, series_uid: str | None, sop_uid: str
    ) -> StoredObject:
        instance = reader.instance(sop_uid)
        if instance is None or instance.study_id != study_id:
            raise _absent(reader.tombstone(sop_uid) is not None, "instance", sop_uid)
        series = reader.series_by_id(instance.study_id, instance.series_id)
        study = reader.study_by_id(study_id)
        assert series is not None, "an instance has a series"
        assert study is not None, "an instance has a study"
        if series_uid is not None and series.uid != series_uid:
            raise NotFound(f"instance {sop_uid} is not in series {series_uid}")
        return _stored(study.uid, series.uid, instance)

    # whole ------------------------------------------------------------------------------------
    def dataset(self, stored: StoredObject) -> Iterator[Piece]:
        """Yield the data set's bytes exactly as received, in bounded pieces."""
        version = stored.version
        with self._index.read() as reader:
            header = _place(reader, version.header, stored)
            bulks = [_place(reader, hole.blob, stored) for hole in version.holes]
        position = version.prefix
        for hole, place in zip(version.holes, bulks, strict=True):
            if hole.offset > position:
                yield from self._pieces(stored, version.header, header, position, hole.offset)
                position = hole.offset
            yield from self._pieces(stored, hole.blob, place)
        if position < header.length:
            yield from self._pieces(stored, version.header, header, position)

    def file(self, stored: StoredObject, ae_title: str) -> tuple[int, Iterator[Piece]]:
        """Return length and pieces of the object as a Part 10 file.

        A file that came with preamble and file meta information comes back with its own; for
        other objects they are made, with `ae_title` as the source (PS3.10 7.1).
        """
        prefix = self._prefix(stored) or file_prefix(
            sop_class=stored.sop_class,
            sop_uid=stored.sop_uid,
            transfer_syntax=stored.transfer_syntax,
            ae_title=ae_title,
        )

        def pieces() -> Iterator[Piece]:
            yield prefix
            yield from self.dataset(stored)

        return len(prefix) + stored.length, pieces()

    def _prefix(self, stored: StoredObject) -> bytes:
        """Return the prefix that the object came with, or nothing if it makes no Part 10 file."""
        if stored.version.prefix <= PREAMBLE + 4:
            return b""
        prefix = self._read(stored, stored.version.header, 0, stored.version.prefix)
        return prefix if prefix[PREAMBLE : PREAMBLE + 4] == b"DICM" else b""

    # parts ------------------------------------------------------------------------------------
    def frame(self, stored: StoredObject, number: int) -> Piece:
        """Return frame `number` (from 1): native bytes, or the payload of its fragments.

        A native frame that does not begin on a byte is shifted so that it does. Raises NotFound
        for a number outside the object.
        """
        if stored.version.deflated:
            expanded = self._expanded(stored)
            frames, pixels = expanded.frames, expanded.pixels
        else:
            frames = stored.version.frames
            blob = stored.version.holes[frames.hole].blob if frames else b""

            def pixels(start: int, stop: int) -> bytes:
                return self._read(stored, blob, start, stop)

        def table(start: int, stop: int) -> bytes:
            return self._read(stored, (frames and frames.table) or b"", start, stop)

        return cut_frame(frames, number, pixels, table, stored.sop_uid)

    def bulk(self, stored: StoredObject, path: tuple[int, ...]) -> Hole:
        """Return what the bulk value at `path` is.

        Exactly the values that metadata names by BulkDataURI are there; others are NotFound.
        """
        version = stored.version
        holes = self._expanded(stored).holes if version.deflated else version.holes
        for hole in holes:
            if hole.path == path:
                return hole
        raise NotFound(f"instance {stored.sop_uid} has no bulk value at {bulk_path(path)}")

    def bulk_range(
        self, stored: StoredObject, hole: Hole, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield bytes `[start, stop)` of a bulk value as stored."""
        if stored.version.deflated:
            yield from self._expanded(stored).value(hole, start, stop)
            return
        yield from self._pieces(stored, hole.blob, self._where(stored, hole.blob), start, stop)

    def metadata(self, stored: StoredObject, bulk_uri: str) -> bytes:
        """Return the DICOM JSON of the object without its bulk values (PS3.18 F.2), as UTF-8.

        `bulk_uri` is the stem of BulkDataURIs: stem, slash, path.
        """
        if stored.version.deflated:
            expanded = self._expanded(stored)
            return header_json(
                expanded.header, 0, expanded.transfer_syntax, expanded.holes, bulk_uri
            )
        version = stored.version
        header = self._read(stored, version.header)
        return header_json(header, version.prefix, version.transfer_syntax, version.holes, bulk_uri)

    # inside -----------------------------------------------------------------------------------
    def _read(
        self, stored: StoredObject, digest: bytes, start: int = 0, stop: int | None = None
    ) -> bytes:
        place = self._where(stored, digest)
        stop = place.length if stop is None else stop
        _check_range(stored, place, start, stop)
        return self._blobs.read(digest, place, start, stop)

    def _pieces(
        self,
        stored: StoredObject,
        digest: bytes,
        place: BlobPlace,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[Piece]:
        """Yield bytes of a blob that was at `place` when that was looked up."""
        stop = place.length if stop is None else stop
        _check_range(stored, place, start, stop)
        yield from self._blobs.pieces(digest, place, start, stop)

    def _where(self, stored: StoredObject, digest: bytes) -> BlobPlace:
        with self._index.read() as reader:
            return _place(reader, digest, stored)

    def _expanded(self, stored: StoredObject) -> Expanded:
        """Return a deflated object parted as if it were not."""
        return Expanded(lambda: self.dataset(stored), self._max_expanded, stored.sop_uid)


def _absent(deleted: bool, level: str, uid: str) -> NotFound:
    if deleted:
        return Deleted(f"{level} {uid} was deleted")
    return NotFound(f"{level} {uid} is not in the archive")


def _stored(study_uid: str, series_uid: str, instance: Instance) -> StoredObject:
    return StoredObject(study_uid, series_uid, instance.uid, instance.sop_class, instance.version)


def _place(reader: Reader, digest: bytes, stored: StoredObject) -> BlobPlace:
    place = reader.blob(digest)
    if place is None:
        raise Corrupt(f"instance {stored.sop_uid}: blob {digest.hex()} has no undamaged copy")
    return place


def _check_range(stored: StoredObject, place: BlobPlace, start: int, stop: int) -> None:
    """Raise Corrupt unless a blob has the bytes that the index says an object has there."""
    if not 0 <= start <= stop <= place.length:
        raise Corrupt(
            f"instance {stored.sop_uid}: its index entry asks for bytes {start} to {stop} of a blob"
            f" of {place.length}; `vna rebuild-index` makes it again"
        )
