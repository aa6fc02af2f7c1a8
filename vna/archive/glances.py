"""What of the index is read on the event loop: a little, while it is in memory."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Final, TypeVar

from vna.clock import Clock
from vna.errors import WouldWait
from vna.index import Glance, Index

__all__ = ["Glances"]

T = TypeVar("T")

ROWS: Final = 256
"""Rows read at once: in memory that takes one or two milliseconds."""
LOOKED_AFTER: Final = 8
"""Rows after which it is looked whether the kernel had to fetch pages for them."""
AWAY: Final = 50
"""After pages came from disk, threads read for so many times as long: they bring in what is asked for.

So the loop stands still for two hundredths of the time at most, whatever a disk takes.
"""


class Glances:
    """Reads on the event loop what is little and in memory; for one thread.

    Reading the index is reading memory: for what is not there the thread stands still until the
    disk has brought it, and nobody can ask before. But the kernel counts it, so the loop waits for
    a few pages at most, and then leaves reading to threads for a while.
    """

    def __init__(self, index: Index, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._began = 0.0
        self._left = 0
        self._faults = 0
        self._glance = index.glance(self._spend)

    def read(self, work: Callable[[Glance], T]) -> T:
        """Return what `work` makes of the index. Raises WouldWait where a thread must do it."""
        self._began = self._clock.monotonic()
        if self._began < self._until:
            raise WouldWait
        self._left, self._faults = ROWS, _faults()
        try:
            return work(self._glance)
        finally:
            self._look()

    def _spend(self, rows: int) -> None:
        self._left -= rows
        if self._left <= 0 or (self._left % LOOKED_AFTER < rows and self._look()):
            raise WouldWait

    def _look(self) -> bool:
        """Say whether pages came from disk; then the next ones come in threads."""
        waited = _faults() != self._faults
        if waited:
            now = self._clock.monotonic()
            self._until = now + AWAY * (now - self._began)
        return waited


def _faults() -> int:
    """Return how often this thread has waited for a page from disk."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
