"""Answers read as they leave: from the page cache on the event loop, else ahead in threads.

What is on a lower tier has threads of its own: nothing else waits while that does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from typing import Final, TypeAlias

from vna.archive.blobs import BlobReads, PresentReads
from vna.archive.offload import Offload
from vna.archive.spans import Item, Piece, Span
from vna.errors import WouldWait
from vna.storage import HOT, framed, tier_of

__all__ = ["RUN", "Flow", "Run"]

Run: TypeAlias = list[Piece]
"""Bytes that leave in one go."""

RUN: Final = 1 << 20
"""The longest span that is read in one go; other work of the loop has its turn after each run."""
JOINED: Final = 2 << 20
"""Smaller items are put together up to this: some CT slices, still in a cache when they leave."""


class Flow:
    """Reads what items say, in runs of up to about 2 MiB, a run ahead of who takes them."""

    def __init__(
        self, blobs: BlobReads, present: PresentReads, offload: Offload, far: Offload
    ) -> None:
        self._blobs = blobs
        self._present = present
        self._offload = offload
        self._far = far

    async def read(self, items: Sequence[Item]) -> Run:
        """Return the bytes of a few small items."""
        try:
            return self._here(items)
        except WouldWait:
            return await self._threads(items).run(self._there, items)

    def at_hand(self, items: Sequence[Item]) -> Run | None:
        """Return the bytes of items that make a run, if all are in memory; None if not, or if longer."""
        if sum(map(len, items)) > RUN:
            return None
        try:
            return self._here(items)
        except WouldWait:
            return None

    def each_at_hand(self, several: Sequence[Sequence[Item]]) -> Generator[Run]:
        """Yield the bytes of several, each read when it is asked for, up to the first not in memory."""
        spans = (item for items in several for item in items if isinstance(item, Span))
        with closing(self._present.each_span(spans)) as pieces, suppress(WouldWait):
            for items in several:
                yield [next(pieces) if isinstance(item, Span) else item for item in items]

    async def runs(self, batches: AsyncIterator[Iterable[Item]]) -> AsyncGenerator[Run, None]:
        """Yield the bytes of all items in order. Holds two runs, or one chunk of a blob.

        Leaving early (`aclose`) waits for the read in hand.
        """
        ahead: asyncio.Future[Run] | None = None
        async with aclosing(self._found(batches)) as found:
            try:
                async for run in found:
                    if ahead is not None:
                        yield await ahead
                        ahead = None
                    if isinstance(run, asyncio.Future):
                        ahead = run
                    else:
                        yield run
                        await asyncio.sleep(0)
                if ahead is not None:
                    yield await ahead
            finally:
                if ahead is not None:
                    await asyncio.wait([ahead])
                    if not ahead.cancelled():
                        ahead.exception()  # read: a failure after an early leave is no news

    async def zstd_runs(self, batches: AsyncIterator[Iterable[Item]]) -> AsyncGenerator[Run, None]:
        """Yield all items in order as one stream of zstd; what is stored so is not decoded."""
        async with aclosing(_grouped(batches)) as groups:
            async for group in groups:
                frames = self._threads(group).stream(self._zstd_runs(group))
                async with aclosing(frames) as runs:
                    async for run in runs:
                        yield run

    def _zstd_runs(self, items: Iterable[Item]) -> Iterator[Run]:
        run: Run = []
        size = 0
        for item in items:
            for frame in self._zstd_frames(item):
                run.append(frame)
                size += len(frame)
                if size > RUN:
                    yield run
                    run, size = [], 0
        yield run

    def _zstd_frames(self, item: Item) -> Iterator[Piece]:
        if isinstance(item, Span):
            return self._blobs.zstd_frames(item.digest, item.place, item.start, item.stop)
        return iter([framed(item)])

    async def _found(
        self, batches: AsyncIterator[Iterable[Item]]
    ) -> AsyncGenerator[Run | asyncio.Future[Run], None]:
        """Yield runs: those that the page cache has, and reads begun in threads for the others."""
        async with aclosing(_grouped(batches)) as groups:
            async for group in groups:
                if isinstance(group[0], Span) and len(group[0]) > RUN:
                    async with aclosing(self._long(group[0])) as long:
                        async for run in long:
                            yield run
                    continue
                try:
                    here = self._here(group)
                except WouldWait:
                    yield self._threads(group).begin(self._there, group)
                else:
                    yield here

    async def _long(self, span: Span) -> AsyncGenerator[Run, None]:
        """Yield the bytes of a long span, in threads from where the page cache has no more."""
        at = span.start
        try:
            while at < span.stop:
                piece = self._present.read_some(span.place, at, span.stop)
                at += len(piece)
                yield [piece]
        except WouldWait:
            rest = self._blobs.pieces(span.digest, span.place, at, span.stop)
            async with aclosing(self._threads([span]).stream(rest)) as pieces:
                async for view in pieces:
                    yield [view]

    def _threads(self, items: Iterable[Item]) -> Offload:
        spans = [item for item in items if isinstance(item, Span)]
        return (
            self._far if any(tier_of(span.place.pack) != HOT for span in spans) else self._offload
        )

    def _here(self, items: Sequence[Item]) -> Run:
        return _run(self._present, items)

    def _there(self, items: Sequence[Item]) -> Run:
        return _run(self._blobs, items)


def _run(blobs: BlobReads | PresentReads, items: Sequence[Item]) -> Run:
    pieces = iter(blobs.read_spans([item for item in items if isinstance(item, Span)]))
    return [next(pieces) if isinstance(item, Span) else item for item in items]


async def _grouped(batches: AsyncIterator[Iterable[Item]]) -> AsyncGenerator[list[Item], None]:
    """Yield the items in groups of up to JOINED bytes; an item longer than RUN stands alone."""
    group: list[Item] = []
    size = 0
    async for items in batches:
        for item in items:
            length = len(item)
            long = length > RUN
            if group and (long or size + length > JOINED):
                yield group
                group, size = [], 0
            if long:
                yield [item]
                continue
            group.append(item)
            size += length
    if group:
        yield group
