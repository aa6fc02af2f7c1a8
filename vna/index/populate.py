"""The index at hand: held in memory as far as that is granted, and mapped ahead.

The first look of a process at a page of its map is a fault, even where the page is in memory. In a
large index searches come to pages that this process has not seen for a long time, and by then the
kernel may have taken them for images that are read once. So its begin, up to a limit, is read in and
held there; of the rest page tables are filled for what memory has, and nothing is read for it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

from vna._native import hold, populate
from vna.machine import memory_bytes

__all__ = ["Population"]

log = logging.getLogger(__name__)

PART: Final = 256 << 20
"""Bytes at once: some 20 ms of work, or what a disk takes to read them."""
SHARE: Final = 2
"""Never more is held than memory divided by this."""
MAPS: Final = Path("/proc/self/maps")


class Population:
    """How far one map of a file is at hand, by one thread at a time; a new map needs a new one."""

    def __init__(self, held_bytes: int) -> None:
        """`held_bytes` of the file at most are held, and no more than a half of memory."""
        self._start: int | None = None
        self._done = 0
        self._held = held_bytes

    def go_on(self, inode: int, size: int) -> bool:
        """Take on the next part of a file of `size` bytes; return whether there is more of it.

        The map must stay where it is meanwhile.
        """
        if self._start is None:
            self._start = _start(inode)
            self._held = min(self._held, memory_bytes() // SHARE) // PAGESIZE * PAGESIZE
        if self._start is None:
            return False
        whole = size - size % PAGESIZE
        holds = self._done < self._held
        length = max(min((min(whole, self._held) if holds else whole) - self._done, PART), 0)
        if holds:
            self._hold(self._start + self._done, length)
        populate(self._start + self._done, length)
        self._done += length
        return self._done < whole

    def _hold(self, address: int, length: int) -> None:
        try:
            hold(address, length)
        except OSError as error:
            log.info("the index is not held in memory: %s", error)
            self._held = 0


def _start(inode: int) -> int | None:
    """Return where a file is mapped from its begin; None where it is not, or nobody tells."""
    with suppress(OSError):
        for line in MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
            place, _, offset, _, mapped, *_ = line.split(maxsplit=5)
            if int(mapped) == inode and not int(offset, 16):
                return int(place.partition("-")[0], 16)
    return None
