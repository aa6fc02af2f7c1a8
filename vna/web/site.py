"""Accepting connections of HTTP, where several processes accept from one socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web

from vna.pacing import pace

__all__ = ["SharedSite"]

log = logging.getLogger(__name__)

YIELD_S: Final = 0.001
"""Time by which a process lets another one accept first."""
RETRY_S: Final = 1.0
"""Time until accepting is tried again after the machine ran out of something."""


class SharedSite(web.BaseSite):
    """Accepts from a socket that other processes accept from too; one with fewer connections goes first.

    Without that, the process that is woken first takes nearly all: a client that opens a few
    connections at once would have one processor serve them.
    """

    __slots__ = ("_listener", "_loop", "_others_first", "_stopped", "_task", "_timer")

    def __init__(
        self, runner: web.BaseRunner, listener: socket.socket, others_first: Callable[[], bool]
    ) -> None:
        """`others_first` says whether another process has fewer connections."""
        super().__init__(runner)
        self._listener = listener
        self._others_first = others_first
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The address that the socket is bound to."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Begin to accept."""
        await super().start()
        self._listen()

    async def stop(self) -> None:
        """Accept no more. The socket stays open: it belongs to who made it."""
        self._stopped = True
        self._loop.remove_reader(self._listener.fileno())
        if self._timer is not None:
            self._timer.cancel()
        await super().stop()

    def _listen(self) -> None:
        if not self._stopped:
            self._loop.add_reader(self._listener.fileno(), self._ready)

    def _ready(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        if self._others_first():
            self._timer = self._loop.call_later(YIELD_S, self._accept)
        else:
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            self._listen()  # another process was first, or the client has thought better of it
        except OSError as error:
            log.error("cannot accept connections: %s", error)  # noqa: TRY400  # the reason says it all
            self._timer = self._loop.call_later(RETRY_S, self._accept)
        else:
            self._task = self._loop.create_task(self._connect(connection))

    async def _connect(self, connection: socket.socket) -> None:
        """Begin with a connection; only then another one is accepted, so that this one is counted."""
        connection.setblocking(False)
        pace(connection)
        server = self._runner.server
        assert server is not None, "the site was made with it"
        try:
            await self._loop.connect_accepted_socket(server, connection)
        except OSError as error:
            log.info("a connection was lost before it began: %s", error)
            connection.close()
        finally:
            self._listen()
