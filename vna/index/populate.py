"""Page tables of the map, filled ahead with what memory has of the index.

The first look of a process at a page of its map is a fault, even where the page is in memory. In a
large index searches come to pages that this process has not seen for a long time, so it is shown
all of them, part by part. Nothing is read from a disk for it, and nothing is held: a page may leave
memory as before.
"""

from __future__ import annotations

from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

from vna._native import populate

__all__ = ["Population"]

PART: Final = 256 << 20
"""Bytes at once: some 20 ms of work."""
MAPS: Final = Path("/proc/self/maps")


class Population:
    """How far one map of a file is filled, by one thread at a time; a new map needs a new one."""

    def __init__(self) -> None:
        self._start: int | None = None
        self._done = 0

    def go_on(self, inode: int, size: int) -> bool:
        """Fill for the next part of a file of `size` bytes; return whether there is more of it.

        The map must stay where it is meanwhile.
        """
        if self._start is None:
            self._start = _start(inode)
        if self._start is None:
            return False
        whole = size - size % PAGESIZE
        length = max(min(whole - self._done, PART), 0)
        populate(self._start + self._done, length)
        self._done += length
        return self._done < whole


def _start(inode: int) -> int | None:
    """Return where a file is mapped from its begin; None where it is not, or nobody tells."""
    with suppress(OSError):
        for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            place, _, offset, _, mapped, *_ = line.split(maxsplit=5)
            if int(mapped) == inode and not int(offset, 16):
                return int(place.partition("-")[0], 16)
    return None
