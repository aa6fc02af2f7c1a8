"""Operations of one association that are under way at once (PS3.7 D.3.3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["Outstanding"]


class Outstanding:
    """Lets up to `window` operations go on after their data sets are read.

    What a peer sends ahead beyond that is not read before one of them has ended.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self, work: Coroutine[None, None, None], taken: asyncio.Future[None]) -> None:
        """Start an operation; return once it has `taken` what it reads, or has ended.

        `work` must not raise.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task, taken}, return_when=asyncio.FIRST_COMPLETED)
        await self._until(self.window - 1)

    async def settle(self) -> None:
        """Return once all have ended."""
        await self._until(0)

    async def _until(self, count: int) -> None:
        while len(self._tasks) > count:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
