"""What storage asks of a place that keeps packs. Implementations raise OSError and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vna._native import Buffer
    from vna.types import PackId


class PackReader(Protocol):
    """A pack open for reading; `read` is thread-safe."""

    def size(self) -> int:
        """Return the pack's present size in bytes."""

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from `offset` on; fewer only where the pack ends."""

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        """Yield those bytes in pieces; on a far tier, from one request."""

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        """Return `length` bytes if they are in memory; None where that is not sure. Never waits."""

    def close(self) -> None:
        """Let the pack go."""


class PackFile(PackReader, Protocol):
    """A pack open for writing, exclusively: nobody else can claim it until it is closed."""

    def append(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Take the buffers for `offset`, the pack's end; the next sync writes them.

        They stay as they are until it has ended. An error for want of space leaves the pack as it
        was. Behind what was appended up to a block of zeros may follow, until `truncate`.
        """

    def write(self, buffers: Sequence[Buffer], offset: int) -> int:
        """Write the buffers one after the other at `offset`; return how many bytes were taken."""

    def sync(self) -> None:
        """Return when everything appended and written, and the pack's name, is durable."""

    def begin_write(self) -> None:
        """Begin to write what was appended; `append` may follow. The next sync tells of errors."""

    def begin_sync(self) -> Callable[[], None]:
        """Begin what `sync` does; what is returned must be called before anything but `append`."""

    def truncate(self, size: int) -> None:
        """Cut the pack down to `size` bytes; what was appended since the last sync is dropped."""


class Tier(Protocol):
    """A place that keeps whole packs. Thread-safe, and safe beside other processes on the same place.

    TimeoutError and ConnectionError mean that it is away for now, PermissionError that it refuses
    us, FileNotFoundError and FileExistsError what they say.
    """

    @property
    def identity(self) -> str:
        """The UUID that this place was given when it was first used, and keeps."""

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Keep a whole pack; return its size once it is durable. It is there whole or not at all.

        FileExistsError if there is one of that name. What `pieces` raises is passed on.
        """

    def open(self, pack: PackId) -> PackReader:
        """Open a pack for reading. FileNotFoundError if there is none of that name."""

    def list(self) -> list[tuple[PackId, int]]:
        """Return ids and sizes of all packs, ascending by id."""

    def remove(self, pack: PackId) -> None:
        """Remove a pack; durable on return. A missing one is fine.

        Those who have it open on a hot tier can read on.
        """


class HotTier(Tier, Protocol):
    """A tier whose packs also grow record by record, each under one owner."""

    def reserve(self, node: int) -> PackId:
        """Return a pack id of `node` that no process was ever given before."""

    def create(self, pack: PackId) -> PackFile:
        """Make an empty pack and own it. FileExistsError if there is one of that name."""

    def has(self, pack: PackId) -> bool:
        """Say whether there is a pack of that name."""

    def claim(self, pack: PackId) -> PackFile | None:
        """Own a pack that no live process owns; None if one does, or if the pack is gone."""


def write_all(file: PackFile, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all of `buffers` at `offset`, going on after short writes; return the end offset."""
    rest = [buffer for buffer in buffers if buffer]
    end = offset + sum(map(len, rest))
    while offset < end:
        taken = file.write(rest, offset)
        if taken <= 0:
            raise OSError(5, "a write took nothing")
        offset += taken
        if offset < end:
            rest = _after(rest, taken)
    return offset


def _after(buffers: Sequence[Buffer], taken: int) -> list[Buffer]:
    """Return what is left of `buffers` without their first `taken` bytes."""
    done = 0
    while taken >= len(buffers[done]):
        taken -= len(buffers[done])
        done += 1
    return [memoryview(buffers[done])[taken:], *buffers[done + 1 :]]
