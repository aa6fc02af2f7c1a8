"""Who uses an archive: all that open it together, or one alone that replaces its index.

The hold is a lock on `archive.toml`. The kernel lets go of it when the process ends, however it
ends; child processes do not inherit it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from vna.errors import Unavailable

__all__ = ["Hold"]


class Hold:
    """A claim on the archive at a data folder, until `close` or the end of a `with` statement."""

    def __init__(self, data: Path, kind: int, refused: str) -> None:
        path = data / "archive.toml"
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(f"cannot use {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise Unavailable(f"{data}: {refused}") from error

    @classmethod
    def shared(cls, data: Path) -> Self:
        """Use the archive beside others. Unavailable while its index is being replaced."""
        return cls(data, fcntl.LOCK_SH, "its index is being rebuilt")

    @classmethod
    def alone(cls, data: Path) -> Self:
        """Keep all others out. Unavailable while a daemon or command uses the archive."""
        return cls(data, fcntl.LOCK_EX, "is in use: stop its daemon, let other commands end")

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
