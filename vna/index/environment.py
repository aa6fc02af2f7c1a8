"""The LMDB environment of a process: opened once, checked, grown under its own transactions.

LMDB may remap only while the process has no transaction. The *gate* counts them: a transaction
enters it, a remap closes it, waits until they have ended, and opens it again. Other processes
find out at their next transaction, and adopt the larger map the same way.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb
import msgspec

from vna.errors import Busy, Full, Unavailable, WouldWait
from vna.folders import exclusive, make_folder, sync_folder
from vna.index.apply import leap_feed
from vna.index.checkpoints import Checkpoints
from vna.index.data_file import DataFile
from vna.index.layout import META_ARCHIVE, META_SCHEMA, SCHEMA_VERSION, Table
from vna.index.populate import Population
from vna.index.settings import IndexSettings
from vna.index.transaction import Transaction

__all__ = ["Environment", "leap_when_opened"]

log = logging.getLogger(__name__)

T = TypeVar("T")

PAGE = 4096
LIFE_NS = 1800 * 10**9
"""Numbers the lives of feeds of restored indexes; a feed leaps less often than so."""


class _Gate:
    """Transactions pass together, a remap passes alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._closed = False

    def enter(self) -> None:
        with self._lock:
            while self._closed:
                self._changed.wait()
            self._inside += 1

    def try_enter(self) -> bool:
        """Pass if that needs no waiting for a remap; say if it did not."""
        with self._lock:
            self._inside += not self._closed
            return not self._closed

    def peek(self, look: Callable[[], T]) -> T | None:
        """Have a look that waits for nothing; None where a remap is under way."""
        with self._lock:
            return None if self._closed else look()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._closed:
                self._changed.notify_all()

    @contextmanager
    def alone(self, wait_s: float) -> Iterator[None]:
        """Hold the gate closed and empty. Raises Busy when it does not empty in time."""
        deadline = time.monotonic() + wait_s
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._closed = True
            while self._inside:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._open()
                    raise Busy(
                        f"the index map must grow, but {self._inside} transactions of this "
                        f"process stayed open for {wait_s:g} s"
                    )
                self._changed.wait(left)
        try:
            yield
        finally:
            with self._changed:
                self._open()

    def _open(self) -> None:
        self._closed = False
        self._changed.notify_all()


class Environment:
    """Transactions on the environment at `settings.path`, from any thread of this process."""

    # LMDB's locks belong to the process: a second environment on the same file in one process
    # would release those of the first. So openers of one path share, and the last one closes.
    _open: dict[Path, Environment] = {}  # noqa: RUF012
    _open_lock = threading.Lock()

    def __init__(self, settings: IndexSettings) -> None:
        self.file = settings.path / "data.mdb"
        self.settings = settings
        self._gate = _Gate()
        self._users = 1
        self._pid = os.getpid()
        self._writing = threading.Lock()
        self._population = Population(settings.memory_bytes)
        self.panicked = False
        try:
            if not self.file.exists():
                _bear(settings)
            self.data = DataFile(self.file, keeps=settings.sync)
        except (lmdb.Error, OSError) as error:
            raise self._unopened(error) from error
        try:
            # One at a time: who comes next finds that the last one has finished, or that nobody has it.
            with exclusive(settings.path / "open.lock", wait=True):
                self._open_first_or_beside()
        except OSError as error:
            self.data.close()
            raise self._unopened(error) from error
        except BaseException:
            self.data.close()
            raise

    def _open_first_or_beside(self) -> None:
        """Open the file; who is the first to has it alone until it is as it should be."""
        try:
            self.data.claim()
            self._env = _open(self.settings, self.settings.path)
        except (lmdb.Error, OSError) as error:
            raise self._unopened(error) from error
        try:
            self.checkpoints = Checkpoints(self._env, self.data, self.settings.path, self._retry)
            self._env.reader_check()
            if self.settings.sync and (self.data.returning or not self.data.kept):
                self.checkpoints.make()
            self._tables = self._retry(self._open_tables)
            if self.data.returning:
                least = self.data.returning
                self._retry(lambda txn: leap_feed(Transaction(txn, self._tables), least))
                self.data.returning = 0
                self.checkpoints.make()
            self.data.share()
        except BaseException:
            self._env.close()
            raise

    @classmethod
    def shared(cls, settings: IndexSettings) -> Environment:
        """Return this process's environment at `settings.path`, opened if it is not yet.

        Raises Unavailable when it cannot be opened, or is of another schema or archive.
        """
        with cls._open_lock:
            path = settings.path.resolve()
            env = cls._open.get(path)
            if env is None:
                env = cls._open[path] = cls(settings)
            elif env.settings != settings:
                raise Unavailable(f"index {env.file}: open in this process with other settings")
            else:
                env._users += 1
            return env

    def release(self) -> None:
        """Give up one `shared`; the last one closes the file."""
        with self._open_lock:
            self._users -= 1
            if self._users:
                return
            try:
                self._close()
            finally:  # only now: who opens the file beside it loses its locks
                del self._open[self.settings.path.resolve()]

    def _close(self) -> None:
        self.checkpoints.close()
        with self._writing, self._gate.alone(self.settings.remap_wait_s):
            self._env.close()
            self.data.close()

    @property
    def map_size(self) -> int:
        """Bytes of address space that the index may fill before the map must grow."""
        self._gate.enter()
        try:
            return int(self._env.info()["map_size"])
        finally:
            self._gate.leave()

    def generation(self) -> int | None:
        """Return the number of the last transaction committed; None while the map is remapped."""
        return self._gate.peek(self._last)

    def _last(self) -> int:
        return int(self._env.info()["last_txnid"])

    def populate(self) -> bool:
        """Have a next part of the map at hand; return whether there is more to do."""
        if not self._gate.try_enter():
            return True
        try:
            return self._population.go_on(*self.data.inode_and_size)
        finally:
            self._gate.leave()

    def begin_read(self) -> Transaction:
        """Begin a snapshot; end it with `end_read`."""
        self._check_process()
        swept = False
        while True:
            self._gate.enter()
            try:
                return self._begin_read()
            except lmdb.MapResizedError:
                self._remap(0)
            except lmdb.ReadersFullError as error:
                if swept:
                    raise Busy(f"index {self.file}: all reader slots are taken") from error
                swept = True
                self._env.reader_check()

    def begin_read_at_once(self) -> Transaction:
        """Begin a snapshot as `begin_read` does, without waiting. Raises WouldWait."""
        self._check_process()
        if not self._gate.try_enter():
            raise WouldWait
        try:
            return self._begin_read()
        except (lmdb.MapResizedError, lmdb.ReadersFullError):
            raise WouldWait from None

    def _begin_read(self) -> Transaction:
        """Begin a snapshot behind the gate, which is left again if that fails."""
        try:
            return Transaction(self._env.begin(), self._tables)
        except BaseException as error:
            self._gate.leave()
            if isinstance(error, lmdb.MapResizedError | lmdb.ReadersFullError):
                raise
            if isinstance(error, lmdb.Error):
                raise self._failed(error) from error
            raise

    def end_read(self, txn: Transaction) -> None:
        """End a snapshot."""
        try:
            txn.abort()
        finally:
            self._gate.leave()

    def write(
        self, work: Callable[[Transaction], T], durable: Callable[[], object] | None = None
    ) -> T:
        """Run `work` in a write transaction and commit it; run it again where the map had to grow.

        The commit waits for `durable`; what that raises ends the transaction without effect.
        Raises Full (no space, or the map is at its maximum), Busy, Unavailable.
        """
        self._check_process()
        if self.data.condemned:
            self.panicked = True
            raise Unavailable(f"index {self.file}: a sync has failed")

        def whole(txn: lmdb.Transaction[bytes]) -> T:
            result = work(Transaction(txn, self._tables))
            if durable is not None:
                durable()
            return result

        return self._retry(whole, pinned=self.settings.sync)

    def sync(self) -> None:
        """Make all that was committed durable, the last meta page included."""
        self._check_process()
        if self.settings.sync:
            self.checkpoints.make()
            return
        self._gate.enter()
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            raise self._failed(error) from error
        finally:
            self._gate.leave()

    def copy(self, txn: Transaction, descriptor: int) -> None:
        """Write the snapshot `txn` as an index of its own to an empty file. Full or Unavailable."""
        try:
            self._env.copyfd(descriptor, compact=True, txn=txn.handle)
        except lmdb.Error as error:
            raise self._failed(error) from error

    def _retry(self, work: Callable[[lmdb.Transaction[bytes]], T], *, pinned: bool = False) -> T:
        """Run `work` in a write transaction, again after each remap that it takes.

        `pinned`: only while this process holds a pin.
        """
        while True:
            if pinned:
                self.checkpoints.ready()
            with self._writing:
                self._gate.enter()
                try:
                    if pinned and not self.checkpoints.pinned:
                        continue  # a reader found that the map had grown
                    info = self._env.info()
                    size = int(info["map_size"])
                    with self._env.begin(write=True) as txn:
                        result = work(txn)
                except lmdb.MapResizedError:
                    wanted = 0
                except lmdb.MapFullError as error:
                    wanted = min(2 * size, self.settings.max_map_size_bytes)
                    if wanted <= size:
                        raise Full(
                            f"index {self.file}: full at its maximum of {size} bytes"
                        ) from error
                except lmdb.Error as error:
                    raise self._failed(error) from error
                else:
                    self.checkpoints.grown(int(info["last_pgno"]))
                    return result
                finally:
                    self._gate.leave()
            self._remap(wanted)

    def _remap(self, size: int) -> None:
        """Set the map to `size` bytes, 0 for what another process made it."""
        with self._gate.alone(self.settings.remap_wait_s):
            self.checkpoints.unpin()
            try:
                self._env.set_mapsize(size)
            except lmdb.Error as error:
                raise self._failed(error) from error
            self._population = Population(self.settings.memory_bytes)
            adopted = self._env.info()["map_size"]
        log.info("index map is %d bytes (%s)", adopted, "grown" if size else "adopted")

    def _open_tables(self, txn: lmdb.Transaction[bytes]) -> dict[Table, Any]:
        meta = self._env.open_db(Table.META.encode(), txn=txn)
        schema = txn.get(META_SCHEMA, db=meta)
        ours = (
            msgspec.msgpack.encode(SCHEMA_VERSION),
            msgspec.msgpack.encode(self.settings.archive_uuid),
        )
        if schema is None:
            txn.put(META_SCHEMA, ours[0], db=meta)
            txn.put(META_ARCHIVE, ours[1], db=meta)
        elif schema != ours[0]:
            raise Unavailable(
                f"index {self.file}: has schema version {msgspec.msgpack.decode(schema)}, expected "
                f"{SCHEMA_VERSION}; `vna rebuild-index` makes it again"
            )
        elif (archive := txn.get(META_ARCHIVE, db=meta)) != ours[1]:
            raise Unavailable(
                f"index {self.file}: belongs to archive {msgspec.msgpack.decode(archive or ours[1])!r}, "
                f"expected {self.settings.archive_uuid!r}"
            )
        return {table: self._env.open_db(table.encode(), txn=txn) for table in Table}

    def _unopened(self, error: Exception) -> Unavailable:
        return Unavailable(f"index {self.file}: does not open: {error}")

    def _failed(self, error: lmdb.Error) -> Full | Unavailable:
        self.panicked |= isinstance(error, lmdb.PanicError)
        if isinstance(error, lmdb.DiskError):  # LMDB's name for ENOSPC
            return Full(f"index {self.file}: {error}")
        return Unavailable(f"index {self.file}: {error}")

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise Unavailable(f"index {self.file}: was opened before a fork; open it after")


def leap_when_opened(file: Path, now: int) -> None:
    """Have the feed leap when the index in `file` is opened next; nobody has it open. Durable.

    For an index of before, put back at the stamp `now`: changes were told since, whose numbers are
    not to be told again. It may have leapt since, too, so the new life's number follows the time.
    Raises Unavailable.
    """
    try:
        with lmdb.open(str(file), subdir=False, readonly=True, lock=False) as env:
            page_size = env.stat()["psize"]
        data = DataFile(file, keeps=True)
        try:
            data.returning = max(now // LIFE_NS, 1)
            data.keep(page_size, data.metas(page_size))
        finally:
            data.close()
    except (lmdb.Error, OSError) as error:
        raise Unavailable(f"index {file}: cannot be put back: {error}") from error


def _open(settings: IndexSettings, folder: Path) -> Any:
    return lmdb.open(
        str(folder),
        map_size=-(-settings.map_size_bytes // PAGE) * PAGE,
        max_dbs=len(Table),
        max_readers=settings.max_readers,
        max_spare_txns=1,
        metasync=False,
        sync=False,
        readahead=False,
        mode=0o640,
    )


def _bear(settings: IndexSettings) -> None:
    """Make an empty data.mdb, durable before it has its name.

    LMDB does not wait for the first pages of a new file: a power loss could leave one that it
    refuses to open. Of several processes that start at once the first to link it wins.
    """
    make_folder(settings.path)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=settings.path) as draft:
        env = _open(settings, Path(draft))
        env.sync(True)
        env.close()
        with suppress(FileExistsError):
            os.link(Path(draft) / "data.mdb", settings.path / "data.mdb")
    sync_folder(settings.path)
