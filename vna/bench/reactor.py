"""Runs the lanes of one process: generators that wait for sockets and for time, nothing else.

A lane is a generator. It yields a file descriptor to sleep until something happened to that
socket, or a number of seconds (a float) to sleep that long. Sockets are registered once and
edge-triggered: a lane always tries first and yields when the kernel has nothing for it, so that a
busy lane costs no call but those that move bytes.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time
from collections.abc import Generator, Sequence
from typing import Any, TypeAlias

__all__ = ["Lane", "Reactor", "Silence", "Wait"]

Wait: TypeAlias = int | float
"""What a lane yields: a file descriptor (int), or seconds to sleep (float)."""
Lane: TypeAlias = Generator[Wait, None, Any]

READY = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
LOOK_EVERY_S = 0.5
TOGETHER_S = 0.0005


class Silence(OSError):
    """A peer has neither sent nor taken anything for too long."""


class Reactor:
    """An event loop for lanes; `silence_s` is how long one waits for its peer."""

    def __init__(self, silence_s: float) -> None:
        self._poll = select.epoll()
        self._silence_s = silence_s
        self._waiting: dict[int, tuple[Lane, float]] = {}
        self._sleeping: list[tuple[float, int, Lane]] = []
        self._order = itertools.count()
        self._background: set[int] = set()
        self._foreground = 0
        self._now = time.perf_counter()

    def watch(self, sock: socket.socket) -> None:
        """Make the socket one that lanes may wait for, until it is closed."""
        sock.setblocking(False)
        self._poll.register(sock, READY)

    def spawn(self, lane: Lane, *, background: bool = False) -> None:
        """Start a lane; `run` does not wait for one in the background."""
        if background:
            self._background.add(id(lane))
        else:
            self._foreground += 1
        heapq.heappush(self._sleeping, (0.0, next(self._order), lane))

    def run(self) -> None:
        """Run until every lane in the foreground has ended; what one raises comes out here."""
        look_at = time.perf_counter() + LOOK_EVERY_S
        while self._foreground:
            self._wake()
            due = self._sleeping[0][0] if self._sleeping else look_at
            timeout = max(0.0, min(due, look_at) - time.perf_counter()) if self._foreground else 0
            for number, _ in self._poll.poll(timeout):
                found = self._waiting.pop(number, None)
                if found:
                    self._step(found[0])
            self._now = time.perf_counter()
            if self._now >= look_at:
                look_at = self._now + LOOK_EVERY_S
                self._end_silence()

    def together(self, lanes: Sequence[Lane]) -> Lane:
        """Run lanes at once and end with the last; the first error of one is raised then."""
        left = len(lanes)
        errors: list[Exception] = []

        def one(lane: Lane) -> Lane:
            nonlocal left
            try:
                yield from lane
            except Exception as error:  # noqa: BLE001  # raised below, in the lane that waits
                errors.append(error)
            left -= 1

        for lane in lanes:
            self.spawn(one(lane))
        while left:
            yield TOGETHER_S
        if errors:
            raise errors[0]

    def _wake(self) -> None:
        now = self._now = time.perf_counter()
        while self._sleeping and self._sleeping[0][0] <= now:
            self._step(heapq.heappop(self._sleeping)[2])

    def _step(self, lane: Lane, error: Exception | None = None) -> None:
        try:
            wait = lane.send(None) if error is None else lane.throw(error)
        except StopIteration:
            if id(lane) in self._background:
                self._background.remove(id(lane))
            else:
                self._foreground -= 1
            return
        if type(wait) is int:
            self._waiting[wait] = (lane, self._now)
        else:
            heapq.heappush(self._sleeping, (self._now + wait, next(self._order), lane))

    def _end_silence(self) -> None:
        limit = self._now - self._silence_s
        late = [
            (number, lane)
            for number, (lane, since) in self._waiting.items()
            if since < limit and id(lane) not in self._background
        ]
        for number, lane in late:
            del self._waiting[number]
            self._step(lane, Silence(f"nothing from the peer for {self._silence_s:g} s"))
