"""Reading a connection on the event loop: one native call each time that something has come."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final

from vna._native import Landing

__all__ = ["Inlet"]

log = logging.getLogger(__name__)

ROUNDS: Final = 8
"""Reads of one connection in a row before others have their turn."""


class Inlet:
    """Reads a connection in place of its transport, which goes on to write and to close it.

    A transport lets go of the interpreter while it copies half a megabyte from the kernel. The
    committer's thread takes it then, and the loop has to wait to get it back: two hand-overs for
    each object, which cost more than the copy.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        landing: Landing,
        received: Callable[[int], None],
        cut: Callable[[str], None],
    ) -> None:
        """Begin to read. `received` is told how many bytes are in `landing`; it must not wait.

        `cut` is to close the connection, for the reason it is given. Raises OSError where there is
        no descriptor for a second name of the socket: the loop takes one user of each.
        """
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._landing = landing
        self._received = received
        self._cut = cut
        self._descriptor = os.dup(transport.get_extra_info("socket").fileno())
        self._reading = False
        # The transport begins to read after it has called `connection_made`, which is now.
        self._loop.call_soon(self._begin)

    def pause(self) -> None:
        """Read no more, until told to go on."""
        self._reading = False
        self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Read on, unless the connection is being closed."""
        if not self._transport.is_closing():
            self._reading = True
            self._loop.add_reader(self._descriptor, self._ready)

    def close(self) -> None:
        """Let go of the connection; to be called once its transport has."""
        self.pause()
        os.close(self._descriptor)

    def _begin(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()
            self.resume()

    def _ready(self) -> None:
        # To the last byte: of a socket that has failed the loop tells only once.
        for _ in range(ROUNDS):
            if not self._reading or not self._read():
                return
        self._loop.call_soon(self._begin_anew)

    def _begin_anew(self) -> None:
        if self._reading:
            self.pause()
            self.resume()

    def _read(self) -> bool:
        """Read what has come; say whether there may be more."""
        if self._transport.is_closing():
            self.pause()
            return False
        try:
            length = self._landing.receive(self._descriptor)
            if length:
                self._received(length)
        except OSError as error:
            self.pause()
            self._cut(f"connection lost: {error}")
            return False
        except Exception:  # loop boundary: this connection has failed, the others go on
            log.exception("a connection was closed for an internal error")
            self.pause()
            self._cut("internal error")
            return False
        if length == 0:
            self.pause()
            self._transport.close()
        return bool(length)
