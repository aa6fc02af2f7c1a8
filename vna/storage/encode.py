"""Blobs to records: cut into chunks, each chunk stored as what wins. Pure and thread-safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vna._native import EncodedBlob, blake3, chunk_entry
from vna.storage.codecs import RAW, CodecName, encode, encode_header
from vna.storage.format import HEADER, NO_DIGEST, SEAL, RecordHeader
from vna.types import BlobKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vna._native import Buffer
    from vna.types import Geometry

SMALL_CHUNK: Final = 32 << 10
LARGE_CHUNK: Final = 8 << 20
_STEP: Final = 4096


def digest_of(data: Buffer) -> bytes:
    """Return the name of a blob: its BLAKE3-256."""
    return blake3(data)


def encode_blob(  # noqa: PLR0917
    kind: BlobKind,
    digest: bytes,
    parts: Sequence[Buffer],
    chunk_length: int,
    codec: CodecName = "zstd",
    level: int = 1,
    geometry: Geometry | None = None,
) -> EncodedBlob:
    """Return the record of the blob that is `parts` run together.

    `chunk_length` is how the blob is best addressed, in bytes (one native frame, say), `geometry`
    how its pixels lie. Raw chunks are not copied: the record refers to `parts`, which must stay as
    they are.
    """
    stride = stride_of(chunk_length)
    return encode_record(int(kind), digest, parts, stride, codec, level=level, geometry=geometry)


def encode_record(
    kind: int,
    digest: bytes,
    parts: Sequence[Buffer],
    stride: int,
    codec: CodecName,
    *,
    level: int = 1,
    geometry: Geometry | None = None,
) -> EncodedBlob:
    """Return a record of any kind, with its chunk table before the payload."""
    length = sum(map(len, parts))
    if codec == "raw" and 0 < length <= stride:  # one chunk, as it is: nothing to cut
        return EncodedBlob.raw(kind, digest, parts, stride)
    table = bytearray()
    payload: list[Buffer] = []
    stored = 0
    for chunk in _cut(parts, stride):
        if kind == HEADER and codec != "raw":
            codec_id, pieces = _encode_header(chunk)
        else:
            codec_id, pieces = encode_chunk(chunk, codec, level, geometry)
        stored += sum(map(len, pieces))
        table += chunk_entry(stored, codec_id, pieces)
        payload += pieces
    chunks = len(table) // 16
    header = RecordHeader(kind, 0, stored, length, stride if length else 0, chunks, digest)
    return EncodedBlob(header.fields, [bytes(table), *payload, bytes(header.padding)])


SEAL_RECORD: Final = EncodedBlob(RecordHeader(SEAL, 0, 0, 0, 0, 0, NO_DIGEST).fields, [])


def encode_chunk(
    chunk: Sequence[Buffer], codec: CodecName, level: int, geometry: Geometry | None = None
) -> tuple[int, Sequence[Buffer]]:
    """Return the codec id and the stored bytes of a chunk that is `chunk` run together."""
    if codec != "raw":
        raw = chunk[0] if len(chunk) == 1 else b"".join(chunk)
        if (coded := encode(raw, codec, level, geometry)) is not None:
            return coded[0], [coded[1]]
    return RAW, chunk


def _encode_header(chunk: Sequence[Buffer]) -> tuple[int, Sequence[Buffer]]:
    coded = encode_header(chunk[0] if len(chunk) == 1 else b"".join(chunk))
    return (RAW, chunk) if coded is None else (coded[0], [coded[1]])


def stride_of(chunk_length: int) -> int:
    """Return the stride for chunks wished to be `chunk_length` long.

    Small ones are multiplied to at least 32 KiB, large ones parted evenly to at most 8 MiB:
    chunks lie side by side, so a range of a few is still one read.
    """
    if chunk_length <= 0:
        raise ValueError(f"chunk length {chunk_length} is not positive")
    if chunk_length < SMALL_CHUNK:
        return chunk_length * -(-SMALL_CHUNK // chunk_length)
    if chunk_length > LARGE_CHUNK:
        pieces = -(-chunk_length // LARGE_CHUNK)
        return -(-chunk_length // (pieces * _STEP)) * _STEP
    return chunk_length


def _cut(parts: Sequence[Buffer], stride: int) -> Iterator[list[memoryview]]:
    """Yield chunks of `stride` bytes, the last one shorter, as views into `parts`."""
    chunk: list[memoryview] = []
    room = stride
    for part in parts:
        rest = memoryview(part).cast("B")
        while len(rest):
            piece, rest = rest[:room], rest[room:]
            chunk.append(piece)
            room -= len(piece)
            if not room:
                yield chunk
                chunk, room = [], stride
    if chunk:
        yield chunk
