"""Cutting one frame out of a pixel data value, reading only what it covers (PS3.5 8.2, A.4)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from vna.archive.spans import Piece
from vna.errors import Corrupt, NotFound
from vna.types import FrameKind, Frames

__all__ = ["Range", "cut_frame", "in_little_endian"]

Range: TypeAlias = Callable[[int, int], Piece]
"""Gives bytes `[start, stop)` of a value."""

ENTRY = struct.Struct("<QQ")
ITEM = struct.Struct("<HHI")
ITEM_TAG = (0xFFFE, 0xE000)


def cut_frame(
    frames: Frames | None, number: int, pixels: Range, table: Range, sop_uid: str
) -> Piece:
    """Return frame `number` (from 1): native bytes, or the joined payload of its fragments.

    `pixels` reads the pixel data value, `table` the blob of frame offsets. A native frame that
    does not begin on a byte is shifted so that it does. Raises NotFound outside the object.
    """
    if frames is None:
        raise NotFound(f"instance {sop_uid} has no frames that can be told apart")
    if not 1 <= number <= frames.count:
        raise NotFound(f"instance {sop_uid} has frames 1 to {frames.count}, not {number}")
    if frames.kind == FrameKind.NATIVE:
        return _native(frames.frame_bits, number, pixels)
    return _encapsulated(frames, number, pixels, table, sop_uid)


def in_little_endian(pixels: Range, word: int, length: int) -> Range:
    """Return what reads a value of `length` bytes as `pixels` does, its big endian words turned around.

    A frame need not begin or end with a word. Bytes past the last whole word stay as they are.
    """

    def read(start: int, stop: int) -> Piece:
        first = start // word * word
        data = bytearray(pixels(first, min(-(-stop // word) * word, length)))
        whole = len(data) // word * word
        turned = data[:whole]
        for at in range(word):
            turned[at::word] = data[word - 1 - at : whole : word]
        data[:whole] = turned
        return memoryview(data)[start - first : stop - first]

    return read


def _native(frame_bits: int, number: int, pixels: Range) -> Piece:
    first, last = (number - 1) * frame_bits, number * frame_bits
    data = pixels(first // 8, (last + 7) // 8)
    shift = first % 8
    if shift == 0 and last % 8 == 0:
        return data
    # Bit 0 of the first pixel is the least significant bit of the first byte (PS3.5 8.1.1).
    bits = (int.from_bytes(data, "little") >> shift) & ((1 << frame_bits) - 1)
    return bits.to_bytes((frame_bits + 7) // 8, "little")


def _encapsulated(frames: Frames, number: int, pixels: Range, table: Range, sop_uid: str) -> Piece:
    at = (number - 1) * 8
    entry = frames.offsets[at : at + 16] if frames.table is None else table(at, at + 16)
    if len(entry) != ENTRY.size:
        raise Corrupt(f"instance {sop_uid}: its frame table is cut short")
    start, stop = ENTRY.unpack(entry)
    items = memoryview(pixels(start, stop))
    fragments: list[memoryview] = []
    position = 0
    while position + ITEM.size <= len(items):
        group, element, length = ITEM.unpack_from(items, position)
        if (group, element) != ITEM_TAG:
            break
        position += ITEM.size
        fragments.append(items[position : position + length])
        position += length
    return fragments[0] if len(fragments) == 1 else b"".join(fragments)
