"""Telling systemd that the archive is ready, or is going (sd_notify(3))."""

from __future__ import annotations

import socket

from vna.config import notify_socket

__all__ = ["notify"]


def notify(state: str) -> None:
    """Send `state`, such as "READY=1", to the service manager if there is one that listens."""
    address = notify_socket()
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(name)
        channel.sendall(state.encode())
