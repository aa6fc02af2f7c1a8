"""Blobs for those who read: from where the index says, from another copy where that one fails.

What is read is checked chunk by chunk, so a copy that turns out damaged has given sound bytes up to
there, and another one goes on from that byte. The copy that failed is looked at again in the
background, whole, and recorded as damaged if it is: from then on the index does not name it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from vna.archive.quarantine import Quarantine
from vna.archive.recall import Recalls
from vna.archive.spans import Piece, Span
from vna.clock import Clock
from vna.errors import Corrupt, Unavailable, WouldWait
from vna.index import Index
from vna.observe import metrics
from vna.storage import HOT, AwayPack, BlobStore, PresentBlobs, tier_of
from vna.types import BlobPlace

__all__ = ["BlobReads", "NearReads", "PresentReads", "Suspects"]

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_WAITING = 1000
"""More suspects than that are not noted: those that are read again will be."""
AGAIN_AFTER_S = 60.0
"""A copy that was looked at is not looked at again before."""


class Suspects:
    """Copies that failed a read, looked at one after the other by a thread of their own."""

    def __init__(self, quarantine: Quarantine, clock: Clock) -> None:
        self._quarantine = quarantine
        self._clock = clock
        self._waiting: queue.SimpleQueue[tuple[bytes, BlobPlace] | None] = queue.SimpleQueue()
        self._seen: dict[BlobPlace, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False

    def report(self, digest: bytes, place: BlobPlace) -> None:
        """Have a copy looked at, if that was not done of late. Never waits."""
        with self._lock:
            now = self._clock.monotonic()
            self._seen = {at: since for at, since in self._seen.items() if since > now}
            if place in self._seen or len(self._seen) >= MOST_WAITING:
                return
            self._seen[place] = now + AGAIN_AFTER_S
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="suspects", daemon=True)
                self._thread.start()
        self._waiting.put((digest, place))

    def close(self) -> None:
        """Finish with the copy in hand and forget the others; those who read them again find them."""
        if self._thread is not None:
            self._closing = True
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (suspect := self._waiting.get()) is not None and not self._closing:
            digest, place = suspect
            try:
                self._quarantine.verdict(digest, place)
            except AwayPack as error:
                log.info("blob %s cannot be looked at: %s", digest.hex(), error)
            except Exception:  # loop boundary: other copies are to be looked at
                log.exception("blob %s could not be looked at", digest.hex())


class BlobReads:
    """Reads blobs that versions need. Thread-safe; may wait for a disk."""

    def __init__(
        self, store: BlobStore, index: Index, suspects: Suspects, recalls: Recalls
    ) -> None:
        self._store = store
        self._index = index
        self._suspects = suspects
        self._recalls = recalls

    def read(self, digest: bytes, place: BlobPlace, start: int, stop: int) -> Piece:
        """Return bytes `[start, stop)` of a blob that was at `place` when that was looked up.

        Raises Corrupt or Unavailable where no copy can be read.
        """
        tried: list[BlobPlace] = []
        self._allow(place)
        self._recalls.touch(digest, place)
        while True:
            try:
                return self._store.read(place, start, stop)
            except (Corrupt, Unavailable) as error:
                place = self._another(digest, place, tried, error)

    def read_each(self, wanted: Sequence[tuple[bytes, BlobPlace]]) -> Iterator[Piece]:
        """Yield small blobs, each whole; as `read` otherwise."""
        for digest, place in wanted:
            self._allow(place)
            self._recalls.touch(digest, place)
        done = 0
        while done < len(wanted):
            try:
                for blob in self._store.read_each(place for _, place in wanted[done:]):
                    done += 1
                    yield blob
            except (Corrupt, Unavailable):
                digest, place = wanted[done]
                done += 1
                yield self.read(digest, place, 0, place.length)

    def read_spans(self, spans: Iterable[Span]) -> list[Piece]:
        """Return the bytes of spans; as `read` otherwise."""
        return [self.read(span.digest, span.place, span.start, span.stop) for span in spans]

    def pieces(
        self, digest: bytes, place: BlobPlace, start: int, stop: int
    ) -> Iterator[memoryview]:
        """Yield bytes `[start, stop)` of a blob in bounded pieces; as `read` otherwise."""

        def pieces(place: BlobPlace, start: int) -> Iterator[tuple[int, memoryview]]:
            return ((len(each), each) for each in self._store.pieces(place, start, stop))

        return self._parts(digest, place, start, pieces)

    def zstd_frames(
        self, digest: bytes, place: BlobPlace, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield bytes `[start, stop)` of a blob as frames of zstd; as `read` otherwise."""

        def frames(place: BlobPlace, start: int) -> Iterator[tuple[int, Piece]]:
            return self._store.zstd_frames(place, start, stop)

        return self._parts(digest, place, start, frames)

    def _parts(
        self,
        digest: bytes,
        place: BlobPlace,
        start: int,
        parts: Callable[[BlobPlace, int], Iterator[tuple[int, T]]],
    ) -> Iterator[T]:
        """Yield what `parts` makes of a blob from `start` on, going on with another copy if need be."""
        tried: list[BlobPlace] = []
        self._allow(place)
        self._recalls.touch(digest, place)
        while True:
            try:
                for size, part in parts(place, start):
                    yield part
                    start += size
            except (Corrupt, Unavailable) as error:
                place = self._another(digest, place, tried, error)
            else:
                return

    def _another(
        self, digest: bytes, place: BlobPlace, tried: list[BlobPlace], error: Corrupt | Unavailable
    ) -> BlobPlace:
        """Return a place that was not tried: a copy, or where the blob was moved. Raises `error`."""
        tried.append(place)
        with self._index.read() as reader:
            left = [other for other in reader.places(digest) if other not in tried]
        if isinstance(error, Corrupt):
            self._suspects.report(digest, place)
            metrics.DAMAGED_READS.add("served" if left else "refused")
            log.error(
                "a read met damage, %s: %s", "served from a copy" if left else "refused", error
            )
        if not left:
            raise error
        self._allow(left[0])
        return left[0]

    def _allow(self, place: BlobPlace) -> None:
        """Raise WouldWait for a place that is not to be read from here."""


class NearReads(BlobReads):
    """Reads blobs that are on the hot tier. Raises WouldWait for others."""

    def _allow(self, place: BlobPlace) -> None:
        if tier_of(place.pack) != HOT:
            raise WouldWait


class PresentReads:
    """Reads blobs as far as they are in memory; for event loops, never waits.

    Raises WouldWait for all else, damage too: `BlobReads` knows of other copies.
    """

    def __init__(self, present: PresentBlobs) -> None:
        self._present = present

    def read(self, digest: bytes, place: BlobPlace, start: int, stop: int) -> Piece:  # noqa: ARG002
        """Return bytes `[start, stop)` of a blob."""
        try:
            return self._present.read(place, start, stop)
        except (Corrupt, Unavailable):
            raise WouldWait from None

    def read_each(self, wanted: Sequence[tuple[bytes, BlobPlace]]) -> Iterator[Piece]:
        """Return small blobs, each whole."""
        parts = ((place, 0, place.length) for _, place in wanted)
        return iter(list(self._each(parts)))

    def read_spans(self, spans: Sequence[Span]) -> list[Piece]:
        """Return the bytes of spans."""
        match spans:
            case [span]:
                return [self.read(span.digest, span.place, span.start, span.stop)]
            case _:
                return list(self.each_span(spans))

    def each_span(self, spans: Iterable[Span]) -> Generator[Piece]:
        """Yield the bytes of spans, each read when it is asked for."""
        return self._each((span.place, span.start, span.stop) for span in spans)

    def _each(self, parts: Iterable[tuple[BlobPlace, int, int]]) -> Generator[Piece]:
        try:
            yield from self._present.each(parts)
        except (Corrupt, Unavailable):
            raise WouldWait from None

    def read_some(self, place: BlobPlace, start: int, stop: int) -> Piece:
        """Return bytes of a blob from `start` on, in whole chunks: up to 1 MiB, at most to `stop`."""
        try:
            return self._present.read_some(place, start, stop)
        except (Corrupt, Unavailable):
            raise WouldWait from None
