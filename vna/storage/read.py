"""Reading a record: ranges, pieces, checks. Nothing unchecked is ever returned.

Every number that comes from the file is bounded before it decides on a read or an allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from vna._native import Blake3, RawChunks
from vna.errors import Corrupt
from vna.storage.codecs import CODECS, RAW, ZSTD
from vna.storage.format import (
    CHUNK_ENTRY,
    RecordHeader,
    chunk_matches,
    chunk_sum,
    pack_name,
    parse_record_header,
)
from vna.storage.zstd_frames import LARGEST_WINDOW, framed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vna._native import Buffer
    from vna.types import BlobPlace, PackId

_HEAD: Final = 16 << 10
"""Bytes read first: a small record whole, of a large one the header and a thousand entries."""

_CHECK_PIECE: Final = 1 << 20
_FEW_CHUNKS: Final = 64


Keep: TypeAlias = "Callable[[int, int, Buffer], None]"
"""Takes a decoded chunk: how long the blob's chunks are, its number, its bytes."""


class RecordSource(Protocol):
    """What records are read from."""

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from `offset` on; fewer only where the pack ends."""


class StoredRecord:
    """A record with a valid header, in an open pack."""

    def __init__(
        self, source: RecordSource, pack: PackId, offset: int, header: RecordHeader, head: Buffer
    ) -> None:
        self.header = header
        self.offset = offset
        self._source = source
        self._pack = pack
        self._head = head

    @classmethod
    def at(cls, source: RecordSource, pack: PackId, offset: int, limit: int) -> StoredRecord | None:
        """Return the record at `offset`, None unless it is valid and of at most `limit` bytes."""
        head = source.read(offset, min(_HEAD, max(limit, 0)))
        header = parse_record_header(head, pack, offset)
        if header is None or header.size > limit:
            return None
        return cls(source, pack, offset, header, head)

    @classmethod
    def placed(cls, source: RecordSource, place: BlobPlace) -> StoredRecord:
        """Return the record of a blob. Corrupt if it is not there."""
        record = cls.at(source, place.pack, place.offset, place.size)
        if record is None:
            raise _corrupt(place.pack, place.offset, "no valid record header")
        if (record.header.size, record.header.length) != (place.size, place.length):
            raise record.corrupt("a record of another size than the index says")
        return record

    def corrupt(self, why: str) -> Corrupt:
        """Return the error that names this record."""
        return _corrupt(self._pack, self.offset, why)

    def read(self, start: int, stop: int, keep: Keep | None = None) -> bytes:
        """Return bytes `[start, stop)` of the blob. If they are in one coded chunk it is given to `keep`."""
        if start == stop:
            return b""
        stride = self.header.stride
        first, last = start // stride, -(-stop // stride)
        raw = self._chunks(first, last, keep)
        low, high = start - first * stride, stop - first * stride
        if isinstance(raw, bytes) and low == 0 and high == len(raw):
            return raw
        return bytes(memoryview(raw)[low:high])

    def covered(self, start: int, stop: int) -> int:
        """Return how many raw bytes the chunks have that `[start, stop)` reaches into."""
        stride = self.header.stride or 1
        return (-(-stop // stride) - start // stride) * stride

    def is_raw(self, start: int, stop: int) -> bool:
        """Say whether all chunks that `[start, stop)` reaches into are stored raw, by the table."""
        first, last = start // self.header.stride, -(-stop // self.header.stride)
        entry = CHUNK_ENTRY.size
        table = self._read(self.header.table_at + first * entry, (last - first) * entry)
        return all(codec == RAW for _, codec, _ in CHUNK_ENTRY.struct.iter_unpack(table))

    def raw_chunks(self) -> RawChunks | None:
        """Return where the chunks are if they are few and all stored raw."""
        header = self.header
        if not 0 < header.chunks <= _FEW_CHUNKS or header.stored != header.length:
            return None
        table = self._read(header.table_at, header.chunks * CHUNK_ENTRY.size)
        sums = []
        for chunk, (end, codec, _) in enumerate(CHUNK_ENTRY.struct.iter_unpack(table)):
            if codec != RAW or end != chunk * header.stride + header.chunk_length(chunk):
                return None
            sums.append(chunk_sum(table[chunk * CHUNK_ENTRY.size :]))
        return RawChunks(self.offset + header.payload_at, header.stride, header.length, sums)

    def pieces(self, start: int, stop: int, piece_length: int) -> Iterator[memoryview]:
        """Yield bytes `[start, stop)` in order, at most `piece_length` at a time.

        Holds the chunks of one piece: `piece_length` or one chunk, whichever is more.
        """
        stride = self.header.stride
        at = start
        while at < stop:
            first = at // stride
            last = min(first + max(piece_length // stride, 1), -(-stop // stride))
            raw = memoryview(self._chunks(first, last))
            base = first * stride
            end = min(last * stride, stop)
            while at < end:
                upto = min(at + piece_length, end)
                yield raw[at - base : upto - base]
                at = upto

    def zstd_frames(self, start: int, stop: int) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield bytes `[start, stop)` as frames of zstd, a chunk each, and how many each holds.

        A chunk that is stored in zstd leaves as it is stored; others are framed uncompressed.
        """
        stride = self.header.stride
        for chunk in range(start // stride, -(-stop // stride)):
            run, [(codec, _, _)] = self._stored(chunk, chunk + 1)
            length = self.header.chunk_length(chunk)
            low = max(start - chunk * stride, 0)
            high = min(stop - chunk * stride, length)
            if codec == ZSTD and high - low == length <= LARGEST_WINDOW:
                yield length, memoryview(run)
            else:
                raw = memoryview(run if codec == RAW else self._decode(chunk, codec, run))
                yield high - low, framed(raw[low:high])

    def check(self) -> bool:
        """Say whether all chunks match their entries; reads the record once, decodes nothing."""
        step = self._step()
        try:
            for first in range(0, self.header.chunks, step):
                self._stored(first, min(first + step, self.header.chunks))
        except Corrupt:
            return False
        return True

    def verify(self, digest: bytes) -> None:
        """Read and decode everything. Corrupt unless the blob's BLAKE3 is `digest`."""
        if self.header.digest != digest:
            raise self.corrupt("a record of another blob")
        hasher = Blake3()
        step = self._step()
        for first in range(0, self.header.chunks, step):
            hasher.update(self._chunks(first, min(first + step, self.header.chunks)))
        if hasher.digest() != digest:
            raise self.corrupt("the blob does not have the digest it is stored under")
        padding = self._read(self.header.payload_at + self.header.stored, self.header.padding)
        if any(padding):
            raise self.corrupt("the padding is not zero")

    def first_codec(self) -> int:
        """Return the codec of the first chunk of a blob that is not empty."""
        _, spans = self._stored(0, 1)
        return spans[0][0]

    def _step(self) -> int:
        """Return how many chunks make a piece of bounded size."""
        return max(_CHECK_PIECE // max(self.header.stride, 1), 1)

    def _read(self, start: int, length: int) -> bytes | memoryview:
        """Return bytes of the record, from its head where that has them."""
        if start + length <= len(self._head):
            return memoryview(self._head)[start : start + length]
        data = self._source.read(self.offset + start, length)
        if len(data) != length:
            raise self.corrupt("the pack ends within the record")
        return data

    def _stored(self, first: int, last: int) -> tuple[Buffer, list[tuple[int, int, int]]]:
        """Return the stored bytes of chunks `[first, last)` in one run, checked.

        With them, for each chunk its `(codec, start, end)` in the run.
        """
        entry = CHUNK_ENTRY.size
        skip = min(first, 1)  # the entry before says where the first chunk begins
        table = memoryview(
            self._read(self.header.table_at + (first - skip) * entry, (last - first + skip) * entry)
        )
        ends = [(end, codec) for end, codec, _ in CHUNK_ENTRY.struct.iter_unpack(table)]
        base = at = ends[0][0] if skip else 0
        spans = []
        for chunk, (end, codec) in enumerate(ends[skip:], first):
            length = end - at
            if not (0 < length <= self.header.chunk_length(chunk) and end <= self.header.stored):
                raise self.corrupt(f"chunk {chunk}: its table entry is out of bounds")
            spans.append((codec, at - base, end - base))
            at = end
        if last == self.header.chunks and at != self.header.stored:
            raise self.corrupt("the chunk table does not cover the payload")
        run = self._read(self.header.payload_at + base, at - base)
        view = memoryview(run)
        for chunk, (_, start, end) in enumerate(spans):
            row = (chunk + skip) * entry
            if not chunk_matches(table[row : row + entry], view[start:end]):
                raise self.corrupt(f"chunk {first + chunk}: checksum mismatch")
        return run, spans

    def _chunks(self, first: int, last: int, keep: Keep | None = None) -> Buffer:
        """Return the raw bytes of chunks `[first, last)`."""
        run, spans = self._stored(first, last)
        if all(codec == RAW for codec, _, _ in spans):
            if len(run) != min(last * self.header.stride, self.header.length) - (
                first * self.header.stride
            ):
                raise self.corrupt("raw chunks are short")
            return run
        view = memoryview(run)
        decoded = [
            self._decode(first + chunk, codec, view[start:end])
            for chunk, (codec, start, end) in enumerate(spans)
        ]
        if len(decoded) > 1:
            return b"".join(decoded)
        if keep is not None:
            keep(self.header.stride, first, decoded[0])
        return decoded[0]

    def _decode(self, chunk: int, codec: int, stored: Buffer) -> Buffer:
        if codec not in CODECS:
            raise self.corrupt(f"chunk {chunk}: codec {codec} is not known")
        try:
            return CODECS[codec].decode(stored, self.header.chunk_length(chunk))
        except ValueError as error:
            raise self.corrupt(f"chunk {chunk}: {error}") from error


def _corrupt(pack: PackId, offset: int, why: str) -> Corrupt:
    return Corrupt(f"pack {pack_name(pack)} at {offset}: {why}")
