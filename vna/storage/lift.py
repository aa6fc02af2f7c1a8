"""Blobs taken out of a pack, to be written to another; every byte is checked on the way.

A record keeps its chunks as they are unless another codec is asked for: only the checksum of its
place is made anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vna._native import Blake3
from vna.storage.codecs import CODEC_IDS, CodecName
from vna.storage.encode import EncodedBlob, encode_record
from vna.storage.format import RECORD_HEADER
from vna.storage.read import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vna._native import Buffer
    from vna.storage.stream import BlobStream
    from vna.storage.tier import PackReader
    from vna.types import BlobPlace

LARGE_RECORD: Final = 64 << 20
"""Bytes of a record up to which it is held in memory as a whole."""

_FRONT: Final = RECORD_HEADER.size
_NAMES: Final[dict[int, CodecName]] = {number: name for name, number in CODEC_IDS.items()}


class _Held:
    """One record of a pack, in memory."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def size(self) -> int:
        return self._offset + len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        start = offset - self._offset
        return self._data[start : start + length]

    read_present = read

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        yield self.read(offset, length)

    def close(self) -> None:
        """Nothing is open."""


def lift(
    source: PackReader, place: BlobPlace, digest: bytes, codec: CodecName | None, level: int
) -> EncodedBlob:
    """Return the record of a blob, ready to be appended elsewhere. Corrupt if it is not whole."""
    held = _Held(source.read(place.offset, place.size), place.offset)
    record = StoredRecord.placed(held, place)
    record.verify(digest)
    header = record.header
    if codec is None or not header.length:
        return EncodedBlob(header, [memoryview(held.read(place.offset, place.size))[_FRONT:]])
    raw = record.read(0, header.length)
    return encode_record(header.kind, digest, [raw], header.stride, codec, level=level)


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
    return _NAMES[StoredRecord.placed(source, place).first_codec()]
