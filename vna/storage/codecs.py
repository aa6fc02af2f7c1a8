"""Codecs: how a chunk is stored. A codec id is for ever; a new codec is one more class here.

What a chunk is stored as is chosen by encoding it: whatever is smallest of what its `CodecName`
allows, raw unless that saves a tenth. Decoding trusts nothing: it makes exactly the bytes asked
for, in one bounded allocation, or raises ValueError.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import zstandard

from vna._native import lanes_decode, lanes_encode, roughness, weave_decode, weave_encode

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.types import Geometry

CodecName: TypeAlias = Literal["raw", "zstd", "fast", "strong"]
"""What the settings offer. For pixels, both are the codec `lanes`, `fast` in its quicker form; but
16-bit grayscale is `weave` for `fast`, and for `strong` where it is rough."""

RAW: Final = 0
ZSTD: Final = 1
LANES: Final = 2
HEADER: Final = 3
WEAVE: Final = 4

_DICTIONARIES: Final = Path(__file__).parent / "dictionaries"
_DICTIONARY: Final = 1
"""The number of that by which headers are written; those before it are still read."""
_HEADER_LEVEL: Final = 1
"""zstd's for headers; with a dictionary, a higher one gains a twentieth and takes up to half as much time again."""

_GRAPHICS: Final = 6
"""Pixels that shrink to less than this part are drawn, not measured; zstd may do them better."""
ROUGH: Final = 3.0
"""Bits of roughness from which on `lanes` saves 1 to 6 % more than `weave`, which is decoded at twice
its speed; below, it saves 8 to 24 %."""
_PROBE: Final = 16 << 10
"""Bytes in the middle of other chunks by which zstd shows whether it may."""


class Codec(Protocol):
    """One way to store a chunk. Thread-safe."""

    def decode(self, stored: Buffer, length: int) -> Buffer:
        """Return the `length` raw bytes of a stored chunk. ValueError if it is not that."""


class _Raw:
    def decode(self, stored: Buffer, length: int) -> Buffer:
        if len(stored) != length:
            raise ValueError(f"a raw chunk of {length} bytes is stored in {len(stored)}")
        return stored


class _Contexts(threading.local):
    """zstd contexts are not thread-safe and dear to make: each thread keeps its own."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self.compressors:
            self.compressors[level] = zstandard.ZstdCompressor(level=level)
        return self.compressors[level]


class _Zstd:
    def __init__(self) -> None:
        self._contexts = _Contexts()

    def encode(self, raw: Buffer, level: int) -> bytes:
        return self._contexts.compressor(level).compress(raw)

    def decode(self, stored: Buffer, length: int) -> Buffer:
        try:
            # The frame's own size decides on the allocation, so it is checked first.
            if zstandard.frame_content_size(stored) != length:
                raise ValueError(f"a zstd chunk does not hold {length} bytes")
            return self._contexts.decompressor.decompress(
                stored, max_output_size=length, allow_extra_data=False
            )
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


class _Lanes:
    def decode(self, stored: Buffer, length: int) -> Buffer:
        return lanes_decode(stored, length)


class _Weave:
    def decode(self, stored: Buffer, length: int) -> Buffer:
        return weave_decode(stored, length)


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    """Return a dictionary, ready for compression. KeyError if there is none of that number."""
    try:
        content = (_DICTIONARIES / f"{number}.zdict").read_bytes()
    except FileNotFoundError:
        raise KeyError(number) from None
    dictionary = zstandard.ZstdCompressionDict(content)
    dictionary.precompute_compress(level=_HEADER_LEVEL)
    return dictionary


class _HeaderContexts(threading.local):
    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressors: dict[int, zstandard.ZstdDecompressor] = {}

    def compressor(self, number: int) -> zstandard.ZstdCompressor:
        if number not in self.compressors:
            known = _dictionary(number)
            self.compressors[number] = zstandard.ZstdCompressor(_HEADER_LEVEL, dict_data=known)
        return self.compressors[number]

    def decompressor(self, number: int) -> zstandard.ZstdDecompressor:
        if number not in self.decompressors:
            known = _dictionary(number)
            self.decompressors[number] = zstandard.ZstdDecompressor(dict_data=known)
        return self.decompressors[number]


class _Header:
    """The number of a dictionary, then a zstd frame that was made with it."""

    def __init__(self) -> None:
        self._contexts = _HeaderContexts()

    def encode(self, raw: Buffer) -> bytes:
        frame = self._contexts.compressor(_DICTIONARY).compress(raw)
        return bytes([_DICTIONARY]) + frame

    def decode(self, stored: Buffer, length: int) -> Buffer:
        number, frame = (stored[0] if len(stored) else 0), memoryview(stored)[1:]
        try:
            if zstandard.frame_content_size(frame) != length:
                raise ValueError(f"a header chunk does not hold {length} bytes")
            return self._contexts.decompressor(number).decompress(
                frame, max_output_size=length, allow_extra_data=False
            )
        except KeyError:
            raise ValueError(f"a header chunk needs dictionary {number}, unknown here") from None
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


_ZSTD: Final = _Zstd()
_HEADER: Final = _Header()

CODECS: Final[dict[int, Codec]] = {
    RAW: _Raw(),
    ZSTD: _ZSTD,
    LANES: _Lanes(),
    HEADER: _HEADER,
    WEAVE: _Weave(),
}
CODEC_IDS: Final = {"raw": RAW, "zstd": ZSTD, "lanes": LANES, "header": HEADER, "weave": WEAVE}
NAMES: Final[dict[int, CodecName]] = {
    RAW: "raw",
    ZSTD: "zstd",
    LANES: "strong",
    HEADER: "zstd",
    WEAVE: "fast",
}
"""What a setting calls that by which chunks of a codec can be stored anew."""


def encode(
    raw: Buffer, codec: CodecName, level: int, geometry: Geometry | None = None
) -> tuple[int, bytes] | None:
    """Return the codec id and the stored form of a chunk; None where raw is best.

    `level` is zstd's. Without the `geometry` of its pixels, a chunk for `fast` or `strong` is a
    chunk for `zstd`.
    """
    if codec == "raw":
        return None
    best: tuple[int, bytes] | None = None
    if geometry is not None and codec != "zstd":
        best = encode_pixels(raw, geometry, strong=codec == "strong")
    if best is None or _may_lose(best[1], raw):
        zstd = _ZSTD.encode(raw, level)
        if best is None or len(zstd) < len(best[1]):
            best = ZSTD, zstd
    return best if len(best[1]) * 10 <= len(raw) * 9 else None


def encode_pixels(raw: Buffer, geometry: Geometry, *, strong: bool) -> tuple[int, bytes] | None:
    """Return the codec id and the coded form of pixels; None where they do not shrink."""
    columns, size, samples = geometry.columns, geometry.sample_bytes, geometry.pixel_samples
    grayscale = size == 2 and samples == 1
    if grayscale and not (strong and roughness(raw, columns) < ROUGH):
        woven = weave_encode(raw, columns)
        if woven is not None:
            return WEAVE, woven
    lanes = lanes_encode(raw, columns, size, samples, strong)
    return None if lanes is None else (LANES, lanes)


def encode_header(raw: Buffer) -> tuple[int, bytes] | None:
    """Return the codec id and the stored form of a chunk of header; None where raw is best."""
    coded = _HEADER.encode(raw)
    return (HEADER, coded) if len(coded) * 10 <= len(raw) * 9 else None


def _may_lose(coded: bytes, raw: Buffer) -> bool:
    """Return whether zstd may make less of `raw` than its pixels' codec made."""
    if len(coded) * _GRAPHICS < len(raw):
        return True
    middle = (len(raw) - _PROBE) // 2
    probe = memoryview(raw)[max(middle, 0) :][:_PROBE]
    return len(_ZSTD.encode(probe, 1)) * len(raw) < len(coded) * len(probe)
