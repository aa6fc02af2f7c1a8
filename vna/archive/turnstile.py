"""Who is committing a group just now, over all processes of an archive.

A store may count on blobs that are in the archive already. It looks whether they are in its group,
and says so durably when the group ends. Whoever removes a pack waits in between until every
group that began before has ended: `drained`.

Two locks (flock) make it. A group holds the *room*, and the *gate* for the moment of entering; who
waits for the room to be empty holds the gate meanwhile, so that a busy archive cannot keep it waiting.
The kernel lets go of both when a process ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vna.errors import Full, Unavailable

__all__ = ["Turnstile"]

LOOK_S = 0.005


class Turnstile:
    """The two locks, as one opener has them; used by one thread at a time."""

    def __init__(self, data: Path) -> None:
        self._paths = (data / "commit.gate", data / "commit.room")
        self._files: list[int] = []
        self._inside = False

    def enter(self) -> None:
        """Begin a group, or stay in the one that was not left. Raises Full, Unavailable."""
        if self._inside:
            return
        gate, room = self._open()
        fcntl.flock(gate, fcntl.LOCK_SH)
        fcntl.flock(room, fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        self._inside = True

    def leave(self) -> None:
        """End the group."""
        if self._inside:
            fcntl.flock(self._files[1], fcntl.LOCK_UN)
            self._inside = False

    @contextmanager
    def drained(self, patience_s: float) -> Iterator[bool]:
        """Let no group begin, and yield true when all have ended.

        Yields false when one still goes on after `patience_s`: its process may be stuck, or settle
        a failure, and the others are not to wait for it.
        """
        gate, room = self._open()
        until = time.monotonic() + patience_s
        try:
            alone = _lock(gate, until) and _lock(room, until)
            yield alone
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)
            fcntl.flock(gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of everything."""
        for file in self._files:
            os.close(file)
        self._files = []
        self._inside = False

    def _open(self) -> list[int]:
        if not self._files:
            try:
                for path in self._paths:
                    self._files.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
            except OSError as error:
                self.close()
                kind = Full if error.errno in {errno.ENOSPC, errno.EDQUOT} else Unavailable
                raise kind(f"{path} cannot be used: {error.strerror}") from error
        return self._files


def _lock(file: int, until: float) -> bool:
    """Lock a file for oneself alone; say if that could be done in time."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_S)
        else:
            return True
