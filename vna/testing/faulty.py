"""A tier that fails on purpose: errors, short writes, a full disk, power loss.

It wraps a real tier and passes everything on to it; a test says what goes wrong and when.
"""

# ruff: noqa: SLF001  the files of this tier are a part of it

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vna._native import Buffer
    from vna.storage import HotTier, PackFile, PackReader
    from vna.types import PackId

Operation: TypeAlias = Literal[
    "put",
    "reserve",
    "create",
    "open",
    "claim",
    "list",
    "remove",
    "read",
    "write",
    "sync",
    "truncate",
]


@dataclass(frozen=True, slots=True)
class UnsyncedWrite:
    """A write that no sync has covered yet; `number` counts within its pack from 0."""

    pack: PackId
    number: int
    offset: int
    data: bytes


@dataclass(slots=True)
class _Disk:
    """What of a pack would survive a power loss, and what may not."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[UnsyncedWrite] = field(default_factory=list)
    named: bool = False


@dataclass(slots=True)
class _Failure:
    error: int
    after: int
    times: int


class FaultyTier:
    """Wraps `inner`. Until told to fail it behaves as `inner` does; `calls` counts operations."""

    def __init__(self, inner: HotTier) -> None:
        self.calls: Counter[Operation] = Counter()
        self._inner = inner
        self._failures: dict[Operation, _Failure] = {}
        self._most_a_write_takes: int | None = None
        self._space: int | None = None
        self._disks: dict[PackId, _Disk] = {}
        self._files: list[_FaultyFile] = []

    def fail(
        self, operation: Operation, error: int = errno.EIO, *, after: int = 0, times: int = 1
    ) -> None:
        """Let `operation` succeed `after` times from now, then fail `times` times with `error`."""
        self._failures[operation] = _Failure(error, after, times)

    def heal(self) -> None:
        """Let nothing fail any more that is not full."""
        self._failures.clear()

    def short_writes(self, most: int | None) -> None:
        """Let each write take at most `most` bytes; None ends that."""
        self._most_a_write_takes = most

    def space(self, left: int | None) -> None:
        """Let packs grow by `left` more bytes, then fail with ENOSPC; None ends that."""
        self._space = left

    def power_loss(self, keep: Callable[[UnsyncedWrite], int] = lambda _: 0) -> None:
        """Lose power: files go dead, packs fall back to what is durable.

        Of each unsynced write the first `keep(write)` bytes survive, whatever became of those
        before it. A pack whose name was never synced is gone.
        """
        for file in self._files:
            file.die()
        self._files.clear()
        for pack, disk in self._disks.items():
            image = disk.durable
            for write in disk.pending:
                _put(image, write.offset, write.data[: keep(write)])
            if not disk.named:
                self._inner.remove(pack)
            elif (fallen := self._inner.claim(pack)) is not None:
                fallen.truncate(0)
                fallen.write([bytes(image)], 0)
                fallen.sync()
                fallen.close()
        self._disks.clear()

    @property
    def identity(self) -> str:
        """The identity of the inner tier."""
        return self._inner.identity

    def reserve(self, node: int) -> PackId:
        """Pass on."""
        self._meet("reserve")
        return self._inner.reserve(node)

    def create(self, pack: PackId) -> PackFile:
        """Pass on; the new pack is not durable."""
        self._meet("create")
        return self._own(pack, self._inner.create(pack), _Disk())

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Pass on."""
        self._meet("put")
        return self._inner.put(pack, pieces)

    def open(self, pack: PackId) -> PackReader:
        """Pass on."""
        self._meet("open")
        return _FaultyReader(self, self._inner.open(pack))

    def has(self, pack: PackId) -> bool:
        """Pass on."""
        return self._inner.has(pack)

    def claim(self, pack: PackId) -> PackFile | None:
        """Pass on; what the pack holds counts as durable unless this tier saw it written."""
        self._meet("claim")
        file = self._inner.claim(pack)
        if file is None:
            return None
        held = self._disks.get(pack)
        return self._own(
            pack, file, held or _Disk(bytearray(file.read(0, file.size())), [], named=True)
        )

    def list(self) -> list[tuple[PackId, int]]:
        """Pass on."""
        self._meet("list")
        return self._inner.list()

    def remove(self, pack: PackId) -> None:
        """Pass on; a removal is durable at once."""
        self._meet("remove")
        self._inner.remove(pack)
        self._disks.pop(pack, None)

    def _own(self, pack: PackId, file: PackFile, disk: _Disk) -> PackFile:
        self._disks[pack] = disk
        owned = _FaultyFile(self, pack, file, disk)
        self._files.append(owned)
        return owned

    def _meet(self, operation: Operation) -> None:
        """Count an operation, and fail it if that is due."""
        self.calls[operation] += 1
        failure = self._failures.get(operation)
        if failure is None:
            return
        if failure.after:
            failure.after -= 1
            return
        failure.times -= 1
        if not failure.times:
            del self._failures[operation]
        raise OSError(failure.error, os.strerror(failure.error))

    def _allowed(self, size: int, growth: int) -> int:
        """Return how many bytes a write of `size` bytes that grows its pack by `growth` takes."""
        taken = min(size, self._most_a_write_takes or size)
        if self._space is not None:
            inside = size - growth
            taken = min(taken, inside + self._space)
            if taken <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._space -= max(taken - inside, 0)
        return taken


class _FaultyReader:
    def __init__(self, tier: FaultyTier, inner: PackReader) -> None:
        self._tier = tier
        self._inner = inner

    def size(self) -> int:
        return self._inner.size()

    def read(self, offset: int, length: int) -> bytes:
        self._tier._meet("read")
        return self._inner.read(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        self._tier._meet("read")
        return self._inner.stream(offset, length)

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        self._tier._meet("read")
        return self._inner.read_present(offset, length)

    def close(self) -> None:
        self._inner.close()


class _FaultyFile(_FaultyReader):
    def __init__(self, tier: FaultyTier, pack: PackId, inner: PackFile, disk: _Disk) -> None:
        super().__init__(tier, inner)
        self._file = inner
        self._pack = pack
        self._disk = disk
        self._dead = False

    def die(self) -> None:
        if not self._dead:
            self._dead = True
            self._file.close()

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        self._live("write")
        data = b"".join(buffers)
        growth = max(offset + len(data) - max(self.size(), offset), 0)
        data = data[: self._tier._allowed(len(data), growth)]
        taken = self._file.write([data], offset)
        self._disk.pending.append(
            UnsyncedWrite(self._pack, len(self._disk.pending), offset, data[:taken])
        )
        return taken

    def sync(self) -> None:
        self._live("sync")
        self._file.sync()
        for write in self._disk.pending:
            _put(self._disk.durable, write.offset, write.data)
        self._disk.pending.clear()
        self._disk.named = True

    def begin_sync(self) -> Callable[[], None]:
        return self.sync

    def truncate(self, size: int) -> None:
        """Cut; of what is cut off, nothing comes back after a power loss."""
        self._live("truncate")
        self._file.truncate(size)
        del self._disk.durable[size:]
        self._disk.pending = [
            UnsyncedWrite(self._pack, number, write.offset, write.data[: size - write.offset])
            for number, write in enumerate(self._disk.pending)
            if write.offset < size
        ]

    def close(self) -> None:
        if not self._dead:
            self._dead = True
            self._tier._files.remove(self)
            self._file.close()

    def _live(self, operation: Operation) -> None:
        if self._dead:
            raise OSError(errno.EIO, "the power is off")
        self._tier._meet(operation)


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if data:
        image.extend(bytes(max(offset + len(data) - len(image), 0)))
        image[offset : offset + len(data)] = data
