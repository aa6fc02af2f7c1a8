"""A far tier with the cache of extents before it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.storage.extents import ExtentCache
    from vna.storage.tier import PackReader, Tier
    from vna.types import PackId

__all__ = ["CachedReader", "CachedTier", "Flight"]

WANTED: Final = 2 << 20
"""Of a blob that is about to be read, this much is fetched at once: of a smaller one, all."""
EXTENT: Final = 8 << 20
"""Bytes of the extents that a long fetch is kept in, so that its begin can be read before its end."""


NEAR: Final = 32 << 20
"""Who wants bytes that a recall brings within so many waits for it; others ask for themselves."""
STALLED_S: Final = 30.0


class Flight:
    """Bytes `[start, stop)` of a pack on their way into the cache, from the begin to the end."""

    def __init__(self, tier: CachedTier, pack: PackId, start: int, stop: int) -> None:
        self.pack, self.start, self.stop = pack, start, stop
        self._tier = tier
        self._at = start
        self._ended = False
        self._moved = threading.Condition()

    def fly(self, stopped: threading.Event, pace: Callable[[int], None] | None = None) -> None:
        """Fetch, by one request; until `stopped` is set. Raises OSError as the tier does.

        `pace` is told of bytes that came, and returns when more may come, or raises.
        """
        reader = self._tier.open(self.pack)
        try:
            for piece in reader.stream(self.start, self.stop - self.start):
                with self._moved:
                    self._at += len(piece)
                    self._moved.notify_all()
                if stopped.is_set():
                    return
                if pace is not None:
                    pace(len(piece))
        finally:
            reader.close()
            self.land()

    def land(self) -> None:
        """Keep nobody waiting any more."""
        self._tier.landed(self)
        with self._moved:
            self._ended = True
            self._moved.notify_all()

    def favour(self) -> None:
        """Have what was brought stay as what is in use does: somebody is going to read it."""
        self._tier.cache.favour(self.pack, self.start, self.stop)

    def brings(self, pack: PackId, start: int, stop: int) -> bool:
        """Say whether bytes are going to be here soon."""
        within = pack == self.pack and self.start <= start and stop <= self.stop
        return within and stop - self._at <= NEAR

    def wait(self, stop: int) -> None:
        """Return when the bytes before `stop` are here, or will not come."""
        with self._moved:
            while not self._ended and self._at < stop:
                if not self._moved.wait(STALLED_S):
                    return


class CachedTier:
    """Reads come from the cache; what is missing there is one request to `inner`."""

    def __init__(self, inner: Tier, cache: ExtentCache) -> None:
        self.inner = inner
        self.cache = cache
        self._flights: dict[tuple[PackId, int, int], Future[bytes]] = {}
        self._recalls: list[Flight] = []
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The identity of the inner tier."""
        return self.inner.identity

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Pass on."""
        return self.inner.put(pack, pieces)

    def open(self, pack: PackId) -> CachedReader:
        """Return a reader of a pack. It is asked for when its first byte is missing."""
        return CachedReader(self, pack, self.inner.open(pack))

    def list(self) -> list[tuple[PackId, int]]:
        """Pass on."""
        return self.inner.list()

    def remove(self, pack: PackId) -> None:
        """Pass on; the cache lets go of it too."""
        self.inner.remove(pack)
        self.cache.drop(pack, 0, 1 << 62)

    def begin(self, pack: PackId, start: int, stop: int) -> Flight:
        """Announce that bytes of a pack come, so that others wait for them; `fly` brings them."""
        flight = Flight(self, pack, start, stop)
        with self._lock:
            self._recalls.append(flight)
        return flight

    def landed(self, flight: Flight) -> None:
        """Know a flight no more."""
        with self._lock:
            if flight in self._recalls:
                self._recalls.remove(flight)

    def awaited(self, pack: PackId, start: int, stop: int) -> None:
        """Wait for a flight that brings these bytes soon, if there is one."""
        with self._lock:
            flights = [each for each in self._recalls if each.brings(pack, start, stop)]
        if flights:
            flights[0].wait(stop)

    def fetch(self, pack: PackId, reader: PackReader, start: int, stop: int) -> bytes:
        """Return bytes of a pack that the cache does not have; who asks meanwhile waits along."""
        key = (pack, start, stop)
        with self._lock:
            flight = self._flights.get(key)
            ours = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if not ours:
            return flight.result()
        try:
            data = self._fetch(pack, reader, start, stop)
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(data)
            return data
        finally:
            with self._lock:
                del self._flights[key]

    def _fetch(self, pack: PackId, reader: PackReader, start: int, stop: int) -> bytes:
        with self.cache.fetching(pack, start):
            if self.cache.covers(pack, start, stop):  # another process was first
                held = self.cache.find(pack, start, stop)
                if held is not None:
                    return held
            data = bytes(reader.read(start, stop - start))
            self.cache.add(pack, start, data)
            return data


class CachedReader:
    """A pack of a far tier."""

    def __init__(self, tier: CachedTier, pack: PackId, inner: PackReader) -> None:
        self._tier = tier
        self._pack = pack
        self.inner = inner

    def size(self) -> int:
        """Pass on."""
        return self.inner.size()

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return a range of the pack, from the cache or by one request."""
        held = self._tier.cache.find(self._pack, offset, offset + length)
        if held is not None:
            return held
        return self._tier.fetch(self._pack, self.inner, offset, offset + length)

    def read_present(self, offset: int, length: int) -> bytes | None:  # noqa: ARG002
        """Return None: the cache is on a disk."""
        return None

    def want(self, offset: int, size: int, *, whole: bool = False) -> None:
        """Have what is about to be read of a record here: by one request, if it is not.

        Of a large record the begin, or all of up to 32 MiB when it is going to be read as a `whole`.
        """
        stop = offset + min(size, NEAR if whole else WANTED)
        if not self._tier.cache.covers(self._pack, offset, stop):
            self._tier.awaited(self._pack, offset, stop)
        if not self._tier.cache.covers(self._pack, offset, stop):
            self._tier.fetch(self._pack, self.inner, offset, stop)

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        """Yield a range of the pack: what the cache has at its begin, the rest by one request.

        The cache keeps what comes, as it comes.
        """
        cache, pack, stop = self._tier.cache, self._pack, offset + length
        while offset < stop:
            held = cache.find(pack, offset, min(offset + EXTENT, stop))
            if held is None:
                break
            yield held
            offset += len(held)
        if offset >= stop:
            return
        extent = bytearray()
        for piece in self.inner.stream(offset, stop - offset):
            extent += piece
            if len(extent) >= EXTENT:
                cache.add(pack, offset, extent)
                offset += len(extent)
                yield extent
                extent = bytearray()
        cache.add(pack, offset, extent)
        yield extent

    def drop(self, offset: int, size: int) -> None:
        """Let the cache forget a range that turned out to be damaged."""
        self._tier.cache.drop(self._pack, offset, offset + size)

    def close(self) -> None:
        """Let the pack go."""
        self.inner.close()
