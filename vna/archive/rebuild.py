"""The index made again from packs alone, beside the old one, which it then replaces.

    1  the archive is held alone: no daemon, no import, nobody else
    2  `index.new` is filled by recovery, which takes an empty index through all packs
    3  it is made durable; the old `data.mdb` gets a second name in `index.old`; a rename puts the
       new one in its place: at every moment one of both is there, whole
    4  the old index is brought up to date too, and compared with the new one

Killed anywhere, it goes on from the marks of `index.new` when it is run again. While that is
filled nothing is synced, so that after a restart of the machine it is begun anew: the file `boot`
in it says in which run of the machine it was begun.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from vna.archive.hold import Hold
from vna.archive.identity import Identity, load_identity
from vna.archive.recover import Progress, Recovered, missing_packs, recover
from vna.archive.settings import ArchiveSettings
from vna.clock import SystemClock
from vna.dicom.keys import keys_of
from vna.errors import Full, Unavailable, VnaError
from vna.folders import sync_folder
from vna.index import Counts, Difference, Index, IndexSettings, differences
from vna.storage import BlobStore

__all__ = ["Rebuilt", "rebuild_index"]

log = logging.getLogger(__name__)

SHOWN = 100
"""Differences that are named; all are counted."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Rebuilt:
    """What was rebuilt, and how it compares with the index before.

    `recovered` tells of this run alone when an earlier one was killed. `uncompared` is empty, or
    why the old index was not compared; `different` counts, and `differences` names the first,
    where the new index is not as the old one.
    """

    recovered: Recovered
    counts: Counts
    uncompared: str = ""
    different: int = 0
    differences: list[Difference] = field(default_factory=list)


def rebuild_index(settings: ArchiveSettings, progress: Progress | None = None) -> Rebuilt:
    """Replace the index by one made from the packs alone; the old one stays in `index.old`.

    `progress` follows the bytes of packs. Raises Unavailable when anybody uses the archive.
    """
    identity = load_identity(settings.data, SystemClock())
    with Hold.alone(settings.data):
        store = BlobStore(settings.storage(identity))
        try:
            return _rebuild(store, _Folders.of(settings, identity), progress)
        except OSError as error:
            raise Unavailable(f"the index cannot be replaced: {error}") from error
        finally:
            store.close()


@dataclass(frozen=True, slots=True)
class _Folders:
    """Settings of the index in use, of the one that is built, and of the one before."""

    used: IndexSettings
    new: IndexSettings
    old: IndexSettings

    @classmethod
    def of(cls, settings: ArchiveSettings, identity: Identity) -> _Folders:
        used = settings.index(identity)
        path = used.path.resolve()  # a link to another disk is replaced over there
        new = replace(used, path=path.with_name(f"{path.name}.new"), sync=False)
        old = replace(used, path=path.with_name(f"{path.name}.old"), sync=False)
        return cls(replace(used, path=path), new, old)


def _rebuild(store: BlobStore, folders: _Folders, progress: Progress | None) -> Rebuilt:
    _begin(folders.new.path)
    index = Index.open(folders.new, keys_of)
    try:
        if missing_packs(store, index):  # what was begun is of before a compaction
            index.close()
            shutil.rmtree(folders.new.path)
            _begin(folders.new.path)
            index = Index.open(folders.new, keys_of)
        recovered = recover(store, index, progress)
        if recovered.busy:
            raise Unavailable("a pack is being written: the archive is in use")
        index.sync()
        with index.read() as reader:
            rebuilt = Rebuilt(recovered, reader.counts())
    finally:
        index.close()
    had_one = _swap(folders)
    log.info("the index is rebuilt from %d packs", len(store.packs()))
    if had_one:
        _compare(store, folders, rebuilt)
    else:
        rebuilt.uncompared = "there was none"
    return rebuilt


def _begin(folder: Path) -> None:
    """Have a folder to build in: what an earlier run left there, if that can be trusted."""
    boot = _BOOT.read_text(encoding="ascii") if _BOOT.exists() else ""
    mark = folder / "boot"
    if boot and mark.exists() and mark.read_text(encoding="ascii") == boot:
        log.info("going on with the rebuild that was begun in %s", folder)
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    mark.write_text(boot, encoding="ascii")


def _swap(folders: _Folders) -> bool:
    """Put the new index in the place of the one in use; return whether there was one."""
    used, new, old = folders.used.path, folders.new.path, folders.old.path
    shutil.rmtree(old, ignore_errors=True)
    old.mkdir()
    used.mkdir(exist_ok=True)
    had_one = (used / "data.mdb").exists()
    if had_one:
        os.link(used / "data.mdb", old / "data.mdb")
        sync_folder(old)
    (new / "data.mdb").replace(used / "data.mdb")
    for folder in (used, used.parent):
        sync_folder(folder)
    shutil.rmtree(new)
    return had_one


def _compare(store: BlobStore, folders: _Folders, rebuilt: Rebuilt) -> None:
    """Note where the index in use is not as the old one; that one may be in any state."""
    try:
        old = Index.open(folders.old, keys_of)
    except VnaError as error:
        rebuilt.uncompared = str(error)
        return
    try:
        recover(store, old)  # it may be behind the packs
        _note_differences(old, folders.used, rebuilt)
    except Full:
        raise
    except VnaError as error:
        rebuilt.uncompared = str(error)
    finally:
        old.close()


def _note_differences(old: Index, used: IndexSettings, rebuilt: Rebuilt) -> None:
    new = Index.open(used, keys_of)
    try:
        found = differences(old.dump(), new.dump())
        rebuilt.differences = list(islice(found, SHOWN))
        rebuilt.different = len(rebuilt.differences) + sum(1 for _ in found)
    finally:
        new.close()
