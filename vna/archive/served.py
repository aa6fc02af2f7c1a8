"""Counting what is read to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from vna.observe import metrics

__all__ = ["counted", "served"]

P = TypeVar("P", bound=bytes | memoryview)


def counted(resource: str, pieces: Iterator[P]) -> Iterator[P]:
    """Yield `pieces`; count the resource and its bytes when it ends, or is left."""
    size = 0
    try:
        for piece in pieces:
            size += len(piece)
            yield piece
    finally:
        served(resource, size)


def served(resource: str, size: int) -> None:
    """Count one resource of so many bytes."""
    metrics.RETRIEVED.add(resource)
    metrics.RETRIEVED_BYTES.add(resource, by=size)
