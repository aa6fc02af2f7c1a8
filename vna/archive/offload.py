"""Blocking work away from the event loop: a call, or an iterator read ahead by one piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["Offload"]

P = ParamSpec("P")
T = TypeVar("T")


class Offload:
    """Threads for work that may wait for a disk or hold a core."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="archive")

    def close(self) -> None:
        """Wait for work in hand and stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, having run it in a thread."""
        return await self.begin(work, *args, **kwargs)

    def begin(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin to run `work` in a thread; the future has what it returns."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    async def stream(self, pieces: Iterator[T]) -> AsyncGenerator[T, None]:
        """Yield what `pieces` yields; the next piece is fetched while the caller uses this one.

        At most two pieces are in memory. Leaving early closes the iterator after the fetch in
        hand, so that files it holds are let go.
        """
        done = object()
        loop = asyncio.get_running_loop()
        ahead = loop.run_in_executor(self._pool, next, pieces, done)
        try:
            while (piece := await ahead) is not done:
                ahead = loop.run_in_executor(self._pool, next, pieces, done)
                yield piece  # type: ignore[misc]  # `done` was ruled out above
        finally:
            if not ahead.done():
                await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # read, so that a failure after an early leave is not reported
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
