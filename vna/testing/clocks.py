"""A clock that a test sets."""

from __future__ import annotations

from vna.clock import SystemClock

__all__ = ["SetClock"]


class SetClock(SystemClock):
    """A clock that stands at `now_ns` until it is set; forward, or, a new one, back."""

    def __init__(self, now_ns: int) -> None:
        super().__init__()
        self.now_ns = now_ns

    def stamp(self) -> int:
        """Return the time in ns, or one more than the last stamp."""
        with self._lock:
            self._last = max(self.now_ns, self._last + 1)
            return self._last
