"""A TCP relay between a client and a server, to bring about what chance would rarely do."""

import socket
import socketserver
import threading
import time
from contextlib import suppress
from typing import Self


class Relay:
    """Passes connections to `port` on to `target`, once somebody listens there.

    With `hold_after` it withholds what the client sends beyond that many bytes until `release`;
    `holding` is set when it has begun to.
    """

    def __init__(self, target: int, hold_after: int | None = None) -> None:
        self.target = target
        self.holding = threading.Event()
        self._left = hold_after
        self._released = threading.Event()
        relay = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay.pass_on(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def release(self) -> None:
        """Pass on what was withheld, and all that follows."""
        self._released.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def pass_on(self, near: socket.socket) -> None:
        with self._connect() as far:
            back = threading.Thread(target=_copy, args=(far, near))
            back.start()
            self._forth(near, far)
            _copy(near, far)
            back.join()

    def _connect(self) -> socket.socket:
        while True:
            with suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", self.target))
            time.sleep(0.01)

    def _forth(self, near: socket.socket, far: socket.socket) -> None:
        """Pass on what may pass before the release, then wait for that."""
        if self._left is None:
            return
        while self._left and (data := near.recv(min(1 << 16, self._left))):
            self._left -= len(data)
            far.sendall(data)
        self.holding.set()
        self._released.wait()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
