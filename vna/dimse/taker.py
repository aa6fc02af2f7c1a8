"""What takes a data set where it arrives, instead of the task that serves the association."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from vna.dimse.machine import Data, Message

__all__ = ["Offer", "Taker"]


class Taker(Protocol):
    """Takes a data set where it arrives, while it arrives. Nothing of that raises."""

    def take(self, data: Data) -> Message | None:
        """Take the next piece; or return the message for the owner to read this piece and the rest."""

    def lost(self) -> None:
        """Let go of what was taken: the rest does not come."""


Offer: TypeAlias = Callable[[Message, bytes | bytearray | memoryview], Taker | None]
"""Says who takes the data set of a message, of which the first piece is there."""
