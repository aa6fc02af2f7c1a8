"""Codecs: how a chunk is stored. A codec id is for ever; a new codec is one more class here.

Encoding says None where it does not win, and the chunk is then stored raw. Decoding trusts
nothing: it makes exactly the bytes asked for, in one bounded allocation, or raises ValueError.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

import zstandard

if TYPE_CHECKING:
    from vna._native import Buffer

CodecName: TypeAlias = Literal["raw", "zstd"]

RAW: Final = 0
ZSTD: Final = 1


class Codec(Protocol):
    """One way to store a chunk. Thread-safe."""

    def encode(self, raw: Buffer, level: int) -> bytes | None:
        """Return the stored form of `raw` if it is at least 10 % smaller, else None."""

    def decode(self, stored: Buffer, length: int) -> Buffer:
        """Return the `length` raw bytes of a stored chunk. ValueError if it is not that."""


class _Raw:
    def encode(self, raw: Buffer, level: int) -> bytes | None:  # noqa: ARG002
        return None

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

    def encode(self, raw: Buffer, level: int) -> bytes | None:
        stored = self._contexts.compressor(level).compress(raw)
        return stored if len(stored) * 10 <= len(raw) * 9 else None

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


CODECS: Final[dict[int, Codec]] = {RAW: _Raw(), ZSTD: _Zstd()}
CODEC_IDS: Final[dict[CodecName, int]] = {"raw": RAW, "zstd": ZSTD}
