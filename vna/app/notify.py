"""Telling systemd that the archive is ready, or is going (sd_notify(3))."""

from __future__ import annotations

import logging
import socket

from vna.config import notify_socket

__all__ = ["notify"]

log = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send `state`, such as "READY=1", to the service manager if there is one that listens.

    One that cannot be told is no reason not to serve, nor not to stop: that is logged.
    """
    address = notify_socket()
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(name)
            channel.sendall(state.encode())
        except OSError as error:
            log.warning("the service manager at %s is not told %s: %s", address, state, error)
