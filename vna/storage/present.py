"""Reading what is in memory already: blobs from the page cache, never waiting for a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vna.errors import WouldWait
from vna.storage.faults import reading
from vna.storage.read import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vna._native import Buffer
    from vna.storage.open_packs import OpenPacks
    from vna.storage.tier import PackReader
    from vna.types import BlobPlace

_MOST: Final = 1 << 20
"""Bytes read at once: copied and checked in about 0.2 ms."""
_DECODED: Final = 64 << 10
"""Bytes of coded chunks decoded at once: more of them are work for a thread."""


class PresentBlobs:
    """The blobs of a store, as far as they can be read without waiting; for event loops.

    Raises WouldWait where a thread must read instead, else what the store raises.
    """

    def __init__(self, packs: OpenPacks) -> None:
        self._packs = packs

    def read(self, place: BlobPlace, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes `[start, stop)` of a blob."""
        stop = place.length if stop is None else stop
        with reading(place.pack), self._packs.pin_open(place.pack) as source:
            record = StoredRecord.placed(_Present(source), place)
            covered = record.covered(start, stop)
            if covered > _MOST or (covered > _DECODED and not record.is_raw(start, stop)):
                raise WouldWait
            return record.read(start, stop)

    def read_some(self, place: BlobPlace, start: int, stop: int) -> bytes:
        """Return bytes of a blob from `start` on, in whole chunks: up to 1 MiB, at most to `stop`."""
        if stop - start <= _MOST:
            return self.read(place, start, stop)
        with reading(place.pack), self._packs.pin_open(place.pack) as source:
            stride = StoredRecord.placed(_Present(source), place).header.stride
        end = (start + _MOST) // stride * stride
        if end <= start:
            raise WouldWait
        return self.read(place, start, end)


class _Present:
    """A pack that is read as far as it is present."""

    def __init__(self, inner: PackReader) -> None:
        self._inner = inner

    def size(self) -> int:
        return self._inner.size()

    def read(self, offset: int, length: int) -> bytes:
        data = self._inner.read_present(offset, length)
        if data is None:
            raise WouldWait
        return data

    read_present = read

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        yield self.read(offset, length)

    def close(self) -> None:
        self._inner.close()
