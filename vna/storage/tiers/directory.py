"""A tier in a directory of a local file system.

Ownership of a pack is an exclusive `flock` on its open file: it ends with the process, however
that ends, and a second opening by the owner itself does not share it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import uuid
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from vna._native import Appender, CachedFile, Fresh, keep_room
from vna.folders import make_folder, open_private, sync_folder
from vna.storage.format import pack_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from vna._native import Buffer
    from vna.storage.tier import PackFile, PackReader
    from vna.types import PackId

_NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})\.pack")
_PIECE: Final = 4 << 20
_IDENTITY: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n")
_MAX_BUFFERS: Final = os.sysconf("SC_IOV_MAX")
_DIRECT: Final = getattr(os, "O_DIRECT", 0)
_ROOM: Final = 16 << 20
"""Bytes for which space is kept ahead of what is appended, at most."""
_PLENTY: Final = 64 * _ROOM

log = logging.getLogger(__name__)


class DirectoryTier:
    """Packs as files of one directory, beside the files `tier` and `sequence`."""

    def __init__(
        self,
        path: Path,
        *,
        new: bool = True,
        direct: bool = False,
        fresh: Fresh | None = None,
    ) -> None:
        """Open the tier at `path`; an empty or missing directory becomes one if it may be `new`.

        Else that is ConnectionError: the disk of the tier is not mounted. What is appended goes
        through the page cache, or `direct` to the disk where that is possible; then `fresh` keeps
        it for a while.
        """
        self._path = path
        self._direct = direct
        self._fresh = fresh
        if not new and not (path / "tier").exists():
            raise ConnectionError(f"{path} is no tier: is its disk mounted?")
        make_folder(path)
        self._identity = self._known_identity()

    @property
    def identity(self) -> str:
        """The UUID in the file `tier`."""
        return self._identity

    def reserve(self, node: int) -> PackId:
        """Return the next sequence of `node`, made durable under a lock."""
        with self._locked("sequence") as fd:
            # A power loss at the very first reservation can leave zeros.
            last = int(os.pread(fd, 16, 0).strip(b"\0") or b"0")
            there = [pack & 0xFFFFFFFF for pack, _ in self.list() if pack >> 32 == node]
            sequence = max(last, *there, 0) + 1
            os.pwrite(fd, b"%15d\n" % sequence, 0)
            os.fsync(fd)
        return node << 32 | sequence

    def create(self, pack: PackId) -> PackFile:
        """Make an empty pack file and lock it."""
        path = self.file(pack)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            # A recovery that runs just now may have found the new file without its lock. It then
            # takes it for an orphan, and the name is lost to us.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise FileExistsError(17, "the pack was claimed as it was made", str(path)) from None
        return _File(fd, self._path, self._open_direct(path), self._fresh, pack)

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Write a pack file beside its name, sync it, and give it the name.

        What a process that was killed amid that has left is removed with the pack.
        """
        draft = self._draft(pack)
        with open_private(draft, new=True) as file:
            try:
                size = sum(file.write(piece) for piece in pieces)
                file.flush()
                os.fsync(file.fileno())
                os.link(draft, self.file(pack))
            finally:
                draft.unlink()
        sync_folder(self._path)
        return size

    def open(self, pack: PackId) -> PackReader:
        """Open a pack file for reading."""
        fd = os.open(self.file(pack), os.O_RDONLY | os.O_CLOEXEC)
        return _File(fd, self._path, fresh=self._fresh, pack=pack)

    def has(self, pack: PackId) -> bool:
        """Say whether there is a pack file of that name."""
        return self.file(pack).exists()

    def claim(self, pack: PackId) -> PackFile | None:
        """Lock a pack file unless it is locked or gone."""
        path = self.file(pack)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last owner may have removed the file between our open and our lock.
            if os.path.samestat(os.fstat(fd), path.stat()):
                _forget_pages(fd)
                return _File(fd, self._path)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def list(self) -> list[tuple[PackId, int]]:
        """Return the pack files, ascending by id."""
        found = []
        with os.scandir(self._path) as entries:
            for entry in entries:
                if name := _NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):  # removed since the directory was read
                        pack = int(name[1], 16) << 32 | int(name[2], 16)
                        found.append((pack, entry.stat().st_size))
        return sorted(found)

    def remove(self, pack: PackId) -> None:
        """Unlink a pack file, and what was written of it, and sync the directory."""
        # Drafts were named by their process once; who was killed then has left one of those.
        drafts = self._path.glob(f".{pack_name(pack)}.*")
        for path in (*drafts, self.file(pack)):
            with suppress(FileNotFoundError):
                path.unlink()
                sync_folder(self._path)

    def file(self, pack: PackId) -> Path:
        """Return where the pack's file is, or would be."""
        return self._path / f"{pack_name(pack)}.pack"

    def _draft(self, pack: PackId) -> Path:
        """Return where a pack is written that is put as a whole."""
        return self._path / f".{pack_name(pack)}.draft"

    def _open_direct(self, path: Path) -> int | None:
        """Open a pack file for direct writes; None where the file system has none."""
        if self._direct and _DIRECT:
            try:
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC | _DIRECT)
            except OSError as error:
                log.info("packs are written through the page cache: %s: %s", path, error.strerror)
                self._direct = False
        return None

    def _known_identity(self) -> str:
        """Return the directory's identity; give it one while it has no packs."""
        with suppress(FileNotFoundError):  # what has one may be read-only
            held = (self._path / "tier").read_bytes()
            if _IDENTITY.fullmatch(held):
                return held.decode("ascii").strip()
        with self._locked("tier") as fd:
            held = os.pread(fd, 64, 0)
            # A power loss as it was given can leave zeros, or a part; then there are no packs yet.
            if not _IDENTITY.fullmatch(held):
                if self.list():
                    raise OSError(5, "packs without an identity in `tier`", str(self._path))
                held = f"{uuid.uuid4()}\n".encode()
                os.pwrite(fd, held, 0)
                os.ftruncate(fd, len(held))
                os.fsync(fd)
                sync_folder(self._path)
        return held.decode("ascii").strip()

    @contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        fd = os.open(self._path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _forget_pages(fd: int) -> None:
    """Have what is read of a file from now on come from the disk.

    Pages that a failed sync could not write count as clean and stay in memory: who reads them
    there takes for durable what is not on the disk. Synced, the others are clean too, and clean
    pages go at once.
    """
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


class _File:
    """A pack file, for reading or writing."""

    def __init__(
        self,
        fd: int,
        directory: Path,
        direct: int | None = None,
        fresh: Fresh | None = None,
        pack: PackId = 0,
    ) -> None:
        self._fd = fd
        self._direct = direct
        self._fresh = fresh
        self._pack = pack
        self._file = CachedFile(fd, fresh, pack)
        self._directory: Path | None = directory
        self._appender: Appender | None = None
        self._appended: list[Buffer] = []
        self._end = 0
        self._writing = False
        self._room = 0

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes | memoryview:
        whole = self._file.read(offset, length)
        return self._read_on(offset, length) if whole is None else whole

    def _read_on(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) in (0, length):
            return data
        # One call gives at most about 2 GiB, and may be cut short by a signal.
        return data + self._read_on(offset + len(data), length - len(data))

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        for start in range(offset, offset + length, _PIECE):
            piece = self.read(start, min(_PIECE, offset + length - start))
            if not piece:
                return
            yield piece

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        return self._file.present(offset, length)

    def append(self, buffers: Sequence[Buffer], offset: int) -> None:
        end = offset + sum(map(len, buffers))
        if end > self._room:
            self._keep_room(offset, end)
        if self._appender is None:
            direct = self._fd if self._direct is None else self._direct
            self._appender = Appender(self._fd, direct, offset, self._fresh, self._pack)
        elif offset != self._end:
            raise ValueError(f"appended at {offset}, the pack ends at {self._end}")
        self._end = end
        self._appended += buffers

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        self.begin_write()
        self._settle()
        return os.pwritev(self._fd, buffers[:_MAX_BUFFERS], offset)

    def sync(self) -> None:
        if self._appended or self._writing:
            self.begin_sync()()
        else:
            os.fdatasync(self._fd)
            self._name()

    def begin_write(self) -> None:
        if self._appender is not None and self._appended:
            appended, self._appended = self._appended, []
            self._appender.write(appended)
            self._writing = True

    def begin_sync(self) -> Callable[[], None]:
        if self._appender is None:
            return self.sync
        appended, self._appended = self._appended, []
        self._appender.sync(appended)
        return partial(self._end_sync, self._appender)

    def _end_sync(self, appender: Appender) -> None:
        self._writing = False
        direct = appender.wait()
        if self._direct is not None and not direct:
            log.info("a pack is written through the page cache: its file system takes no block")
            os.close(self._direct)
            self._direct = None
        self._name()

    def _settle(self) -> None:
        """Let go of the thread that appends, once nothing is written any more. Raises OSError."""
        appender, self._appender = self._appender, None
        if self._writing and appender is not None:
            self._writing = False
            appender.settle()

    def _keep_room(self, offset: int, end: int) -> None:
        """Have the disk keep space up to `end`, and beyond it as much again where it has plenty."""
        disk = os.fstatvfs(self._fd)
        if disk.f_bavail * disk.f_frsize >= _PLENTY:  # else others, as the index, need what is left
            end += min(end, _ROOM)
        keep_room(self._fd, offset, end - offset)
        self._room = end

    def _name(self) -> None:
        if self._directory is not None:
            sync_folder(self._directory)
            self._directory = None

    def truncate(self, size: int) -> None:
        with suppress(OSError):  # what was not synced is not to be known
            self._settle()
        self._appended, self._room = [], size
        os.ftruncate(self._fd, size)

    def close(self) -> None:
        with suppress(OSError):
            self._settle()
        if self._direct is not None:
            os.close(self._direct)
        os.close(self._fd)
