"""Listening sockets to associations. Several processes may accept from the same sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Final

from vna._native import Landing
from vna.archive import Archive
from vna.dimse.acceptor import Acceptor
from vna.dimse.association import Association
from vna.dimse.machine import Machine
from vna.dimse.settings import DimseSettings
from vna.pacing import pace

__all__ = ["DimseServer", "serve"]

log = logging.getLogger(__name__)

YIELD_S: Final = 0.001
"""Seconds per association in hand by which a process lets others accept first."""
YIELD_MOST: Final = 8
ABORT_S: Final = 1.0
"""Seconds that A-ABORT has to reach a peer when the server closes."""
RETRY_S: Final = 1.0
"""Seconds until accepting is tried again after the machine ran out of something."""


async def serve(
    archive: Archive, settings: DimseSettings, sockets: Sequence[socket.socket]
) -> DimseServer:
    """Accept associations on listening `sockets` until the server is closed."""
    server = DimseServer(archive, settings, sockets)
    server.start()
    return server


class DimseServer:
    """Accepts connections and owns their associations."""

    def __init__(
        self, archive: Archive, settings: DimseSettings, sockets: Sequence[socket.socket]
    ) -> None:
        self._settings = settings
        self._sockets = list(sockets)
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], Association | None] = {}
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._landing = Landing()
        self._acceptor = Acceptor(archive, settings, self._has_room)
        self._closing = False

    @property
    def associations(self) -> int:
        """Connections in hand."""
        return len(self._tasks)

    def start(self) -> None:
        """Begin to accept."""
        for sock in self._sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), self._ready, sock)

    async def close(self, drain_s: float) -> None:
        """Stop accepting, give associations `drain_s` seconds to end, abort those that did not.

        Returns when all have ended, commits in hand included. The sockets stay open: they belong
        to who made them.
        """
        self._closing = True
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
        for timer in self._timers.values():
            timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=drain_s)
        for association in self._tasks.values():
            if association is not None:
                association.abort(why="the archive shuts down")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ABORT_S)
        for association in self._tasks.values():
            if association is not None:
                association.cut("the archive shuts down")
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _has_room(self) -> bool:
        return not self._closing and len(self._tasks) <= self._settings.max_associations

    def _ready(self, sock: socket.socket) -> None:
        """Accept, after a pause when busy: an idle process that shares the socket is then first."""
        self._loop.remove_reader(sock.fileno())
        pause = YIELD_S * min(len(self._tasks), YIELD_MOST)
        self._timers[sock] = self._loop.call_later(pause, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        try:
            connection, address = sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            pass  # another process was first, or the peer has thought better of it
        except OSError as error:
            log.error("cannot accept connections: %s", error)  # noqa: TRY400  # the reason says it all
            self._timers[sock] = self._loop.call_later(RETRY_S, self._accept, sock)
            return
        else:
            task = self._loop.create_task(self._attend(connection, f"{address[0]}:{address[1]}"))
            self._tasks[task] = None
            task.add_done_callback(self._tasks.pop)
        self._loop.add_reader(sock.fileno(), self._ready, sock)

    async def _attend(self, connection: socket.socket, peer: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pace(connection)
        if self._settings.receive_buffer_bytes:
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, self._settings.receive_buffer_bytes
            )
        association = Association(Machine(acceptor=True), self._settings, self._landing)
        association.label = peer
        task = asyncio.current_task()
        assert task is not None, "runs as a task"
        self._tasks[task] = association
        try:
            await self._loop.connect_accepted_socket(lambda: association, connection)
        except OSError as error:
            log.info("%s: lost before it began: %s", peer, error)
            connection.close()
            return
        await self._acceptor.attend(association)
        await association.closed
