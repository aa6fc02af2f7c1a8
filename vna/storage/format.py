"""The bytes of a pack, as docs/format/pack.md draws them. Pure: no I/O, no policy.

Parsing answers None for bytes that are not a record of this place, and raises Unsupported for a
record that a newer version wrote. Nothing that was parsed is inconsistent in itself; whether it
lies within its file is the caller's to check.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from vna._native import crc32c, record_header
from vna.errors import Corrupt, Unsupported
from vna.types import PackId

if TYPE_CHECKING:
    from vna._native import Buffer

PACK_MAGIC: Final = b"\x89VNAPCK\n"
RECORD_MAGIC: Final = b"VNAR"
VERSION: Final = 1

HEADER, BULK, TABLE, COMMIT, SEAL = 1, 2, 3, 16, 32
BLOB_KINDS: Final = frozenset({HEADER, BULK, TABLE})
KINDS: Final = {HEADER: "header", BULK: "bulk", TABLE: "table", COMMIT: "commit", SEAL: "seal"}
TABLE_LAST: Final = 1

MAX_STRIDE: Final = 64 << 20
MAX_COMMIT: Final = 64 << 20
NO_DIGEST: Final = bytes(32)


class Layout:
    """Fixed fields one after the other; knows their offsets, so that the page can be compared."""

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.struct = struct.Struct("<" + "".join(code for _, code in fields))
        self.size = self.struct.size
        self.fields: list[tuple[int, int, str]] = []
        offset = 0
        for name, code in fields:
            size = struct.calcsize("<" + code)
            self.fields.append((offset, size, name))
            offset += size


PACK_HEADER: Final = Layout(
    ("magic", "8s"),
    ("version", "H"),
    ("reserved", "6x"),
    ("pack", "Q"),
    ("created", "Q"),
    ("reserved", "28x"),
    ("crc", "I"),
)
RECORD_HEADER: Final = Layout(
    ("magic", "4s"),
    ("version", "B"),
    ("kind", "B"),
    ("flags", "H"),
    ("size", "Q"),
    ("stored", "Q"),
    ("length", "Q"),
    ("stride", "I"),
    ("chunks", "I"),
    ("digest", "32s"),
    ("synced", "Q"),
    ("reserved", "12x"),
    ("crc", "I"),
)
CHUNK_ENTRY: Final = Layout(("end", "Q"), ("codec", "B"), ("reserved", "3x"), ("crc", "I"))

_CRC: Final = struct.Struct("<I")
_PLACE: Final = struct.Struct("<QQ")
_ENTRY_FRONT: Final = struct.Struct("<QB3x")


def align8(size: int) -> int:
    """Return `size` rounded up to a multiple of 8."""
    return -(-size // 8) * 8


def pack_name(pack: PackId) -> str:
    """Return how messages and files name a pack: node and sequence, 8 hexadecimal digits each."""
    return f"{pack >> 32:08x}-{pack & 0xFFFFFFFF:08x}"


def pack_header(pack: PackId, created: int) -> bytes:
    """Return the first bytes of a pack."""
    front = PACK_HEADER.struct.pack(PACK_MAGIC, VERSION, pack, created, 0)[: -_CRC.size]
    return front + _CRC.pack(crc32c(front))


def check_pack_header(data: Buffer, pack: PackId) -> None:
    """Raise Corrupt unless `data` begins as pack `pack` does; Unsupported if it is a newer one."""
    view = memoryview(data)[: PACK_HEADER.size]
    name = pack_name(pack)
    if len(view) < PACK_HEADER.size:
        raise Corrupt(f"pack {name} at 0: the pack header is cut off")
    magic, version, held, _, crc = PACK_HEADER.struct.unpack(view)
    if magic != PACK_MAGIC or crc != crc32c(view[: -_CRC.size]):
        raise Corrupt(f"pack {name} at 0: the pack header is damaged")
    if version != VERSION:
        raise Unsupported(f"pack {name} has format version {version}, known is {VERSION}")
    if held != pack:
        raise Corrupt(f"pack {name} at 0: the pack header is that of {pack_name(held)}")


class RecordHeader(msgspec.Struct, frozen=True):
    """The fixed front of a record, consistent in itself. Offsets count from the record's start."""

    kind: int
    flags: int
    stored: int
    length: int
    stride: int
    chunks: int
    digest: bytes
    synced: int = 0

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return -(-self.stored // 8) * 8 + RECORD_HEADER.size + CHUNK_ENTRY.size * self.chunks

    @property
    def table_at(self) -> int:
        """Where the chunk table is."""
        if self.flags & TABLE_LAST:
            return align8(RECORD_HEADER.size + self.stored)
        return RECORD_HEADER.size

    @property
    def payload_at(self) -> int:
        """Where the payload is; its padding follows it."""
        if self.flags & TABLE_LAST:
            return RECORD_HEADER.size
        return RECORD_HEADER.size + CHUNK_ENTRY.size * self.chunks

    @property
    def padding(self) -> int:
        """Zero bytes after the payload."""
        return -self.stored % 8

    def chunk_length(self, chunk: int) -> int:
        """Return the raw bytes of a chunk."""
        return min(self.stride, self.length - chunk * self.stride)

    @property
    def fields(self) -> tuple[int, int, int, int, int, int, int, int, bytes]:
        """What it says wherever the record is: version, kind, flags, sizes, chunks, digest."""
        return (
            VERSION,
            self.kind,
            self.flags,
            self.size,
            self.stored,
            self.length,
            self.stride,
            self.chunks,
            self.digest,
        )

    def placed(self, pack: PackId, offset: int, synced: int) -> bytes:
        """Return the header's bytes for a record at `offset` of `pack`."""
        return record_header(self.fields, pack, offset, synced)

    def _consistent(self) -> bool:
        """Say whether the lengths fit each other; damage under a valid checksum is a bad writer."""
        if self.length == 0:
            return self.chunks == 0 and self.stored == 0 and self.stride == 0
        return (
            self.kind != SEAL
            and 1 <= self.stride <= MAX_STRIDE
            and self.chunks == -(-self.length // self.stride)
            and 1 <= self.stored <= self.length
            and (self.kind != COMMIT or self.length <= MAX_COMMIT)
        )


def parse_record_header(data: Buffer, pack: PackId, offset: int) -> RecordHeader | None:
    """Return the record header at the front of `data`, or None unless it is valid at its place."""
    view = memoryview(data)[: RECORD_HEADER.size]
    if len(view) < RECORD_HEADER.size or bytes(view[:4]) != RECORD_MAGIC:
        return None
    _, version, kind, flags, size, *rest, crc = RECORD_HEADER.struct.unpack(view)
    if crc != _header_crc(view[: -_CRC.size], pack, offset):
        return None
    if version != VERSION or kind not in KINDS or flags & ~TABLE_LAST:
        raise Unsupported(
            f"pack {pack_name(pack)} at {offset}: record of version {version}, kind {kind}, "
            f"flags {flags}; this program knows version {VERSION}"
        )
    header = RecordHeader(kind, flags, *rest)
    return header if header._consistent() and header.size == size else None  # noqa: SLF001


def chunk_matches(entry: Buffer, stored: Buffer) -> bool:
    """Say whether a table entry and the stored bytes of its chunk are both undamaged."""
    seed, crc = chunk_sum(entry)
    return crc32c(stored, seed) == crc


def chunk_sum(entry: Buffer) -> tuple[int, int]:
    """Return what the CRC-32C of a chunk's stored bytes begins with, and what it is to be then."""
    view = memoryview(entry)
    seed = crc32c(view[: _ENTRY_FRONT.size])
    return seed, _CRC.unpack_from(view, _ENTRY_FRONT.size)[0]


def _header_crc(front: Buffer, pack: PackId, offset: int) -> int:
    return crc32c(front, crc32c(_PLACE.pack(pack, offset)))
