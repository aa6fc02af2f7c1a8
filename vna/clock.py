"""Time and identifiers, in one place so that tests can own them.

A *stamp* is the version of a mutation: nanoseconds since the epoch, strictly increasing within a
process even if the wall clock steps back. Mutations of one object are ordered by stamp.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the archive asks of time and chance."""

    def stamp(self) -> int:
        """Return a new stamp, larger than every one this clock returned before."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""

    def token(self, size: int) -> bytes:
        """Return `size` random bytes."""


class SystemClock:
    """The machine's own clock and random source."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def stamp(self) -> int:
        """Return the time in ns, or one more than the last stamp where the clock stood or went back."""
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            return self._last

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return time.monotonic()

    def token(self, size: int) -> bytes:
        """Return random bytes of the operating system."""
        return os.urandom(size)
