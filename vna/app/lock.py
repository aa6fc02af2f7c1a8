"""One daemon per archive: a lock on its data folder that the supervisor holds while it lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vna.errors import Unavailable

__all__ = ["serving"]


@contextmanager
def serving(data: Path) -> Iterator[None]:
    """Hold the right to serve `data`, making the folder when missing.

    Raises Unavailable when another daemon serves it. The kernel lets go of the lock when the
    process ends, however it ends; workers do not inherit it.
    """
    path = data / "serve.lock"
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable(f"cannot use the data folder {data}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise Unavailable(f"another daemon serves {data} already (process {holder})") from error
        with suppress(OSError):  # a full disk: only the name of the holder is missing then
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
