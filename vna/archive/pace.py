"""When background work may go on: at a set rate, in set hours, until it is told to stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from vna.clock import Clock

__all__ = ["LONGEST_WAIT_S", "Background", "Pace", "Stopped"]

LONGEST_WAIT_S = 60.0


class Stopped(Exception):
    """The work was told to stop."""


@dataclass(frozen=True, slots=True)
class Background:
    """How hard work in the background goes on.

    It reads up to `rate_bytes_s` (0: not at all), from `begin_hour` to `end_hour` of the local time of
    day: over midnight where the first is the larger, always where they are equal.
    """

    rate_bytes_s: int = 20 << 20
    begin_hour: int = 0
    end_hour: int = 0

    def within_hours(self, stamp: int) -> bool:
        """Return whether a moment (ns since 1970) is in these hours."""
        hour = datetime.fromtimestamp(stamp // 10**9, UTC).astimezone().hour
        if self.begin_hour < self.end_hour:
            return self.begin_hour <= hour < self.end_hour
        return hour >= self.begin_hour or hour < self.end_hour


AT_ONCE = Background(rate_bytes_s=0)
"""For work that somebody waits for."""


class Pace:
    """Holds one thread back."""

    def __init__(self, clock: Clock, stop: threading.Event, settings: Background = AT_ONCE) -> None:
        """At a rate of 0 it is as fast as it goes."""
        self._clock = clock
        self.stop = stop
        self._settings = settings
        self._due = clock.monotonic()

    def __call__(self, size: int) -> None:
        """Return when `size` bytes more may be read. Raises Stopped.

        With a size of 0, between two things to do, it returns in its hours alone. Amid one it does
        not rest: others may have to wait for its end.
        """
        now = self._clock.monotonic()
        if rate := self._settings.rate_bytes_s:
            self._due = max(self._due, now) + size / rate
            self.stop.wait(self._due - now)
        while not (size or self.stop.is_set()) and not self._settings.within_hours(
            self._clock.stamp()
        ):
            self.stop.wait(LONGEST_WAIT_S)
        if self.stop.is_set():
            raise Stopped
