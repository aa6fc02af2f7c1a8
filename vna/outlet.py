"""Writing a connection on the event loop: what memory has of files leaves without being copied."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from vna._native import send_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vna._native import Buffer

__all__ = ["Outlet"]

log = logging.getLogger(__name__)

HIGH: Final = 64 << 10
"""Bytes that may wait before the protocol is held back, unless it says how many."""
MOST_AT_ONCE: Final = 4096
"""Pieces of those that wait that are looked at each time the socket takes more."""
NOBODY: Final = asyncio.BaseProtocol()
"""Is held back where nothing is written any more."""


class Outlet(asyncio.Transport):
    """Writes a connection in place of its transport, which goes on to read and to close it.

    A transport has all that it is given copied into the kernel. What is in memory of a pack is in a
    file, whose pages the kernel can send as they are, which takes half the time.

    The protocol is held back as by any transport. It calls `lost` when the connection is, and
    answers `eof_received` by what this returns.
    """

    __slots__ = (
        *("_closing", "_descriptor", "_high", "_loop", "_paused", "_pieces", "_protocol"),
        *("_size", "_transport", "_waiting", "_waits", "failed"),
    )

    def __init__(self, transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._protocol = protocol
        self._descriptor: int = transport.get_extra_info("socket").fileno()
        self._waits = -1  # the socket's second name: the loop takes one user of each
        self._waiting = False
        self._pieces: list[Buffer] = []
        self._size = 0
        self._high = HIGH
        self._paused = False
        self._closing = False
        self.failed: OSError | None = None
        """Why it could not be written to: its transport does not know."""

    # Writing --------------------------------------------------------------------------------

    def write(self, data: Buffer) -> None:
        """Send bytes."""
        self.writelines((data,))

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Send pieces, which stay as they are until they have left; nothing once it is closing."""
        if self.is_closing():
            return
        pieces = list(list_of_data)
        self._size += sum(map(len, pieces))
        if self._waiting:
            self._pieces += pieces
        else:
            self._pieces = pieces
            self._send()
        if self._size > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:  # noqa: ARG002  # a quarter, as by default
        """Hold the protocol back while more than `high` bytes wait, until it is a quarter of that."""
        self._high = HIGH if high is None else high

    def _send(self) -> None:
        """Send what goes now of what waits, the rest when more does."""
        pieces = self._pieces
        try:
            sent = send_now(
                self._descriptor, pieces if len(pieces) <= MOST_AT_ONCE else pieces[:MOST_AT_ONCE]
            )
            self._size -= sent
            _forget(pieces, sent)
            if pieces and not self._waiting:
                if self._waits < 0:
                    self._waits = os.dup(self._descriptor)
                self._loop.add_writer(self._waits, self._go_on)
                self._waiting = True
        except OSError as error:
            left = isinstance(error, ConnectionError | TimeoutError)
            level = logging.DEBUG if left else logging.WARNING  # a disk that fails, no descriptor
            log.log(level, "a connection is cut that cannot be written to: %s", error)
            self.failed = error
            self.abort()

    def _go_on(self) -> None:
        self._send()
        if not self._pieces:
            self._rest()
            if self._closing:
                self._transport.close()
        if self._paused and self._size <= self._high // 4:
            self._paused = False
            self._protocol.resume_writing()

    def _rest(self) -> None:
        """Wait for the socket no more."""
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._waits)

    # The end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection once all has left. It is not read any more."""
        if not self._pieces:
            self._transport.close()
        elif not self.is_closing():
            self._closing = True
            self._transport.pause_reading()

    def abort(self) -> None:
        """Close the connection at once."""
        self._drop()
        self._transport.abort()

    def lost(self) -> None:
        """Let go of the connection: its transport has."""
        self._drop()
        self._protocol = NOBODY  # who has this: both would have to wait for a collection
        if self._waits >= 0:
            os.close(self._waits)
            self._waits = -1

    def eof_received(self) -> bool:
        """Close the connection, whose peer sends no more; the transport is not to do so itself."""
        self.close()
        return True

    def is_closing(self) -> bool:
        """Say whether the connection is closed, or is to be once all has left."""
        return self._closing or self._transport.is_closing()

    def _drop(self) -> None:
        self._rest()
        self._pieces = []
        self._size = 0

    # What the transport does ----------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows."""
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol told what is read; it is the first one that is held back."""
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is told what is read."""
        return self._transport.get_protocol()

    def is_reading(self) -> bool:
        """Say whether the connection is read."""
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless the connection is to be closed."""
        if not self.is_closing():
            self._transport.resume_reading()


def _forget(pieces: list[Buffer], count: int) -> None:
    """Take away the first `count` bytes of the pieces."""
    gone = 0
    for piece in pieces:
        if count < len(piece):
            if count:
                pieces[gone] = memoryview(piece)[count:]
            break
        count -= len(piece)
        gone += 1
    del pieces[:gone]
