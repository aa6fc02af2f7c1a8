"""Recall: the rest of a series into the cache on the SSD when something of it is read from far away.

Who looks up blobs on a far tier says of which series they are; who reads one makes that series come,
then the rest of its study, in the order in which they are looked at. What was asked for is not waited
for by this: it has a request of its own.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from vna.archive.contents import contents_of, series_of
from vna.clock import Clock
from vna.index import Index
from vna.storage import HOT, BlobStore, Flight, tier_of
from vna.types import BlobPlace

__all__ = ["Recalls"]

log = logging.getLogger(__name__)

SeriesName: TypeAlias = tuple[str, str]
"""Study and Series Instance UID."""

MOST_KNOWN = 100_000
"""Blobs of which it is known whose they are."""
AGAIN_AFTER_S = 60.0
"""A series that was recalled is not looked at again before."""
THREADS = 2


class Recalls:
    """Recalls in the background. Thread-safe."""

    def __init__(self, store: BlobStore, index: Index, clock: Clock) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._owners: OrderedDict[bytes, SeriesName] = OrderedDict()
        self._due: dict[SeriesName, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(THREADS, "recall") if store.caches else None

    def note(
        self, study_uid: str, series_uid: str, blobs: Iterable[tuple[bytes, BlobPlace]]
    ) -> None:
        """Remember of which series blobs on far tiers are."""
        far = [digest for digest, place in blobs if tier_of(place.pack) != HOT]
        if self._threads is None or not far:
            return
        with self._lock:
            for digest in far:
                self._owners[digest] = study_uid, series_uid
            while len(self._owners) > MOST_KNOWN:
                self._owners.popitem(last=False)

    def touch(self, digest: bytes, place: BlobPlace) -> None:
        """Have the series of a blob come that is about to be read, but for the blob itself.

        On return all of it is announced, so that who reads on waits for it.
        """
        if self._threads is None or tier_of(place.pack) == HOT:
            return
        with self._lock:
            series = self._owners.get(digest)
            now = self._clock.monotonic()
            if series is None or self._due.get(series, now) > now or self._stop.is_set():
                return
            self._due = {name: due for name, due in self._due.items() if due > now}
            self._due[series] = now + AGAIN_AFTER_S
            flights = self._begin(series, but=digest)
            recall = self._threads.submit(self._fly_then, flights, series)
            recall.add_done_callback(lambda _: _land(flights))  # one that never began, too

    def warm(
        self,
        series: Sequence[SeriesName],
        follow: Callable[[int, int], None] | None = None,
        pace: Callable[[int], None] | None = None,
    ) -> int:
        """Have series in the cache on return, to stay; return the bytes fetched, as `pace` lets.

        Nobody waits for these, as they come at a pace: who wants them meanwhile asks for himself.
        Raises OSError, and what `pace` raises.
        """
        done = 0
        for number, each in enumerate(series):
            flights = self._begin(each)
            for flight in flights:
                flight.land()
            for flight in flights:
                flight.fly(self._stop, pace)
                flight.favour()
                done += flight.stop - flight.start
            if follow is not None:
                follow(number + 1, len(series))
        return done

    def close(self) -> None:
        """Stop what goes on; nobody waits any more for what does not come."""
        with self._lock:
            self._stop.set()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _begin(self, series: SeriesName, *, but: bytes = b"") -> list[Flight]:
        with self._index.read() as reader:
            contents = contents_of(reader, *series)
            wanted = [
                reader.blob(bulk.digest)
                for bulk in contents.bulk
                if bulk.digest != but and bulk.header in contents.stores
            ]
        return self._store.begin_recall([place for place in wanted if place is not None])

    def _fly_then(self, flights: Sequence[Flight], series: SeriesName) -> None:
        """Bring a series, then the other series of its study."""
        self._fly(flights)
        for other in series_of(self._index, series[0]):
            with self._lock:
                now = self._clock.monotonic()
                if self._due.get(other, now) > now or self._stop.is_set():
                    continue
                self._due[other] = now + AGAIN_AFTER_S
                flights = self._begin(other)
            self._fly(flights)

    def _fly(self, flights: Sequence[Flight]) -> None:
        try:
            for flight in flights:
                flight.fly(self._stop)
        except OSError as error:
            log.warning("a recall ends: %s", error)
        finally:
            _land(flights)


def _land(flights: Sequence[Flight]) -> None:
    for flight in flights:
        flight.land()
