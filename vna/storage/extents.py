"""The cache of far packs on the SSD: extents, files named by pack and byte range.

Shared by all processes of an archive without talking: a file appears whole, by rename, and is
never changed; who finds it gone takes that for a miss. What is in a file is not believed: records
are checked where they are read, as on any tier.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from vna.folders import exclusive, make_folder
from vna.observe import metrics
from vna.storage.eviction import Entry, Queues
from vna.storage.format import pack_name

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.types import PackId

__all__ = ["ExtentCache"]

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"([0-9a-f]{12})-([0-9a-f]{12})")
_LOCKS: Final = 64
COARSE_S: Final = 0.1
"""More than the time of change of a folder is late by, on any file system that a cache is on."""
_LOOK_AFTER: Final = 32
"""The cache is looked through when this part of its limit has been added by a process."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """Extents of a pack.

    Their folder had `changed` then, which was first seen at `since`; a `final` one has them all.
    """

    extents: list[tuple[int, int]]
    changed: int
    since: float
    final: bool


class ExtentCache:
    """Byte ranges of packs in `folder`, of at most about `limit_bytes`. Thread-safe.

    It leaves `free_bytes` of its disk to others.
    """

    def __init__(self, folder: Path, limit_bytes: int, free_bytes: int = 0) -> None:
        self._folder = folder
        self.limit = limit_bytes
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._known: dict[PackId, _Listing] = {}
        self._added = limit_bytes  # so that the first addition of a process looks
        try:
            make_folder(folder)
            for draft in folder.glob("*/.*"):  # of a process that was killed
                draft.unlink(missing_ok=True)
        except OSError as error:  # far tiers are read all the same
            log.warning("the cache in %s cannot be used: %s", folder, error.strerror)

    def find(self, pack: PackId, start: int, stop: int) -> bytes | None:
        """Return bytes `[start, stop)` of a pack if all of them are here."""
        data = self._read(pack, start, stop)
        if data is None and self._renew(pack):  # another process may have fetched it
            data = self._read(pack, start, stop)
        metrics.CACHE_LOOKUPS.add("hit" if data is not None else "miss")
        return data

    def covers(self, pack: PackId, start: int, stop: int) -> bool:
        """Say whether bytes `[start, stop)` of a pack are here."""
        if self._there(pack, start, stop):
            return True
        # another process may have fetched it, or dropped it
        return self._renew(pack) and self._there(pack, start, stop)

    def favour(self, pack: PackId, start: int, stop: int) -> None:
        """Count bytes that were fetched by choice as read once: eviction finds them in use."""
        for low, high in self._listed(pack):
            if low < stop and start < high:
                _mark_read(self._path(pack, low, high))

    def add(self, pack: PackId, start: int, data: Buffer) -> None:
        """Keep an extent. A full or failing disk is no error: it is a cache."""
        stop = start + len(data)
        if stop == start or stop - start > self.limit:
            return
        path = self._path(pack, start, stop)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            if self._short_of() + len(data) > 0:
                return
            try:
                draft.write_bytes(data)
                draft.rename(path)
            finally:
                draft.unlink(missing_ok=True)
            with self._lock:
                self._known.pop(pack, None)
                self._added += stop - start
                look = self._added * _LOOK_AFTER > self.limit
                if look:
                    self._added = 0
            if look:
                self.shrink(self.limit)

    def drop(self, pack: PackId, start: int, stop: int) -> None:
        """Forget what touches bytes `[start, stop)` of a pack: it turned out to be damaged."""
        self._forget(pack)
        for low, high in self._listed(pack):
            if low < stop and start < high:
                self._path(pack, low, high).unlink(missing_ok=True)
        self._forget(pack)

    def clear(self) -> int:
        """Remove everything; return how many bytes that were."""
        return self.shrink(0, wait=True)

    def give_way(self) -> None:
        """Let extents go as far as the disk lacks free space, from time to time. Raises nothing."""
        with suppress(OSError):
            if (short := self._short_of()) > 0:
                self.shrink(max(self.size() - short, 0))

    def size(self) -> int:
        """Return the bytes that are here."""
        return sum(entry.size for entry in self._entries())

    def shrink(self, limit_bytes: int, *, wait: bool = False) -> int:
        """Let extents go until at most `limit_bytes` are here; return how many bytes went.

        One process does at a time; others leave it to that one, or `wait`.
        """
        with exclusive(self._folder / "queues.lock", wait=wait) as ours:
            if not ours:
                return 0
            entries = self._entries()
            before = {entry.name: (entry.size, entry.read) for entry in entries}
            queues = self._queues()
            gone = queues.evict(entries, limit_bytes)
            for name in gone:
                (self._folder / name).unlink(missing_ok=True)
            self._remove_empty({entry.name for entry in entries}.difference(gone))
            for entry in entries:  # whose turn has come: it must be read again to get another
                if before[entry.name][1] and not entry.read:
                    with suppress(OSError):
                        os.utime(self._folder / entry.name, (entry.came, entry.came))
            note = self._folder / ".queues"
            note.write_bytes(msgspec.msgpack.encode((queues.main, queues.ghosts)))
            note.rename(self._folder / "queues")
        with self._lock:
            self._known.clear()
        return sum(before[name][0] for name in gone)

    @contextmanager
    def fetching(self, pack: PackId, start: int) -> Iterator[None]:
        """Hold, over all processes, the right to fetch what begins at `start` of a pack.

        By hash: an unlucky few share a lock, and wait a little longer.
        """
        slot = zlib.crc32(b"%x %x" % (pack, start)) % _LOCKS
        with ExitStack() as held:
            with suppress(OSError):  # a disk that fails: then each fetches for himself
                held.enter_context(exclusive(self._folder / f"fetch-{slot:02d}.lock", wait=True))
            yield

    def _short_of(self) -> int:
        """Return how many bytes are missing to what is to be free; below 0 where there is more."""
        if not self._free_bytes:
            return -self.limit
        disk = os.statvfs(self._folder)
        return self._free_bytes - disk.f_bavail * disk.f_frsize

    def _read(self, pack: PackId, start: int, stop: int) -> bytes | None:
        extents = self._extents(pack, start, stop)
        if extents is None:
            return None
        pieces = []
        at = start
        for low, high in extents:
            path = self._path(pack, low, high)
            wanted = min(high, stop) - at
            try:
                with path.open("rb", buffering=0) as file:
                    piece = os.pread(file.fileno(), wanted, at - low)
                    seen = os.fstat(file.fileno())
            except OSError:
                return None
            if len(piece) != wanted:  # torn by a power loss: it hides others that are whole
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                return None
            at += wanted
            if not _marked(seen):
                _mark_read(path)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _extents(self, pack: PackId, start: int, stop: int) -> list[tuple[int, int]] | None:
        """Return extents that cover `[start, stop)` one after the other, or None."""
        with self._lock:
            known = self._known.get(pack)
        if known is None:
            known = self._look(pack)
        extents = known.extents
        chosen = []
        at = start
        while at < stop:
            # Of those that begin at or before `at`, the one that reaches furthest.
            before = extents[: bisect_right(extents, (at, 1 << 62))]
            best = max(before, key=lambda extent: extent[1], default=None)
            if best is None or best[1] <= at:
                return None
            chosen.append(best)
            at = best[1]
        return chosen

    def _there(self, pack: PackId, start: int, stop: int) -> bool:
        extents = self._extents(pack, start, stop)
        return extents is not None and all(self._is_whole(pack, *each) for each in extents)

    def _is_whole(self, pack: PackId, start: int, stop: int) -> bool:
        try:
            return self._path(pack, start, stop).stat().st_size == stop - start
        except OSError:
            return False

    def _listed(self, pack: PackId) -> list[tuple[int, int]]:
        try:
            files = list((self._folder / pack_name(pack)).iterdir())
        except OSError:
            return []
        names = [match for file in files if (match := _NAME.fullmatch(file.name))]
        return sorted((int(name[1], 16), int(name[2], 16)) for name in names)

    def _look(self, pack: PackId) -> _Listing:
        changed, now = self._changed(pack), time.monotonic()  # both before the listing
        with self._lock:
            before = self._known.get(pack)
        since = before.since if before is not None and before.changed == changed else now
        listing = _Listing(self._listed(pack), changed, since, final=now - since > COARSE_S)
        with self._lock:
            self._known[pack] = listing
        return listing

    def _renew(self, pack: PackId) -> bool:
        """Look again at the extents of a pack, unless there can be no others; say whether it did.

        The time of change of a folder is coarse: what came right after a listing may not show in it.
        So a listing is final only if that time stood still for a while before.
        """
        with self._lock:
            known = self._known.get(pack)
        if known is not None and known.final and known.changed == self._changed(pack):
            return False
        self._look(pack)
        return True

    def _changed(self, pack: PackId) -> int:
        try:
            return (self._folder / pack_name(pack)).stat().st_mtime_ns
        except OSError:
            return 0

    def _forget(self, pack: PackId) -> None:
        with self._lock:
            self._known.pop(pack, None)

    def _entries(self) -> list[Entry]:
        found = []
        for folder in os.scandir(self._folder) if self._folder.is_dir() else ():
            if not folder.is_dir():
                continue
            try:
                files = list(os.scandir(folder.path))
            except FileNotFoundError:  # emptied and removed by another process
                continue
            for file in files:
                with suppress(OSError):
                    if _NAME.fullmatch(file.name):
                        seen = file.stat()
                        name = f"{folder.name}/{file.name}"
                        found.append(Entry(name, seen.st_size, seen.st_mtime, _marked(seen)))
        return found

    def _remove_empty(self, kept: Iterable[str]) -> None:
        """Remove folders in which none of the `kept` extents is: each would be looked through again.

        One that an extent is just coming to may go too: then that is not kept, as on a full disk.
        """
        used = {name.partition("/")[0] for name in kept}
        for folder in os.scandir(self._folder):
            if folder.name not in used and folder.is_dir():
                with suppress(OSError):
                    Path(folder.path).rmdir()

    def _queues(self) -> Queues:
        """Return what the last eviction noted; nothing, where that cannot be read."""
        try:
            main, ghosts = msgspec.msgpack.decode(
                (self._folder / "queues").read_bytes(), type=tuple[list[str], list[str]]
            )
        except (OSError, msgspec.MsgspecError):
            return Queues()
        return Queues(main, ghosts)

    def _path(self, pack: PackId, start: int, stop: int) -> Path:
        return self._folder / pack_name(pack) / f"{start:012x}-{stop:012x}"


def _marked(seen: os.stat_result) -> bool:
    """Say whether an extent was read since it came, or since eviction gave it another turn."""
    return seen.st_atime > seen.st_mtime


def _mark_read(path: Path) -> None:
    """Have the time of access of an extent pass that of writing: its mark."""
    with suppress(OSError):
        written = path.stat().st_mtime
        os.utime(path, (written + 1, written))
