"""A tier that fails on purpose: errors, short writes, a full disk.

It wraps a real tier and passes everything on to it; a test says what goes wrong and when. Power is
lost in `vna.testing.power`.
"""

# ruff: noqa: SLF001  the files of this tier are a part of it

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass
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

    @property
    def identity(self) -> str:
        """The identity of the inner tier."""
        return self._inner.identity

    def reserve(self, node: int) -> PackId:
        """Pass on."""
        self._meet("reserve")
        return self._inner.reserve(node)

    def create(self, pack: PackId) -> PackFile:
        """Pass on."""
        self._meet("create")
        return _FaultyFile(self, self._inner.create(pack))

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
        """Pass on."""
        self._meet("claim")
        file = self._inner.claim(pack)
        return file and _FaultyFile(self, file)

    def list(self) -> list[tuple[PackId, int]]:
        """Pass on."""
        self._meet("list")
        return self._inner.list()

    def remove(self, pack: PackId) -> None:
        """Pass on."""
        self._meet("remove")
        self._inner.remove(pack)

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

    def _take(self, size: int) -> None:
        """Let a pack grow by `size` bytes, or by none."""
        if self._space is not None:
            if size > self._space:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._space -= size

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

    def read(self, offset: int, length: int) -> bytes | memoryview:
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
    def __init__(self, tier: FaultyTier, inner: PackFile) -> None:
        super().__init__(tier, inner)
        self._file = inner

    def append(self, buffers: Sequence[Buffer], offset: int) -> None:
        self._tier._meet("write")
        self._tier._take(sum(map(len, buffers)))
        self._file.append(buffers, offset)

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        self._tier._meet("write")
        data = b"".join(buffers)
        growth = max(offset + len(data) - max(self.size(), offset), 0)
        return self._file.write([data[: self._tier._allowed(len(data), growth)]], offset)

    def sync(self) -> None:
        try:
            self._tier._meet("sync")
        finally:  # one that fails may have written all the same
            self._file.sync()

    def begin_write(self) -> None:
        self._file.begin_write()

    def begin_sync(self) -> Callable[[], None]:
        return self.sync

    def truncate(self, size: int) -> None:
        self._tier._meet("truncate")
        self._file.truncate(size)
