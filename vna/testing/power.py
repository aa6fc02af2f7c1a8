"""A disk that loses power: all that reaches it is written down, so that any moment can be had again.

A `Disk` begins as an image and keeps a journal. `PowerTier` and `watch_index` report to it while
the real files below hold the live state. `Disk.fall` answers what the files hold when power is
lost at some moment of the journal: what was synced by then, and of the rest what chance lets
through, in any order, whole or torn. Create, remove and truncate are not durable before a sync
either.

Of LMDB's file a sector of 512 bytes survives whole or not at all: LMDB relies on that for its meta
pages. Packs rely on nothing, and tear at any byte. What is appended to them is written by the sync,
in whole blocks of a page: the last one begins with what was there, and ends in zeros.
"""

# ruff: noqa: SLF001  the files of this tier are a part of it, and the index is watched from inside

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vna.storage import HotTier, PackFile, PackReader

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.index import Index
    from vna.types import PackId

Image: TypeAlias = Mapping[str, bytes]
"""Files by their path below the data folder."""

INDEX: Final = "index/data.mdb"
_SECTOR: Final = 512
_PAGE: Final = 4096
_ALL_BUT_ONE: Final = 2.0
"""A mood beyond certainty: of each write one piece is lost."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file was made: empty, or whole with durable content, by a rename."""

    path: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Wrote:
    """Bytes were written to a file; runs of `atom` bytes survive whole or not at all."""

    path: str
    offset: int
    data: bytes
    atom: int = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A file was truncated to `size`."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A file was unlinked."""

    path: str


@dataclass(frozen=True, slots=True)
class Synced:
    """What was done to a file is durable."""

    path: str


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """Which files a folder holds is durable."""

    folder: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the test did or saw at this moment."""

    value: Any


Event: TypeAlias = Made | Wrote | Cut | Removed | Synced | FolderSynced | Note


@dataclass(slots=True)
class _File:
    durable: bytearray
    named: bool = False
    removed: bool = False
    gone: bool = False
    pending: list[Wrote | Cut] = field(default_factory=list)

    def settle(self) -> None:
        for event in self.pending:
            _do(self.durable, event)
        self.pending.clear()

    def fall(self, chance: Random, mood: float) -> bytes:
        """Return the content after power loss; each thing pending survives with chance `mood`."""
        for event in self.pending:
            if isinstance(event, Cut):
                if chance.random() < mood:
                    _do(self.durable, event)
                continue
            pieces = _torn(event, chance)
            if mood == _ALL_BUT_ONE:
                pieces.pop(chance.randrange(len(pieces)))
            for piece in pieces:
                if chance.random() < mood:
                    _do(self.durable, piece)
        return bytes(self.durable)


class Disk:
    """What a data folder held at the beginning, and the journal of what was done to it since."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.image: dict[str, bytes] = {}
        self.events: list[Event] = []
        self.begin()

    def begin(self) -> None:
        """Take what the folder holds now for durable, and begin the journal."""
        self.image = read_image(self.data)
        self.events.clear()

    def note(self, value: Any) -> None:
        """Write something of the test's own into the journal."""
        self.events.append(Note(value))

    def notes(self, moment: int) -> list[Any]:
        """Return what was noted before a moment."""
        return [event.value for event in self.events[:moment] if isinstance(event, Note)]

    def moments(self) -> list[int]:
        """Return the moments right before and after each sync, rename and removal, and the last one."""
        syncs = [
            n
            for n, event in enumerate(self.events)
            if isinstance(event, Synced | Removed) or (isinstance(event, Made) and event.data)
        ]
        return sorted({*syncs, *(n + 1 for n in syncs), len(self.events)})

    def fall(self, moment: int, chance: Random) -> dict[str, bytes]:
        """Return the files after power was lost when the first `moment` events had happened."""
        files = {path: _File(bytearray(data), named=True) for path, data in self.image.items()}
        for event in self.events[:moment]:
            if isinstance(event, Made):
                files[event.path] = _File(bytearray(event.data))
            elif isinstance(event, Synced):
                files[event.path].settle()
            elif isinstance(event, Removed):
                files[event.path].removed = True
            elif isinstance(event, FolderSynced):
                _settle_names(files, event.folder)
            elif not isinstance(event, Note):
                files[event.path].pending.append(event)
        fallen = {}
        for path, file in files.items():
            mood = chance.choice(
                [0.0, 0.5, 1.0, _ALL_BUT_ONE]
            )  # of some files all is written by chance
            named = file.named or (not file.gone and chance.random() < mood)
            if named and not (file.removed and chance.random() < mood):
                fallen[path] = file.fall(chance, mood)
        return fallen


def _settle_names(files: dict[str, _File], folder: str) -> None:
    for file in [file for path, file in files.items() if str(Path(path).parent) == folder]:
        # A removed file stays in the books: who has it open may still write to it.
        file.named = not file.removed
        file.gone = file.removed


def _do(content: bytearray, event: Wrote | Cut) -> None:
    if isinstance(event, Cut):
        del content[event.size :]
    elif event.data:
        content.extend(bytes(max(event.offset + len(event.data) - len(content), 0)))
        content[event.offset : event.offset + len(event.data)] = event.data


def _torn(write: Wrote, chance: Random) -> list[Wrote]:
    """Return the pieces of a write that survive or not: all of it, or sectors, one torn further."""
    if chance.random() < 0.3:
        return [write]
    borders = set(range(-write.offset % _SECTOR, len(write.data), _SECTOR)) | {0}
    if write.atom == 1:
        borders.add(chance.randrange(len(write.data)))
    starts = sorted(borders)
    ends = [*starts[1:], len(write.data)]
    return [
        Wrote(write.path, write.offset + start, write.data[start:end])
        for start, end in zip(starts, ends, strict=True)
    ]


class PowerTier:
    """Wraps `inner`, a tier of a folder on `disk`, and reports there what is done to it."""

    def __init__(self, inner: HotTier, disk: Disk, folder: str = "packs") -> None:
        self.disk = disk
        self.folder = folder
        self._inner = inner
        self._files: set[_PowerFile] = set()
        self._off = False

    def off(self) -> None:
        """Let every file go dead, as for a process that dies: locks end, nothing more is written."""
        self._off = True
        for file in list(self._files):
            file.die()

    @property
    def identity(self) -> str:
        """The identity of the inner tier."""
        return self._inner.identity

    def reserve(self, node: int) -> PackId:
        """Pass on; the last sequence is durable with it, its file only with the folder."""
        self._on()
        pack = self._inner.reserve(node)
        path, events = f"{self.folder}/sequence", self.disk.events
        if path not in self.disk.image and Made(path) not in events:
            events.append(Made(path))
        content = (self.disk.data / path).read_bytes()
        events += [Wrote(path, 0, content, _SECTOR), Synced(path)]
        return pack

    def create(self, pack: PackId) -> PackFile:
        """Pass on; the new pack is not durable."""
        self._on()
        file = self._inner.create(pack)
        self.disk.events.append(Made(pack_path(pack, self.folder)))
        return self._own(pack, file)

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Pass on; harsher than the real thing, it may be torn under its name before the sync."""
        self._on()
        size = self._inner.put(pack, pieces)
        path = pack_path(pack, self.folder)
        content = (self.disk.data / path).read_bytes()
        self.disk.events += [Made(path), Wrote(path, 0, content), Synced(path)]
        self.disk.events.append(FolderSynced(self.folder))
        return size

    def open(self, pack: PackId) -> PackReader:
        """Pass on."""
        return self._inner.open(pack)

    def has(self, pack: PackId) -> bool:
        """Pass on."""
        return self._inner.has(pack)

    def claim(self, pack: PackId) -> PackFile | None:
        """Pass on."""
        self._on()
        file = self._inner.claim(pack)
        return file and self._own(pack, file)

    def list(self) -> list[tuple[PackId, int]]:
        """Pass on."""
        return self._inner.list()

    def remove(self, pack: PackId) -> None:
        """Pass on; the pack may be back after power loss, until the folder was synced."""
        self._on()
        there = self._inner.has(pack)
        self._inner.remove(pack)
        if there:
            self.disk.events += [Removed(pack_path(pack, self.folder)), FolderSynced(self.folder)]

    def _own(self, pack: PackId, file: PackFile) -> PackFile:
        owned = _PowerFile(self, pack_path(pack, self.folder), file)
        self._files.add(owned)
        return owned

    def _on(self) -> None:
        if self._off:
            raise OSError(5, "the power is off")


class _PowerFile:
    def __init__(self, tier: PowerTier, path: str, inner: PackFile) -> None:
        self._tier = tier
        self._path = path
        self._file = inner
        self._folder_synced = False
        self._appended: tuple[int, int] | None = None
        self._ahead: list[tuple[int, int]] = []

    def size(self) -> int:
        return self._file.size()

    def read(self, offset: int, length: int) -> bytes | memoryview:
        return self._file.read(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        return self._file.stream(offset, length)

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        return self._file.read_present(offset, length)

    def append(self, buffers: Sequence[Buffer], offset: int) -> None:
        self._tier._on()
        self._file.append(buffers, offset)
        begin, _ = self._appended or (offset, offset)
        self._appended = begin, offset + sum(map(len, buffers))

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        self._tier._on()
        taken = self._file.write(buffers, offset)
        data = b"".join(buffers)[:taken]
        self._report(Wrote(self._path, offset, data))
        return taken

    def sync(self) -> None:
        self._tier._on()
        try:
            self._file.sync()
        finally:
            self._report_appended()
        self._report(Synced(self._path))
        if not self._folder_synced:  # as `PackFile.sync` promises: the name is durable too
            self._folder_synced = True
            self._report(FolderSynced(self._tier.folder))

    def begin_write(self) -> None:
        self._tier._on()
        self._file.begin_write()
        if self._appended is not None:
            self._ahead.append(self._appended)
            self._appended = None

    def begin_sync(self) -> Callable[[], None]:
        return self.sync

    def truncate(self, size: int) -> None:
        self._tier._on()
        self._appended, self._ahead = None, []
        self._file.truncate(size)
        self._report(Cut(self._path, size))

    def close(self) -> None:
        if self in self._tier._files:
            self.die()

    def die(self) -> None:
        self._tier._files.discard(self)
        self._file.close()

    def _report_appended(self) -> None:
        """Report what was appended as it is written: whole blocks, from where the last one begins.

        What was begun to be written before the sync is reported for itself, with zeros behind it.
        """
        pieces = [*self._ahead, *([self._appended] if self._appended else [])]
        self._appended, self._ahead = None, []
        for start, end in pieces:
            begin = start - start % _PAGE
            data = bytes(self._file.read(begin, end - begin))
            self._report(Wrote(self._path, begin, data + bytes(-len(data) % _PAGE)))

    def _report(self, event: Event) -> None:
        self._tier.disk.events.append(event)


def pack_path(pack: PackId, folder: str = "packs") -> str:
    """Return the path of a pack below the data folder."""
    return f"{folder}/{pack >> 32:08x}-{pack & 0xFFFFFFFF:08x}.pack"


def watch_index(index: Index, disk: Disk) -> None:
    """Report what is written to the index to `disk`: transactions and checkpoints, one at a time.

    A transaction is the pages that it changed and a meta page, none of them durable before a
    checkpoint syncs the file (docs/format/index.md, "Durability").
    """
    environment = index._environment
    write: Callable[..., Any] = environment.write
    make = environment.checkpoints.make
    put, sync = environment.data.put, environment.data.sync
    before = bytearray(environment.file.read_bytes())
    turns = threading.RLock()

    def watched_write(*arguments: Any) -> Any:
        with turns:
            result = write(*arguments)
            after = environment.file.read_bytes()
            for offset in range(0, len(after), _PAGE):
                page = after[offset : offset + _PAGE]
                if page != before[offset : offset + _PAGE]:
                    written = page[:_SECTOR] if offset < 2 * _PAGE else page
                    disk.events.append(Wrote(INDEX, offset, written, _SECTOR))
            before[:] = after
            return result

    def watched_make() -> None:
        with turns:
            make()

    def watched_put(data: bytes, offset: int) -> None:
        put(data, offset)
        before[offset : offset + len(data)] = data
        disk.events.append(Wrote(INDEX, offset, data, _SECTOR))

    def watched_sync() -> None:
        sync()
        disk.events.append(Synced(INDEX))

    environment.write = watched_write  # type: ignore[method-assign, assignment]
    environment.checkpoints.make = watched_make  # type: ignore[method-assign]
    environment.data.put = watched_put  # type: ignore[method-assign]
    environment.data.sync = watched_sync  # type: ignore[method-assign]


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Give a folder in memory where there is one: of a simulated disk the real syncs mean nothing."""
    shared = Path("/dev/shm")  # noqa: S108  shared memory, by its Linux name
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def read_image(data: Path) -> dict[str, bytes]:
    """Return the files of a data folder; the index's lock files mean nothing after power loss."""
    locks = {"lock.mdb", "checkpoint.lock", "open.lock", "recover.lock"}
    files = (path for path in data.rglob("*") if path.is_file() and path.name not in locks)
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


def write_image(image: Image, data: Path) -> None:
    """Make a data folder that holds `image`."""
    for name, content in image.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
