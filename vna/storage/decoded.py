"""Chunks that were decoded of late: who reads the same frame again, or the next bytes, decodes nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from vna.observe import metrics

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.types import BlobPlace

__all__ = ["DecodedChunks"]

_SHARE: Final = 8
"""A chunk larger than this part of the room is not kept: it would drive out too many others."""
_KNOWN: Final = 4096
"""Blobs of which it is remembered how long their chunks are."""


class DecodedChunks:
    """Keeps decoded chunks in up to `limit_bytes` of memory; those not read for longest go first.

    Packs do not change, so what was decoded from a place stays true of it. Thread-safe.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._size = 0
        self._chunks: OrderedDict[tuple[BlobPlace, int], memoryview] = OrderedDict()
        self._strides: dict[BlobPlace, int] = {}
        self._lock = threading.Lock()

    def read(self, place: BlobPlace, start: int, stop: int) -> memoryview | None:
        """Return bytes `[start, stop)` of a blob, None unless they are in one chunk that is kept."""
        stride = self._strides.get(place)
        if stride is None:  # as of all blobs that are stored raw
            return None
        chunk = start // stride
        begin, end = start - chunk * stride, stop - chunk * stride
        with self._lock:
            raw = self._chunks.get((place, chunk))
            if raw is None or end > len(raw):
                return None
            self._chunks.move_to_end((place, chunk))
        metrics.DECODED_CHUNKS.add("kept")
        return raw[begin:end]

    def keep(self, place: BlobPlace, stride: int, chunk: int, raw: Buffer) -> None:
        """Keep a chunk that was just decoded; all of the blob but the last have `stride` bytes."""
        metrics.DECODED_CHUNKS.add("decoded")
        if len(raw) * _SHARE > self._limit:
            return
        with self._lock:
            if len(self._strides) >= _KNOWN:
                self._strides.clear()
            self._strides[place] = stride
            before = self._chunks.pop((place, chunk), None)
            self._chunks[place, chunk] = memoryview(raw)
            self._size += len(raw) - (0 if before is None else len(before))
            while self._size > self._limit:
                _, oldest = self._chunks.popitem(last=False)
                self._size -= len(oldest)
