"""Objects of any size, made as they are sent: neither side of a test needs to hold one.

Each shape strains another part of the way in: frames by the thousand, one fragment of gigabytes,
a data set that is deflated, many bulk values, a header that is nearly all of the object, millions
of fragments without content.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, takewhile
from random import Random
from typing import Final

from vna.archive import StoredObject
from vna.dicom.part10 import file_prefix
from vna.dicom.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
)
from vna.types import Version

__all__ = ["SHAPES", "LargeObject", "large_object", "stored_object"]

SOP_CLASS: Final = "1.2.840.10008.5.1.4.1.1.7.2"
"""Multi-frame Grayscale Byte Secondary Capture."""
STUDY_UID: Final = "1.2.826.0.1.3680043.10.99.7"
SERIES_UID: Final = f"{STUDY_UID}.1"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
MPEG4: Final = "1.2.840.10008.1.2.4.102"

PIECE: Final = 1 << 20
"""Bytes made at a time: a frame of 1024 rows and columns."""
UNDEFINED: Final = 0xFFFFFFFF
MOST_OF_A_VALUE: Final = 0xFFFFFFFE & -PIECE
MOST_HOLES: Final = 200
PIXEL_DATA: Final = 0x7FE00010
ITEM: Final = 0xFFFEE000
SEQUENCE_END: Final = 0xFFFEE0DD


@dataclass(frozen=True)
class LargeObject:
    """An object whose bytes are made anew each time they are asked for, always the same."""

    sop_uid: str
    transfer_syntax: str
    pieces: Callable[[], Iterator[bytes]]
    sop_class: str = SOP_CLASS

    @property
    def path(self) -> str:
        """Where DICOMweb has it, below the root."""
        return f"/studies/{STUDY_UID}/series/{SERIES_UID}/instances/{self.sop_uid}"

    def file(self) -> Iterator[bytes]:
        """Yield the object as a Part 10 file."""
        yield file_prefix(
            sop_class=self.sop_class,
            sop_uid=self.sop_uid,
            transfer_syntax=self.transfer_syntax,
            ae_title="LARGE",
        )
        yield from self.pieces()


def large_object(shape: str, size: int, number: int) -> LargeObject:
    """Return object `number` of a shape, of about `size` bytes, with content of its own."""
    transfer_syntax, values = SHAPES[shape]
    sop_uid = f"{SERIES_UID}.{number}"

    def pieces() -> Iterator[bytes]:
        yield _head(sop_uid, size // PIECE)
        yield from values(size, number)

    if transfer_syntax == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return LargeObject(sop_uid, transfer_syntax, lambda: _deflated(pieces()))
    return LargeObject(sop_uid, transfer_syntax, pieces)


def stored_object(made: LargeObject) -> StoredObject:
    """Return what `Scu.c_store` wants to know of an object."""
    version = Version(0, b"", made.transfer_syntax, 0, b"", 0, [], None, False, "", "")
    return StoredObject(STUDY_UID, SERIES_UID, made.sop_uid, made.sop_class, version)


def _native(size: int, number: int) -> Iterator[bytes]:
    size = min(size, MOST_OF_A_VALUE)
    yield _begin(PIXEL_DATA, b"OB", size)
    yield from _noise(size, number)


def _frames(size: int, number: int) -> Iterator[bytes]:
    yield _begin(PIXEL_DATA, b"OB", UNDEFINED) + _item(0)
    for frame in _noise(size, number):
        yield _item(len(frame)) + frame
    yield _END


def _fragment(size: int, number: int) -> Iterator[bytes]:
    size = min(size, MOST_OF_A_VALUE)
    yield _begin(PIXEL_DATA, b"OB", UNDEFINED) + _item(0) + _item(size)
    yield from _noise(size, number)
    yield _END


def _crumbs(size: int, number: int) -> Iterator[bytes]:
    yield _begin(PIXEL_DATA, b"OB", UNDEFINED) + _item(0)
    crumbs = (_item(2) + struct.pack("<H", number & 0xFFFF)) * (PIECE // 10)
    for _ in range(size // len(crumbs)):
        yield crumbs
    yield _END


def _holes(size: int, number: int) -> Iterator[bytes]:
    length = size // MOST_HOLES & -2
    for hole in range(MOST_HOLES):
        yield _begin(0x70011000 + hole, b"OB", length)
        yield from _noise(length, number * MOST_HOLES + hole)


def _header(size: int, number: int) -> Iterator[bytes]:
    text = b"%08d" % number * (PIECE // 8)
    for group in range(min(size // PIECE, 0x3000)):
        yield _begin((0x4001 + 2 * group) << 16 | 0x1000, b"UT", PIECE) + text


SHAPES: Final[dict[str, tuple[str, Callable[[int, int], Iterator[bytes]]]]] = {
    "native": (EXPLICIT_VR_LITTLE_ENDIAN, _native),
    "frames": (JPEG_BASELINE, _frames),
    "fragment": (MPEG4, _fragment),
    "crumbs": (JPEG_BASELINE, _crumbs),
    "holes": (EXPLICIT_VR_LITTLE_ENDIAN, _holes),
    "header": (EXPLICIT_VR_LITTLE_ENDIAN, _header),
    "deflated": (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, _native),
}
"""Transfer syntax, and the data set's end for a size and a number, by shape."""


def _head(sop_uid: str, frames: int) -> bytes:
    return b"".join(
        (
            _short(0x00080016, b"UI", SOP_CLASS),
            _short(0x00080018, b"UI", sop_uid),
            _short(0x00100020, b"LO", "LARGE"),
            _short(0x0020000D, b"UI", STUDY_UID),
            _short(0x0020000E, b"UI", SERIES_UID),
            _short(0x00280002, b"US", 1),
            _short(0x00280004, b"CS", "MONOCHROME2"),
            _short(0x00280008, b"IS", str(max(frames, 1))),
            *(_short(tag, b"US", 1024) for tag in (0x00280010, 0x00280011)),
            *(_short(tag, b"US", 8) for tag in (0x00280100, 0x00280101)),
            _short(0x00280102, b"US", 7),
            _short(0x00280103, b"US", 0),
        )
    )


def _noise(size: int, seed: int) -> Iterator[bytes]:
    """Yield `size` bytes that compress badly, no two pieces alike."""
    base = Random(seed).randbytes(min(size, PIECE))  # noqa: S311  # noise, not secrets
    for at in takewhile(lambda at: at < size, count(0, PIECE)):
        yield (struct.pack("<QQ", seed, at) + base)[: min(PIECE, size - at)]


def _deflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    deflater = zlib.compressobj(level=0, wbits=-zlib.MAX_WBITS)
    for piece in pieces:
        yield deflater.compress(piece)
    yield deflater.flush()


def _tag(tag: int) -> bytes:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)


def _short(tag: int, vr: bytes, value: str | int) -> bytes:
    if isinstance(value, int):
        content = struct.pack("<H", value)
    else:
        content = value.encode() + (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return _tag(tag) + vr + struct.pack("<H", len(content)) + content


def _begin(tag: int, vr: bytes, length: int) -> bytes:
    return _tag(tag) + vr + struct.pack("<HL", 0, length)


def _item(length: int) -> bytes:
    return _tag(ITEM) + struct.pack("<L", length)


_END: Final = _tag(SEQUENCE_END) + struct.pack("<L", 0)
