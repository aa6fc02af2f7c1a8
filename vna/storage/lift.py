"""Blobs taken out of a pack, to be written to another; every byte is checked on the way.

A record keeps its chunks as they are unless another codec is asked for: only the checksum of its
place is made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vna._native import Blake3, EncodedBlob
from vna.storage.codecs import NAMES, CodecName
from vna.storage.encode import encode_record
from vna.storage.format import RECORD_HEADER
from vna.storage.read import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vna._native import Buffer
    from vna.storage.stream import BlobStream
    from vna.storage.tier import PackReader
    from vna.types import BlobPlace, Geometry

LARGE_RECORD: Final = 64 << 20
"""Bytes of a record up to which it is held in memory as a whole."""

GAP: Final = 1 << 20
"""Bytes that are read without being wanted, rather than ask once more."""

_FRONT: Final = RECORD_HEADER.size


class _Held:
    """One record of a pack, in memory."""

    def __init__(self, data: bytes | memoryview, offset: int) -> None:
        self._data = data
        self._offset = offset

    def size(self) -> int:
        return self._offset + len(self._data)

    def read(self, offset: int, length: int) -> bytes | memoryview:
        start = offset - self._offset
        return self._data[start : start + length]

    read_present = read

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        yield self.read(offset, length)

    def close(self) -> None:
        """Nothing is open."""


def held(source: PackReader, place: BlobPlace) -> PackReader:
    """Return the record of a blob in memory, from one read, as a pack that has no other."""
    return _Held(source.read(place.offset, place.size), place.offset)


def held_run(source: PackReader, places: Sequence[BlobPlace]) -> PackReader:
    """Return records that lie one after the other in memory, from one read."""
    start, last = places[0].offset, places[-1]
    return _Held(source.read(start, last.offset + last.size - start), start)


def runs(places: Iterable[BlobPlace], longest: int) -> Iterator[list[BlobPlace]]:
    """Yield places as they come, in runs that lie side by side in a pack, of at most `longest` bytes.

    Places between which at most `GAP` bytes are not wanted count as side by side.
    """
    run: list[BlobPlace] = []
    for place in places:
        if run:
            end = run[-1].offset + run[-1].size
            near = place.pack == run[-1].pack and 0 <= place.offset - end <= GAP
            if not near or place.offset + place.size - run[0].offset > longest:
                yield run
                run = []
        run.append(place)
    if run:
        yield run


def lift(  # noqa: PLR0917
    source: PackReader,
    place: BlobPlace,
    digest: bytes,
    codec: CodecName | None,
    level: int,
    geometry: Geometry | None = None,
) -> EncodedBlob:
    """Return the record of a blob, ready to be appended elsewhere. Corrupt if it is not whole."""
    front = held(source, place)
    record = StoredRecord.placed(front, place)
    record.verify(digest)
    header = record.header
    if codec is None or not header.length:
        rest = memoryview(front.read(place.offset, place.size))[_FRONT:]
        return EncodedBlob(header.fields, [rest])
    raw = record.read(0, header.length)
    return encode_record(
        header.kind, digest, [raw], header.stride, codec, level=level, geometry=geometry
    )


def rest_of(source: PackReader, place: BlobPlace) -> Iterator[Buffer]:
    """Yield what follows the header of a record, a piece at a time, as it is."""
    return source.stream(place.offset + _FRONT, place.size - _FRONT)


def pour(source: PackReader, place: BlobPlace, digest: bytes, stream: BlobStream) -> None:
    """Write a blob of any size into `stream`, a piece at a time. Corrupt if it is not whole.

    The stream is left open: it is the caller's to finish, or to abort after an error.
    """
    record = StoredRecord.placed(source, place)
    hasher = Blake3()
    for piece in record.pieces(0, place.length, 1 << 20):
        hasher.update(piece)
        stream.write(piece)
    if hasher.digest() != digest or record.header.digest != digest:
        raise record.corrupt("the blob does not have the digest it is stored under")


def codec_of(source: PackReader, place: BlobPlace) -> CodecName:
    """Return how the first chunk of a blob is stored: what the others were offered too."""
    return NAMES[StoredRecord.placed(source, place).first_codec()]
