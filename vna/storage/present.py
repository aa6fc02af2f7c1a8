"""Reading what is in memory already: blobs from the page cache, never waiting for a disk."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Final, TypeAlias

from vna.errors import Corrupt, WouldWait
from vna.storage.faults import reading
from vna.storage.format import pack_name
from vna.storage.read import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from vna._native import Buffer, RawChunks
    from vna.storage.decoded import DecodedChunks
    from vna.storage.open_packs import OpenPacks
    from vna.storage.tier import PackReader
    from vna.types import BlobPlace, PackId

    Piece: TypeAlias = bytes | memoryview
    Part: TypeAlias = tuple[BlobPlace, int, int]
    """Bytes `[start, stop)` of the blob at a place."""
    Read: TypeAlias = Callable[[int, int], Piece | None]
    """Returns bytes of a pack, from an offset on, as `PackReader.read_present` does."""

_MOST: Final = 1 << 20
"""Bytes read at once: copied and checked in about 0.2 ms."""
_KNOWN: Final = 4096
"""Blobs of which it is remembered where their chunks are: packs do not change."""
_DECODED: Final = 640 << 10
"""Bytes of coded chunks decoded at once, a CT slice in a fraction of a millisecond: to have a thread do it
takes longer. More are work for one."""


class PresentBlobs:
    """The blobs of a store, as far as they can be read without waiting; for event loops.

    Raises WouldWait where a thread must read instead, else what the store raises.
    """

    def __init__(self, packs: OpenPacks, decoded: DecodedChunks) -> None:
        self._packs = packs
        self._decoded = decoded
        self._raw: dict[BlobPlace, RawChunks] = {}

    def read(self, place: BlobPlace, start: int = 0, stop: int | None = None) -> Piece:
        """Return bytes `[start, stop)` of a blob."""
        stop = place.length if stop is None else stop
        if (raw := self._raw.get(place)) is not None:
            read = partial(self._packs.read_present, place.pack)
            with reading(place.pack):
                return _read_raw(read, place, raw, start, stop)
        if (kept := self._decoded.read(place, start, stop)) is not None:
            return kept
        with reading(place.pack), self._packs.pin_open(place.pack) as source:
            record = StoredRecord.placed(_Present(source), place)
            if (raw := record.raw_chunks()) is not None:
                if len(self._raw) >= _KNOWN:
                    self._raw.clear()
                self._raw[place] = raw
                return _read_raw(source.read_present, place, raw, start, stop)
            covered = record.covered(start, stop)
            if covered > _MOST or (covered > _DECODED and not record.is_raw(start, stop)):
                raise WouldWait
            return record.read(start, stop, partial(self._decoded.keep, place))

    def each(self, parts: Iterable[Part]) -> Generator[Piece]:
        """Yield parts of blobs, each read when it is asked for.

        A pack is pinned once for all that follow one another in it.
        """
        for pack, run in groupby(parts, _pack_of):
            with reading(pack), self._packs.pin_open(pack) as source:
                for place, start, stop in run:
                    raw = self._raw.get(place)
                    if raw is None:
                        yield self.read(place, start, stop)
                    else:
                        yield _read_raw(source.read_present, place, raw, start, stop)

    def read_some(self, place: BlobPlace, start: int, stop: int) -> Piece:
        """Return bytes of a blob from `start` on, in whole chunks: up to 1 MiB, at most to `stop`."""
        if stop - start <= _MOST:
            return self.read(place, start, stop)
        with reading(place.pack), self._packs.pin_open(place.pack) as source:
            stride = StoredRecord.placed(_Present(source), place).header.stride
        end = (start + _MOST) // stride * stride
        if end <= start:
            raise WouldWait
        return self.read(place, start, end)


def _pack_of(part: Part) -> PackId:
    return part[0].pack


def _read_raw(read: Read, place: BlobPlace, raw: RawChunks, start: int, stop: int) -> Piece:
    """Return bytes `[start, stop)`: `read` gives their chunks in one go, and each is checked."""
    try:
        data = raw.read(read, start, stop, _MOST)
    except ValueError as error:
        raise Corrupt(f"pack {pack_name(place.pack)} at {place.offset}: {error}") from None
    if data is None:
        raise WouldWait
    return data


class _Present:
    """A pack that is read as far as it is present."""

    def __init__(self, inner: PackReader) -> None:
        self._inner = inner

    def size(self) -> int:
        return self._inner.size()

    def read(self, offset: int, length: int) -> Piece:
        data = self._inner.read_present(offset, length)
        if data is None:
            raise WouldWait
        return data

    read_present = read

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        yield self.read(offset, length)

    def close(self) -> None:
        self._inner.close()
