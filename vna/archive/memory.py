"""Bytes of arriving objects in memory: counted for the whole process, against a cap."""

from __future__ import annotations

__all__ = ["Memory"]


class Memory:
    """What all ingests of a process hold. Belongs to the event loop.

    Nobody waits for memory while holding some, so nothing can lock up: over the cap, values that
    arrive move to packs of their own however short they are, and headers, which cannot, are
    refused (see `Ingest.write`).
    """

    def __init__(self, cap_bytes: int) -> None:
        self._cap = cap_bytes
        self.held = 0

    @property
    def scarce(self) -> bool:
        """Whether more is held than the cap."""
        return self.held > self._cap
