"""The file data.mdb beside LMDB: who has it open, and the checkpoint that is kept in it.

Drawn in docs/format/index.md, "Checkpoint". All is in the part of page 0 that LMDB never writes
after it made the file, so that the checkpoint is renamed, linked and copied with what it is of.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from vna._native import crc32c
from vna.errors import Unavailable

__all__ = ["DataFile"]

SLOT: Final = Struct("<8sQII256s256sI")
SLOT_AT: Final = (1024, 2048)
MAGIC: Final = b"VNACHECK"
META_BYTES: Final = 256
"""All that LMDB writes of a meta page is in its first 152 bytes."""
CONDEMNED: Final = b"VNACONDE"
CONDEMNED_AT: Final = 3072


@dataclass(frozen=True, slots=True)
class Slot:
    """A checkpoint: its number, the page size, the front of both meta pages.

    `returning` is 0, or the index has gone back to it, and its feed has not leapt yet: to a life
    of at least that number.
    """

    number: int
    page_size: int
    returning: int
    metas: tuple[bytes, bytes]

    def encode(self) -> bytes:
        front = SLOT.pack(MAGIC, self.number, self.page_size, self.returning, *self.metas, 0)[:-4]
        return front + crc32c(front).to_bytes(4, "little")

    @classmethod
    def decode(cls, data: bytes) -> Slot | None:
        if len(data) < SLOT.size or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return None
        magic, number, page_size, returning, *metas, _ = SLOT.unpack(data)
        return cls(number, page_size, returning, (metas[0], metas[1])) if magic == MAGIC else None


class DataFile:
    """An open data.mdb. OSError where the disk fails.

    `keeps` says that checkpoints are kept; all that have the file open together agree on it.
    """

    def __init__(self, path: Path, *, keeps: bool) -> None:
        self._path = path
        self._keeps = keeps
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.returning = 0

    def claim(self) -> None:
        """Have the file before LMDB opens it: as one of several, or first, then undisturbed.

        Who is first goes back to the checkpoint if anything was written since, and is
        `returning` then. Raises Unavailable where that is due, and others have the file open.
        """
        for _ in range(2):
            if self._have_alone():
                self._return()
                return
            # One that was killed as it went back may have had it till now; then nobody has.
            self.share()
        if self.condemned:
            raise Unavailable(
                f"index {self._path}: a sync has failed, and others still have it open"
            )

    def _have_alone(self) -> bool:
        """Have the file alone if nobody else has it; if not, what was had of it is given up."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Have the file as one of several; waits for one that has it alone."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @property
    def inode_and_size(self) -> tuple[int, int]:
        """Number of the file in its file system, and its bytes."""
        found = os.fstat(self._fd)
        return found.st_ino, found.st_size

    @property
    def kept(self) -> bool:
        """Whether there is a checkpoint."""
        return self._newest() is not None

    @property
    def condemned(self) -> bool:
        """Whether a sync has failed: what memory shows of the file may never reach the disk."""
        return os.pread(self._fd, len(CONDEMNED), CONDEMNED_AT) == CONDEMNED

    def condemn(self) -> None:
        """Let nobody write any more until the index has gone back to its checkpoint."""
        self.put(CONDEMNED, CONDEMNED_AT)

    def metas(self, page_size: int) -> tuple[bytes, bytes]:
        """Return the front of both meta pages; no transaction may be committed meanwhile."""
        first, second = (os.pread(self._fd, META_BYTES, at) for at in (0, page_size))
        return first, second

    def keep(self, page_size: int, metas: tuple[bytes, bytes]) -> None:
        """Make a state of which all pages are durable the checkpoint; durable on return."""
        newest = self._newest()
        number = newest.number + 1 if newest else 1
        self._put_slot(Slot(number, page_size, self.returning, metas))

    def put(self, data: bytes, offset: int) -> None:
        """Write over a part of the file."""
        os.pwrite(self._fd, data, offset)

    def sync(self) -> None:
        """Make durable what anybody has written to the file."""
        os.fdatasync(self._fd)

    def _return(self) -> None:
        slot = self._newest()
        if slot is None:
            return
        if self.condemned or self.metas(slot.page_size) != slot.metas:
            if not slot.returning:
                # Said first: the feed leaps even if the power fails between here and there.
                slot = Slot(slot.number + 1, slot.page_size, 1, slot.metas)
                self._put_slot(slot)
            for number, meta in enumerate(slot.metas):
                self.put(meta, number * slot.page_size)
            self.put(bytes(len(CONDEMNED)), CONDEMNED_AT)
            self.sync()
        self.returning = slot.returning
        if not self._keeps:
            for at in SLOT_AT:
                self.put(bytes(SLOT.size), at)
            self.sync()

    def _put_slot(self, slot: Slot) -> None:
        """Write over the older slot: a power loss meanwhile leaves the newer one."""
        self.put(slot.encode(), SLOT_AT[slot.number % 2])
        self.sync()

    def _newest(self) -> Slot | None:
        raw = [os.pread(self._fd, SLOT.size, at) for at in SLOT_AT]
        valid = [slot for slot in map(Slot.decode, raw) if slot is not None]
        if not valid and all(data.startswith(MAGIC) for data in raw):
            raise Unavailable(
                f"index {self._path}: its checkpoint is damaged; `vna rebuild-index` makes it again"
            )
        return max(valid, key=lambda slot: slot.number, default=None)
