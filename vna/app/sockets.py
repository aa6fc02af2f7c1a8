"""The listening sockets: bound once by the supervisor, inherited by every worker."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass

from vna.config import ListenSettings
from vna.errors import Unavailable
from vna.pacing import begin_unpaced

__all__ = ["Listeners", "bind"]

BACKLOG = 1024
"""Connections that wait while all workers are busy; the kernel caps it at net.core.somaxconn."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Both fronts' listening sockets."""

    dimse: socket.socket
    http: socket.socket

    @property
    def dimse_port(self) -> int:
        """The port that DIMSE listens on, also when 0 was asked for."""
        return int(self.dimse.getsockname()[1])

    @property
    def http_port(self) -> int:
        """The port that HTTP listens on, also when 0 was asked for."""
        return int(self.http.getsockname()[1])

    @classmethod
    def inherited(cls, dimse: int, http: int) -> Listeners:
        """Return the sockets that the parent process passed on as file descriptors."""
        return cls(socket.socket(fileno=dimse), socket.socket(fileno=http))

    def close(self) -> None:
        """Close this process's handles; others that inherited them go on."""
        self.dimse.close()
        self.http.close()


def bind(listen: ListenSettings) -> Listeners:
    """Bind and listen on both ports. Raises Unavailable naming address, port and reason."""
    dimse = _bind(listen.bind, listen.dimse_port, "DIMSE")
    try:
        return Listeners(dimse, _bind(listen.bind, listen.http_port, "HTTP"))
    except Unavailable:
        dimse.close()
        raise


def _bind(address: str, port: int, front: str) -> socket.socket:
    version = ipaddress.ip_address(address).version
    listener = socket.socket(
        socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM
    )
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Workers race for each connection; the one that loses must not block in accept.
        listener.setblocking(False)
        begin_unpaced(listener)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Unavailable(
            f"cannot listen for {front} on {address} port {port}: {reason}"
        ) from error
    return listener
