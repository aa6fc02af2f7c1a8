"""Checkpoints of an environment: what a power loss, or the end of all its users, leaves of it.

LMDB commits here without a sync: the packs have all that was acknowledged. That would leave an
index which is not whole, so that

    1  a *checkpoint* is a state of which every page is durable; its meta pages are kept aside
    2  every process that writes holds a *pin*, a read transaction as old as the checkpoint or
       older: LMDB reuses no page that a reader may need, so the checkpoint's pages stay as they are
    3  who opens the index while nobody else has it open goes back to the checkpoint

docs/format/index.md, "Durability", says why that is enough.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lmdb

from vna.errors import Unavailable, VnaError
from vna.index.data_file import DataFile

__all__ = ["Checkpoints"]

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0
"""How long after a transaction a checkpoint has it: bounds the work of recovery."""
GROWTH_PAGES: Final = 4096
"""Pages that the file may grow before a checkpoint lets pages be used again."""


class Checkpoints:
    """Makes them while this process writes, and holds its pin. Thread-safe.

    `snapshot` runs its argument in a write transaction, so that no process commits meanwhile.
    """

    def __init__(
        self,
        env: Any,
        file: DataFile,
        folder: Path,
        snapshot: Callable[[Callable[[Any], _State]], _State],
    ) -> None:
        self._env = env
        self._file = file
        self._snapshot = snapshot
        self._page_size = int(env.stat()["psize"])
        self._pinned: _State | None = None
        self._remaps = 0
        self._pinning = threading.Lock()
        self._making = threading.Lock()
        self._turns = os.open(
            folder / "checkpoint.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def pinned(self) -> bool:
        """Whether this process may write."""
        return self._pinned is not None

    def ready(self) -> None:
        """Have a pin, and a checkpoint every now and then from here on. Raises Unavailable."""
        if self._pinned is None:
            self.make()
        if self._thread is None:
            with self._making:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="index-checkpoint", daemon=True
                    )
                    self._thread.start()

    def grown(self, last_page: int) -> None:
        """Take note of the file's last page after a transaction."""
        pinned = self._pinned
        if pinned is not None and last_page - pinned.last_page > GROWTH_PAGES:
            self._wake.set()

    def unpin(self) -> None:
        """Let go of the pin, for a remap: it ends all transactions of this process."""
        with self._pinning:
            self._remaps += 1
            last, self._pinned = self._pinned, None
        if last is not None:
            last.pin.abort()

    def make(self) -> None:
        """Make everything committed durable, in a new checkpoint. Raises Unavailable.

        After that nobody writes until the index has gone back to the checkpoint before: of pages
        that failed to be written Linux believes that they were.
        """
        with self._making, self._turn():
            if self._file.condemned:
                raise Unavailable("a sync of the index has failed")
            state = self._snapshot(self._state)
            try:
                self._file.sync()
                self._file.keep(self._page_size, state.metas)
            except OSError as error:
                state.pin.abort()
                self._file.condemn()
                raise Unavailable(f"the index cannot be synced: {error}") from error
            with self._pinning:
                # A remap has ended the new pin too: the pins of others hold the checkpoint, and
                # this process does not write before it has another one.
                last = self._pinned
                self._pinned = state if state.remaps == self._remaps else None
            if last is not None:
                last.pin.abort()

    def close(self) -> None:
        """Make a last checkpoint, if this process wrote, and let go of the pin."""
        if self._thread is not None:
            self._closing = True
            self._wake.set()
            self._thread.join()
        if self._pinned is not None:
            try:
                self.make()
            except VnaError as error:  # whoever opens it goes back, and recovers
                log.error("the index was left as it was: %s", error)  # noqa: TRY400
            self.unpin()
        os.close(self._turns)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(INTERVAL_S)
            self._wake.clear()
            # Another process's transactions count too: they reuse no page behind our pin.
            pinned = self._pinned
            if self._closing or self._file.condemned:
                return
            if pinned is None or self._last() == pinned.last:
                continue
            try:
                self.make()
            except Exception as error:  # noqa: BLE001  # loop boundary: writes are refused now
                log.error("no checkpoint of the index: %s", error)  # noqa: TRY400

    def _last(self) -> int:
        return int(self._env.info()["last_txnid"])

    def _state(self, _txn: Any) -> _State:
        info = self._env.info()
        return _State(
            self._env.begin(),
            self._file.metas(self._page_size),
            int(info["last_txnid"]),
            int(info["last_pgno"]),
            self._remaps,
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only process that makes a checkpoint: later ones are of later states."""
        fcntl.flock(self._turns, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turns, fcntl.LOCK_UN)


@dataclass(frozen=True, slots=True)
class _State:
    """The newest state of the index, pinned; number of its transaction, and of its last page.

    A remap after `remaps` others has ended the pin.
    """

    pin: lmdb.Transaction[bytes]
    metas: tuple[bytes, bytes]
    last: int
    last_page: int
    remaps: int
