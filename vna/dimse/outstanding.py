"""Operations of one association that are under way at once (PS3.7 D.3.3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

__all__ = ["Outstanding"]


class Outstanding:
    """Lets up to `window` operations go on after their data sets are read.

    What a peer sends ahead beyond that is not read before one of them has ended.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def full(self) -> bool:
        """Whether one has to end before the next begins."""
        return len(self._tasks) >= self.window

    def note(self) -> Callable[[], None]:
        """Count an operation that nobody waits for; to be called when it ends."""
        ended = asyncio.get_running_loop().create_future()
        self._tasks.add(ended)

        def end() -> None:
            self._tasks.discard(ended)
            ended.set_result(None)

        return end

    async def begin(self, work: Coroutine[None, None, None], taken: asyncio.Future[None]) -> None:
        """Start an operation once there is room for it; return when it has `taken` what it reads.

        Or when it has ended. `work` must not raise.
        """
        await self._until(self.window - 1)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task, taken}, return_when=asyncio.FIRST_COMPLETED)

    async def settle(self) -> None:
        """Return once all have ended."""
        await self._until(0)

    async def _until(self, count: int) -> None:
        while len(self._tasks) > count:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
