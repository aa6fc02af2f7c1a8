"""A folder that loses power: of files that this process makes in any way, what syncs made durable.

Where `vna.testing.power` journals each write of packs and index, this looks at a folder as it is
when something of it is synced: right before and right after that power may fail. Durable is the
content that a file had at its last sync, and the names that a folder had at its own; beyond that
chance decides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

__all__ = ["SyncedFolder"]


class SyncedFolder:
    """What of the files below `root` is durable; at the beginning all of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        names, contents = self._present()
        self._names: dict[str, int] = names
        self._contents: dict[int, bytes] = contents

    @contextmanager
    def watched(self, moment: Callable[[], None]) -> Iterator[None]:
        """Follow the syncs of this process; call `moment` right before and right after each."""
        real = {name: getattr(os, name) for name in ("fsync", "fdatasync")}

        def follow(name: str) -> Callable[[int], None]:
            def sync(descriptor: int) -> None:
                path = Path(f"/proc/self/fd/{descriptor}").readlink()
                if not path.is_relative_to(self.root):
                    real[name](descriptor)
                    return
                moment()
                real[name](descriptor)
                self.settle(path)
                moment()

            return sync

        for name in real:
            setattr(os, name, follow(name))
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)

    def fall(self, folder: Path, chance: Random) -> dict[str, bytes]:
        """Return what the files below `folder` may hold after power is lost now, by path."""
        names, contents = self._present()
        mood = chance.choice([0.0, 0.5, 1.0])  # sometimes all is written by chance, or nothing
        fallen = {}
        for name in sorted(self._names.keys() | names.keys()):
            later = chance.random() < mood
            file = (names if later else self._names).get(name)
            path = self.root / name
            if file is None or not path.is_relative_to(folder):
                continue
            before, now = self._contents.get(file, b""), contents.get(file)
            if now is None or chance.random() >= mood:
                content = before
            else:
                content = _torn(before, now, chance)
            fallen[str(path.relative_to(folder))] = content
        return fallen

    def settle(self, path: Path) -> None:
        """Take for durable what a file holds, or which names a folder has."""
        names, contents = self._present()
        if not path.is_dir():
            inode = path.stat().st_ino
            self._contents[inode] = contents[inode]
            return
        inside = str(path.relative_to(self.root))
        for name in self._names.keys() | names.keys():
            if str(Path(name).parent) == inside:
                if name in names:
                    self._names[name] = names[name]
                else:
                    del self._names[name]

    def _present(self) -> tuple[dict[str, int], dict[int, bytes]]:
        """Return the files that are there: inode by name, content by inode."""
        names: dict[str, int] = {}
        contents: dict[int, bytes] = {}
        for path in self.root.rglob("*"):
            if path.is_file():
                inode = path.stat().st_ino
                names[str(path.relative_to(self.root))] = inode
                contents[inode] = path.read_bytes()
        return names, contents


def _torn(before: bytes, now: bytes, chance: Random) -> bytes:
    """Return a content between two: on each side of some byte the one or the other, 0 for none."""
    size = chance.choice([len(now), chance.randint(*sorted((len(before), len(now))))])
    at = chance.randrange(size + 1)
    versions = [content[:size].ljust(size, b"\0") for content in (before, now)]
    return chance.choice(versions)[:at] + chance.choice(versions)[at:]
