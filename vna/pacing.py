"""How fast a connection sends: as the system has it, but for one within this machine."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

__all__ = ["unpace"]

_CONGESTION: Final = getattr(socket, "TCP_CONGESTION", None)
_NAME_BYTES: Final = 16


def unpace(connection: socket.socket) -> None:
    """Let a connection whose peer is on this machine send without pauses, if it would make any.

    BBR spreads what it sends over time, by the rate that it has seen the network take. Between two
    processes of one machine there is none: a reverse proxy in front then gets a fraction of what memory
    gives, and each pause costs a timer.
    """
    with suppress(OSError):
        if _CONGESTION is None or connection.getpeername()[0] != connection.getsockname()[0]:
            return
        held = connection.getsockopt(socket.IPPROTO_TCP, _CONGESTION, _NAME_BYTES)
        if held.startswith(b"bbr"):
            connection.setsockopt(socket.IPPROTO_TCP, _CONGESTION, b"reno")
