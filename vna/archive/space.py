"""Whether there is room for new objects: free space kept in reserve, and a quota."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vna.errors import Full, Unavailable
from vna.index import Index

__all__ = ["Space"]

MIB = 1 << 20

AMPLE_BYTES = 4 << 30
"""So much more than what is kept free is not written in `LOOK_S`, whoever writes."""
LOOK_S = 0.1


@dataclass(slots=True)
class Space:
    """Refuses new objects before a file system that holds the archive is full.

    What is kept free is for the index, for recovery and for deletions, which need space too.
    Where space is short it looks anew each time, so that what is kept free stays so, and stores go
    on by themselves once there is room again. Thread-safe; may wait for a disk.
    """

    folders: Sequence[Path]
    min_free_bytes: int
    quota_bytes: int
    index: Index
    _ample_until_s: float = field(default=0.0, init=False)

    def free_bytes(self) -> int:
        """Return the free space of the fuller of the file systems. Raises Unavailable."""
        try:
            free = min(map(_free, self.folders))
        except OSError as error:
            raise Unavailable(f"the disk does not say how full it is: {error.strerror}") from error
        return free

    def full(self) -> str:
        """Return why nothing new is taken; empty while there is room. Raises Unavailable."""
        if short := self._short():
            return short
        if self.quota_bytes:
            with self.index.read() as reader:
                stored = reader.counts().bytes
            if stored >= self.quota_bytes:
                return f"the quota of {self.quota_bytes // MIB} MiB is used up"
        return ""

    def check_disk(self) -> None:
        """Raise Full when nothing more is to come on the disk, Unavailable when it does not answer."""
        if why := self._short():
            raise Full(why)

    def _short(self) -> str:
        now_s = time.monotonic()
        if now_s >= self._ample_until_s:
            free = self.free_bytes()
            kept = self.min_free_bytes
            if free < kept:
                return f"{free // MIB} MiB of disk are free, {kept // MIB} MiB are kept"
            if free - kept >= AMPLE_BYTES:
                self._ample_until_s = now_s + LOOK_S
        return ""

    def check(self) -> None:
        """Raise Full when nothing new is taken, Unavailable when the disk does not answer."""
        if why := self.full():
            raise Full(why)


def _free(folder: Path) -> int:
    """Return the bytes that may still be written where `folder` is."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
