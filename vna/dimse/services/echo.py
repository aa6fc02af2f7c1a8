"""C-ECHO (PS3.7 9.1.5)."""

from __future__ import annotations

from vna.dimse.operation import Operation
from vna.dimse.statuses import Status

__all__ = ["echo"]


async def echo(operation: Operation) -> None:
    """Answer that we are here."""
    operation.respond(Status.SUCCESS)
