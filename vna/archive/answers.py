"""What the committer says, brought to the event loop that waits for it: a group in one call."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from vna.index import Applied

__all__ = ["Answer", "Answers"]

log = logging.getLogger(__name__)


class Answers:
    """The answers that one event loop waits for.

    A wake-up of the loop for each answer would cost more than the answers do: the committer's
    thread and the loop would hand the interpreter to and fro for each object of a group.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._come: deque[Answer] = deque()
        self._called = False

    def add(self, answer: Answer) -> None:
        """Have an answer given on the loop. From any thread."""
        if self.loop.is_closed():
            return
        self._come.append(answer)
        # Cleared before the answers are taken: one that comes meanwhile calls once too often.
        if not self._called:
            self._called = True
            self.loop.call_soon_threadsafe(self._give)

    def _give(self) -> None:
        self._called = False
        while self._come:
            try:
                self._come.popleft().give()
            except Exception:  # loop boundary: the others are to have their answers
                log.exception("an answer of the committer reached nobody")


class Answer:
    """A promise of the committer's; `told` is called on the loop with what comes of it."""

    __slots__ = ("_answers", "_come", "_told")

    def __init__(self, answers: Answers, told: Callable[[Applied | Exception], None]) -> None:
        self._answers = answers
        self._told = told
        self._come: Applied | Exception | None = None

    def set_result(self, applied: Applied, /) -> None:
        """Take how the index took it."""
        self._come = applied
        self._answers.add(self)

    def set_exception(self, refusal: Exception, /) -> None:
        """Take why it was refused."""
        self._come = refusal
        self._answers.add(self)

    def done(self) -> bool:
        """Say whether the answer has been given."""
        return self._come is not None

    def give(self) -> None:
        """Tell who waits, on the loop."""
        assert self._come is not None, "taken before it is given"
        self._told(self._come)
