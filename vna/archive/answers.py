"""What the committer says, brought to the event loops that wait for it: a group in one call."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future

from vna.index import Applied

__all__ = ["Answers"]


class Answers:
    """The answers that one event loop waits for.

    A wake-up of the loop for each answer would cost more than the answers do: the committer's
    thread and the loop would hand the interpreter to and fro for each object of a group.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._come: deque[tuple[asyncio.Future[Applied], Future[Applied]]] = deque()
        self._called = False

    def future(self, done: Future[Applied]) -> asyncio.Future[Applied]:
        """Return the loop's side of `done`. Cancelling it has no effect on what was proposed."""
        waiting: asyncio.Future[Applied] = self.loop.create_future()

        def come(done: Future[Applied]) -> None:
            if self.loop.is_closed():
                return
            self._come.append((waiting, done))
            # Cleared before the answers are taken: one that comes meanwhile calls once too often.
            if not self._called:
                self._called = True
                self.loop.call_soon_threadsafe(self._give)

        done.add_done_callback(come)
        return waiting

    def _give(self) -> None:
        self._called = False
        while self._come:
            waiting, done = self._come.popleft()
            if waiting.done():
                continue  # who waited has left
            error = done.exception()
            if error is None:
                waiting.set_result(done.result())
            else:
                waiting.set_exception(error)
