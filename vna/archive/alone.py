"""One process of an archive at a time moves what is in packs: compaction, and movement between tiers.

Two locks (flock) make it: the right itself, and the place of the one who is next. Whoever wants the
right has that place first, so who takes and leaves it all the time lets in who waits: a long move
does not keep compaction from freeing what was moved.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vna.errors import Busy, Unavailable

__all__ = ["MOVING_LOCK", "Alone"]

MOVING_LOCK = "compact.lock"
NEXT_LOCK = "compact.next"
LOOK_S = 0.2


class Alone:
    """The right to move, taken and left again and again; the kernel lets go with the process."""

    def __init__(self, data: Path) -> None:
        self._paths = (data / NEXT_LOCK, data / MOVING_LOCK)
        self._file = -1

    def take(self, stop: threading.Event | None = None) -> None:
        """Have the right. Raises Busy if another process has it, Unavailable.

        With `stop` it waits for the right, and raises Busy when that is set.
        """
        if self._file >= 0:
            return
        following, right = self._paths
        place = _taken(following, stop)
        try:
            self._file = _taken(right, stop)
        finally:
            os.close(place)

    @contextmanager
    def taken(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Have the right for the length of a block, as `take` does."""
        self.take(stop)
        try:
            yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Let others."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _taken(path: Path, stop: threading.Event | None) -> int:
    """Return the open file of a lock that is ours then. Raises as `take` does."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise Unavailable(f"{path} cannot be used: {error.strerror}") from error
    while not _locked(file):
        if stop is None or stop.wait(LOOK_S):
            os.close(file)
            raise Busy("another process moves or compacts packs of this archive just now")
    return file


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
