"""How fast a connection sends: as the system has it, but for one within this machine.

BBR, where it is the system's congestion control, spreads what it sends over time, by the rate that
it has seen the network take. Between two processes of one machine there is none: a reverse proxy in
front then gets a fraction of what memory gives, and each pause costs a timer. A socket that has
begun by BBR keeps its timers under any other, so all begin without, and what turns out to have its
peer elsewhere is given it then.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

__all__ = ["begin_unpaced", "pace"]

_CONGESTION: Final = getattr(socket, "TCP_CONGESTION", None)
_NAME_BYTES: Final = 16
_PACING: Final = b"bbr"
_PLAIN: Final = b"reno"


def begin_unpaced(sock: socket.socket) -> None:
    """Let a socket that is to listen or to connect send without pauses, if it would make any.

    What a listening one accepts begins as it does.
    """
    with suppress(OSError):
        if _CONGESTION is not None and _held(sock, _CONGESTION).startswith(_PACING):
            sock.setsockopt(socket.IPPROTO_TCP, _CONGESTION, _PLAIN)


def pace(connection: socket.socket) -> None:
    """Let a connection that began unpaced send as the system has it, if its peer is elsewhere."""
    with suppress(OSError):
        if _CONGESTION is None or connection.getpeername()[0] == connection.getsockname()[0]:
            return
        if _held(connection, _CONGESTION) == _PLAIN:
            with socket.socket() as fresh:
                default = _held(fresh, _CONGESTION)
            connection.setsockopt(socket.IPPROTO_TCP, _CONGESTION, default)


def _held(sock: socket.socket, option: int) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, option, _NAME_BYTES).rstrip(b"\0")
