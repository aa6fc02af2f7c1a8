"""What of a connection has not reached the peer yet: while it becomes less the peer is there."""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios

__all__ = ["unsent"]


def unsent(transport: asyncio.Transport, descriptor: int) -> int:
    """Return how many bytes were written and are not acknowledged by the peer's kernel, up to now.

    The kernel holds megabytes of them (tcp(7), SIOCOUTQ); 0 where it does not say.
    """
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    except OSError:
        queued = 0
    return int(queued) + transport.get_write_buffer_size()
