"""What an answer is made of: bytes, and where bytes are that have not been read yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from vna.types import BlobPlace

__all__ = ["Item", "Piece", "Span", "cut_items"]

Piece: TypeAlias = bytes | memoryview


class Span(msgspec.Struct, frozen=True):
    """Bytes `[start, stop)` of a blob, to be read when it is their turn.

    `place` is where it was when that was looked up.
    """

    digest: bytes
    place: BlobPlace
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> Span:
        first, last, _ = part.indices(len(self))
        return Span(self.digest, self.place, self.start + first, self.start + max(first, last))


Item: TypeAlias = Piece | Span


def cut_items(items: Iterable[Item], start: int, stop: int) -> list[Item]:
    """Return bytes `[start, stop)` of what the items make up."""
    found: list[Item] = []
    position = 0
    for item in items:
        first, last = max(start - position, 0), min(stop - position, len(item))
        if first < last:
            found.append(item[first:last])
        position += len(item)
    return found
