"""What an object is: its level, its indexed attributes, and how its bytes are put together."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

Value: TypeAlias = str | int | float
Attributes: TypeAlias = dict[int, list[Value]]
"""Indexed attributes by path key. Text is decoded to Unicode and stripped of padding; a PN keeps
its `=` groups and `^` components; an empty element is an empty list; a missing one is absent. Items
of a sequence are run together: where one lacks what another has, an empty text stands for it."""


class Level(IntEnum):
    """Levels of the Patient Root information model (PS3.4 C.6.1)."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    INSTANCE = 3


class FrameKind(IntEnum):
    """How the frames of an object's pixel data are addressed."""

    NATIVE = 1
    """Frame n (1-based) is the bits `[(n-1)*frame_bits, n*frame_bits)` of the pixel data value."""
    ENCAPSULATED = 2
    """Frame n is the items at `[offset[n-1], offset[n])` of the pixel data value."""


class Geometry(msgspec.Struct, frozen=True, array_like=True):
    """How the samples of native pixel data lie (PS3.3 C.7.6.3), for codecs that predict them.

    `columns` samples of one plane in a row, `sample_bytes` bytes each, little-endian;
    `pixel_samples` of them side by side for one pixel.
    """

    columns: int
    sample_bytes: int
    pixel_samples: int


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """A bulk value that lives in a blob of its own.

    `offset` is the position in the header blob at which the value is put back; `length` its bytes
    (for encapsulated pixel data: all items up to and including the sequence delimitation item).
    `path` is `(tag,)` or `(tag, item, tag, ...)` with 0-based items. `blob` is the digest.
    """

    offset: int
    length: int
    blob: bytes
    path: tuple[int, ...]
    vr: str


class Frames(msgspec.Struct, frozen=True, array_like=True):
    """The frame table of an object.

    `hole` indexes `Version.holes`. `frame_bits` is the size of a native frame, 0 for encapsulated.
    For encapsulated frames there are `count + 1` little-endian u64 offsets into the pixel data
    value (the last one is the end of the last frame): in `offsets` when they are few, else in the
    blob whose digest is `table`.
    """

    kind: int
    hole: int
    count: int
    frame_bits: int
    offsets: bytes
    table: bytes | None


class Version(msgspec.Struct, frozen=True, array_like=True):
    """One stored state of an instance, enough to put its bytes together again.

    The data set is the header blob from `prefix` on, with each hole's blob inserted at its offset.
    `digest` identifies the data set's bytes; `length` counts them (without the prefix). `deflated`
    says that the only hole is the whole data set as received, deflated. `problem` is empty, or
    says where and why the scan of the data set stopped.
    """

    stamp: int
    digest: bytes
    transfer_syntax: str
    length: int
    header: bytes
    prefix: int
    holes: list[Hole]
    frames: Frames | None
    deflated: bool
    source: str
    problem: str
