"""Copies of packs in another folder: linked or copied, durable, hashed, checked."""

from __future__ import annotations

import errno
import os
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vna._native import Blake3
from vna.errors import Corrupt, Unavailable
from vna.folders import open_private, sync_folder
from vna.storage.faults import reading, write_error
from vna.storage.format import PACK_HEADER, RECORD_HEADER, pack_name
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.walk import DamagedRecord, RecordWalk, ends_in_seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vna._native import Buffer
    from vna.storage.tier import PackReader
    from vna.types import PackId

_PIECE: Final = 1 << 20
_CANNOT_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP})


@dataclass(frozen=True, slots=True)
class CopiedPack:
    """A pack's copy: the BLAKE3 of what was asked for, and whether it is a link."""

    digest: bytes
    linked: bool


def copy_file(source: Path, target: Path, size: int | None = None) -> tuple[int, bytes]:
    """Copy the first `size` bytes of a file, or all; return how many those are and their BLAKE3.

    `target` is complete or as it was; its bytes are durable, and its name once the folder is
    synced. Unavailable or Full.
    """

    def pieces() -> Iterator[bytes]:
        done = 0
        with source.open("rb", buffering=0) as read:
            while piece := read.read(_PIECE if size is None else min(_PIECE, size - done)):
                yield piece
                done += len(piece)

    return _write(target, pieces())


def digest_file(path: Path) -> tuple[int, bytes]:
    """Return length and BLAKE3 of a file. Unavailable."""
    hasher = Blake3()
    done = 0
    with _writing(path), path.open("rb", buffering=0) as read:
        while piece := read.read(_PIECE):
            hasher.update(piece)
            done += len(piece)
    return done, hasher.digest()


class PackFolder:
    """The packs of a local folder, as files. Raises Unavailable, Full."""

    def __init__(self, path: Path) -> None:
        with _writing(path):
            self._tier = DirectoryTier(path)
        self._path = path

    @property
    def identity(self) -> str:
        """The identity of this folder as a tier."""
        return self._tier.identity

    def name(self, pack: PackId) -> str:
        """Return the name of a pack's file."""
        return self._tier.file(pack).name

    def packs(self) -> dict[PackId, int]:
        """Return the packs that are here, with their sizes in bytes."""
        with _writing(self._path):
            return dict(self._tier.list())

    def end(self, pack: PackId, needed: int) -> int:
        """Return `needed`, the end of a record; or the end of the pack if only a seal is behind it."""
        with reading(pack), closing(self._tier.open(pack)) as source:
            size = source.size()
            only_seal = size == needed + RECORD_HEADER.size and ends_in_seal(source, pack)
        return size if only_seal else needed

    def front(self, pack: PackId) -> bytes:
        """Return the header of a pack: it differs if another one of that name was made later."""
        with reading(pack), closing(self._tier.open(pack)) as file:
            return bytes(file.read(0, PACK_HEADER.size))

    def take(self, pack: PackId, source: PackFolder, size: int) -> CopiedPack:
        """Hold the first `size` bytes of a pack of `source`, durable once `sync` returns.

        A complete pack of exactly that size becomes a link where it can. Unavailable if the pack
        is missing, shorter, or cannot be read.
        """
        target, origin = self._tier.file(pack), source._tier.file(pack)
        with reading(pack), closing(source._tier.open(pack)) as file:
            if file.size() < size:
                raise Unavailable(f"pack {pack_name(pack)} ends at {file.size()}, before {size}")
            complete = file.size() == size and ends_in_seal(file, pack)
        if complete and _link(origin, target):
            return CopiedPack(digest_file(target)[1], linked=True)
        _, digest = copy_file(origin, target, size)
        return CopiedPack(digest, linked=False)

    def fetch(self, pack: PackId, pieces: Iterable[Buffer]) -> tuple[int, bytes]:
        """Hold a whole pack as it comes; return its size and BLAKE3. As `take` otherwise."""
        return _write(self._tier.file(pack), pieces)

    def damage(self, pack: PackId, size: int) -> list[str]:
        """Walk the first `size` bytes with every checksum; return what is wrong with them."""
        found = []
        with reading(pack), closing(self._tier.open(pack)) as file:
            walk = RecordWalk(nullcontext(_Front(file, size)), pack, check=True)
            try:
                found = [
                    f"pack {pack_name(pack)}: bytes {each.offset} to {each.end} are damaged"
                    for each in walk
                    if isinstance(each, DamagedRecord)
                ]
            except Corrupt as error:
                found.append(str(error))
        if walk.finished and walk.valid_end < size:
            found.append(f"pack {pack_name(pack)}: bytes {walk.valid_end} to {size} are damaged")
        return found

    def remove(self, pack: PackId) -> None:
        """Remove a pack's file."""
        with _writing(self._tier.file(pack)):
            self._tier.remove(pack)

    def sync(self) -> None:
        """Make the names of all packs durable."""
        with _writing(self._path):
            sync_folder(self._path)


class _Front:
    """The first `size` bytes of a pack."""

    def __init__(self, inner: PackReader, size: int) -> None:
        self._inner = inner
        self._size = size

    def size(self) -> int:
        return min(self._inner.size(), self._size)

    def read(self, offset: int, length: int) -> bytes | memoryview:
        return self._inner.read(offset, max(min(length, self._size - offset), 0))

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        return self._inner.stream(offset, max(min(length, self._size - offset), 0))

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        return self._inner.read_present(offset, length) if offset + length <= self._size else None

    def close(self) -> None:
        self._inner.close()


def _write(target: Path, pieces: Iterable[Buffer]) -> tuple[int, bytes]:
    """Make a file of pieces; return length and BLAKE3. It is complete or as it was, and durable."""
    hasher = Blake3()
    done = 0
    draft = _draft(target)
    with _writing(target), open_private(draft) as write:
        for piece in pieces:
            hasher.update(piece)
            write.write(piece)
            done += len(piece)
        write.flush()
        os.fsync(write.fileno())
        draft.replace(target)
    return done, hasher.digest()


def _link(origin: Path, target: Path) -> bool:
    """Make `target` another name of a file; say if that could be done."""
    draft = _draft(target)
    with _writing(target):
        draft.unlink(missing_ok=True)
        try:
            os.link(origin, draft)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                return False
            raise
        draft.replace(target)
        draft.unlink(missing_ok=True)  # rename(2) does nothing to two names of one file
    return True


def _draft(target: Path) -> Path:
    return target.with_name(f"{target.name}.draft")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(error, f"{path} cannot be copied") from error
