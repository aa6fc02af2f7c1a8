"""Data sets on their way out, read before it is their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, TypeAlias

from vna.archive import Archive, Run, StoredObject

__all__ = ["Ahead"]

Reading: TypeAlias = tuple[asyncio.Future[Run], AsyncGenerator[Run, None]]
"""The first run of a data set to come, and what follows it."""
TOGETHER: Final = 16
"""Data sets that are looked up at once."""


class Ahead:
    """Reads the next data set while the one before is on its way."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._ready: tuple[StoredObject, Run] | None = None
        self._begun: tuple[StoredObject, Reading] | None = None
        self._due: deque[StoredObject] = deque()
        self._runs = archive.datasets_at_hand(())
        """Of those that are due."""

    def at_hand(self, waiting: deque[StoredObject], number: int) -> Run | None:
        """Return the data set behind `number` others if it is in memory, read before or now."""
        if self._ready is not None and self._ready[0] is waiting[number]:
            (_, run), self._ready = self._ready, None
            return run
        return None if self._begun is not None else self._read(waiting, number)

    def begin_nth(self, waiting: deque[StoredObject], number: int) -> None:
        """Begin to read the one behind `number` others of those that wait, if there is one.

        What is in memory is read at once.
        """
        if number >= len(waiting):
            return
        stored = waiting[number]
        run = self._read(waiting, number)
        if run is not None:
            self._ready = stored, run
        else:
            self._begin(stored)

    def _read(self, waiting: deque[StoredObject], number: int) -> Run | None:
        if not self._due or self._due[0] is not waiting[number]:
            self._runs.close()
            self._due = deque(islice(waiting, number, number + TOGETHER))
            self._runs = self._archive.datasets_at_hand(list(self._due))
        self._due.popleft()
        run = next(self._runs, None)
        if run is None:
            self._due.clear()
        return run

    async def first(self, stored: StoredObject) -> asyncio.Future[Run]:
        """Return the first run of a data set to come, begun before or now."""
        return (await self._reading(stored))[0]

    @asynccontextmanager
    async def runs(self, stored: StoredObject) -> AsyncIterator[AsyncIterator[Run]]:
        """Give the runs of a data set, begun before or now, for as long as this lasts."""
        first, rest = await self._reading(stored)
        self._begun = None

        async def runs() -> AsyncIterator[Run]:
            yield await first
            async for run in rest:
                yield run

        try:
            yield runs()
        finally:
            await _end(first, rest)

    async def close(self) -> None:
        """Let go of what was begun and is not wanted any more."""
        self._ready = None
        self._due.clear()
        self._runs.close()
        if self._begun is not None:
            (_, reading), self._begun = self._begun, None
            await _end(*reading)

    async def _reading(self, stored: StoredObject) -> Reading:
        if self._begun is None or self._begun[0] is not stored:
            await self.close()
            self._begin(stored)
        assert self._begun is not None, "just begun"
        return self._begun[1]

    def _begin(self, stored: StoredObject) -> None:
        runs = self._archive.dataset_runs(stored)
        self._begun = stored, (asyncio.ensure_future(anext(runs, [])), runs)


async def _end(first: asyncio.Future[Run], rest: AsyncGenerator[Run, None]) -> None:
    if not first.done():
        await asyncio.wait([first])
    if not first.cancelled():
        first.exception()  # read: it was raised where the run was wanted, or nobody wants it
    await rest.aclose()
