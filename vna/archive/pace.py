"""When background work may go on: at a set rate, in set hours, until it is told to stop."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from vna.clock import Clock

__all__ = ["Pace", "Stopped", "within_hours"]

LONGEST_WAIT_S = 60.0


class Stopped(Exception):
    """The work was told to stop."""


def within_hours(stamp: int, begin_hour: int, end_hour: int) -> bool:
    """Return whether a moment (ns since 1970) is in these hours of the local day.

    Over midnight where `begin_hour` is the larger, always where both are equal.
    """
    hour = datetime.fromtimestamp(stamp // 10**9, UTC).astimezone().hour
    if begin_hour < end_hour:
        return begin_hour <= hour < end_hour
    return hour >= begin_hour or hour < end_hour


class Pace:
    """Holds one thread back."""

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        rate_bytes_s: int = 0,
        hours: tuple[int, int] = (0, 0),
    ) -> None:
        """`rate_bytes_s` 0 is as fast as it goes; `hours` are `begin_hour` and `end_hour`."""
        self._clock = clock
        self._stop = stop
        self._rate = rate_bytes_s
        self._hours = hours
        self._due = clock.monotonic()

    def __call__(self, size: int) -> None:
        """Return when `size` bytes more may be read. Raises Stopped."""
        now = self._clock.monotonic()
        if self._rate:
            self._due = max(self._due, now) + size / self._rate
            self._stop.wait(self._due - now)
        while not self._stop.is_set() and not within_hours(self._clock.stamp(), *self._hours):
            self._stop.wait(LONGEST_WAIT_S)
        if self._stop.is_set():
            raise Stopped
