"""Answers kept ready: bodies that were made once and hold as long as their entity tag does."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Prepared"]


class Prepared:
    """Bodies by entity tag, those asked for last, up to `most` bytes; for one event loop.

    A tag changes with what it stands for, so nothing here is ever out of date: it only goes
    unused, and then out.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._bodies: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    def get(self, etag: str) -> bytes | None:
        """Return the body of a tag, if it is here."""
        body = self._bodies.get(etag)
        if body is not None:
            self._bodies.move_to_end(etag)
        return body

    def keep(self, etag: str, body: bytes) -> None:
        """Keep a body, unless it would take more than a quarter of all the room."""
        if len(body) > self._most // 4 or etag in self._bodies:
            return
        self._bodies[etag] = body
        self._size += len(body)
        while self._size > self._most:
            self._size -= len(self._bodies.popitem(last=False)[1])
