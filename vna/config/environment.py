"""What the process's environment says. Nothing else in the project reads it."""

from __future__ import annotations

import os

__all__ = ["notify_socket"]


def notify_socket() -> str | None:
    """Return the address at which systemd waits for readiness (sd_notify(3)), or None."""
    return os.environ.get("NOTIFY_SOCKET")
