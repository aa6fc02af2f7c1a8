"""Names that survive a power loss: one is durable once the folder that holds it is synced. And locks."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["exclusive", "make_folder", "open_private", "sync_folder", "write_durably"]


def make_folder(path: Path) -> None:
    """Make `path` and what is missing above it, durable with their names; OSError if not."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make durable which names are in the folder `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_private(path: Path, *, new: bool = False) -> BinaryIO:
    """Open a file to be written from its begin: what has patient data is for owner and group alone.

    With `new` it must not be there. Raises OSError.
    """
    how = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if new else os.O_TRUNC)
    return os.fdopen(os.open(path, how, 0o640), "wb")


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole; durable on return, its name too."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[bool]:
    """Have the lock `path`, made if it is missing, over all threads and processes, until the end of the block.

    Yields false if another has it, without `wait`. It ends with the process, too. Raises OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
