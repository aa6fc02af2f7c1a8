"""A backup: one point in time of the archive in another folder, taken beside running writers.

docs/format/backup.md draws the folder and proves that this order of steps is enough.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vna.archive.manifest import (
    BACKUP_FORMAT,
    Copy,
    Manifest,
    add_progress,
    counts_of,
    read_manifest,
    read_progress,
    write_manifest,
)
from vna.archive.tiers import lower_tiers
from vna.clock import Clock
from vna.errors import Busy, Invalid, NotFound, Unavailable
from vna.folders import make_folder, open_private, sync_folder
from vna.index import Counts, Index, PackUse
from vna.storage import HOT, BlobStore, MissingPack, PackFolder, digest_file, pack_name, tier_of
from vna.types import PackId

__all__ = ["BackupReport", "backup"]


@dataclass(slots=True)
class BackupReport:
    """What a backup holds and did.

    It holds everything acknowledged before `stamp` (ns since 1970), and the feed up to `change`.
    Of its packs, `linked` and `copied` are new; `kept` were there. `damage` names what of the
    archive was found damaged or missing on the way. `bytes_elsewhere` are needed, and on lower
    tiers: they are not in the backup.
    """

    stamp: int = 0
    change: int = 0
    packs: int = 0
    linked: int = 0
    copied: int = 0
    kept: int = 0
    bytes_copied: int = 0
    bytes_elsewhere: int = 0
    damage: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    stamp: int
    change: int
    counts: Counts
    packs: Mapping[PackId, PackUse]
    index: Copy


def backup(
    data: Path,
    packs: Path,
    index: Index,
    clock: Clock,
    *,
    folder: Path,
    lower: BlobStore | None,
    progress: Callable[[int, int], None] | None,
) -> BackupReport:
    """Bring the backup in `folder` to the present; see `Archive.backup`.

    With `lower`, the packs of that store's lower tiers are in it too.
    """
    with _writing(folder), _alone(folder):
        return _Backup(data, packs, index, clock, folder, lower).run(
            progress or (lambda _done, _total: None)
        )


class _Backup:
    """One run."""

    def __init__(  # noqa: PLR0917
        self,
        data: Path,
        packs: Path,
        index: Index,
        clock: Clock,
        folder: Path,
        lower: BlobStore | None,
    ) -> None:
        self._lower = lower
        self._index = index
        self._clock = clock
        self._folder = folder
        self._identity = (data / "archive.toml").read_text(encoding="ascii")
        self._tiers = lower_tiers(data)
        self._archive = index.archive_uuid
        self._source = PackFolder(packs)
        self._target = PackFolder(folder / "packs")
        self._before = self._manifest_before()
        self._known = self._held_before()
        self._report = BackupReport()

    def run(self, progress: Callable[[int, int], None]) -> BackupReport:
        lost: set[PackId] = set()
        while True:
            snapshot = self._snapshot()
            copies, missing = self._take_all(snapshot.packs, progress)
            # A pack that was compacted away is not named by a new snapshot; a lost one is.
            if missing.keys() <= lost:
                break
            lost |= missing.keys()
        self._report.damage += missing.values()
        self._target.sync()
        sync_folder(self._folder)
        manifest = Manifest(
            format=BACKUP_FORMAT,
            stamp=snapshot.stamp,
            change=snapshot.change,
            counts=counts_of(snapshot.counts),
            archive=self._archive,
            identity=self._identity,
            index=snapshot.index,
            packs=copies,
            tiers=self._tiers,
        )
        write_manifest(self._folder, manifest)
        self._remove_what_is_not_named(manifest)
        report = self._report
        report.stamp, report.change, report.packs = snapshot.stamp, snapshot.change, len(copies)
        report.kept = report.packs - report.linked - report.copied
        report.damage = sorted(set(report.damage))
        here = {copy.name for copy in copies}
        report.bytes_elsewhere = sum(
            use.live
            for pack, use in snapshot.packs.items()
            if tier_of(pack) != HOT and self._target.name(pack) not in here
        )
        return report

    def _manifest_before(self) -> Manifest | None:
        try:
            manifest = read_manifest(self._folder)
        except NotFound:
            return None
        if manifest.archive != self._archive:
            raise Invalid(f"{self._folder} holds a backup of archive {manifest.archive}")
        return manifest

    def _held_before(self) -> dict[str, Copy]:
        """Return the packs that are in the folder and can be believed."""
        held = self._before.packs if self._before else []
        sizes = {self._target.name(pack): size for pack, size in self._target.packs().items()}
        return {
            copy.name: copy
            for copy in [*held, *read_progress(self._folder)]
            if sizes.get(copy.name, 0) >= copy.size
        }

    def _snapshot(self) -> _Snapshot:
        folder = self._folder / "index"
        folder.mkdir(exist_ok=True)
        # Those of runs that were interrupted, for want of space, say, would fill the disk.
        named = {self._before.index.name} if self._before else set()
        self._remove_but(named, "index/*.mdb", "index/*.draft")
        stamp = self._clock.stamp()
        path = folder / f"{stamp}.mdb"
        draft = folder / f"{path.name}.draft"
        with self._index.read() as reader, open_private(draft) as file:
            reader.copy(file.fileno())
            change, counts, packs = reader.last_change(), reader.counts(), reader.packs()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(folder)
        size, digest = digest_file(path)
        return _Snapshot(stamp, change, counts, packs, Copy(path.name, size, digest.hex()))

    def _take_all(
        self, packs: Mapping[PackId, PackUse], progress: Callable[[int, int], None]
    ) -> tuple[list[Copy], dict[PackId, str]]:
        """Take every pack of a snapshot; return the copies, and why packs are not there."""
        packs = {
            pack: use
            for pack, use in packs.items()
            if tier_of(pack) == HOT or (self._lower is not None and not use.dropped)
        }
        there = self._source.packs()
        below = self._packs_below({tier_of(pack) for pack in packs} - {HOT})
        copies: list[Copy] = []
        missing: dict[PackId, str] = {}
        for done, (pack, use) in enumerate(sorted(packs.items())):
            progress(done, len(packs))
            if tier_of(pack) == HOT and pack not in there and use.emptied:
                continue
            try:
                if tier_of(pack) == HOT:
                    copy = self._take(pack, max(use.mark, use.end))
                else:
                    copy = self._fetch(pack, below.get(tier_of(pack)))
            except MissingPack as error:
                missing[pack] = str(error)
                copy = self._known.get(self._target.name(pack))
            copies += [copy] if copy is not None else []
        progress(len(packs), len(packs))
        return copies, missing

    def _take(self, pack: PackId, needed: int) -> Copy | None:
        """Return the copy of a pack, at least `needed` bytes of it.

        If the pack cannot be read now, that is what an earlier run made, or None. Raises MissingPack.
        """
        name = self._target.name(pack)
        held = self._known.get(name)
        try:
            size = self._source.end(pack, needed)
            if self._stands(held, pack, size, self._source):
                return held
            taken = self._target.take(pack, self._source, size)
            self._report.damage += self._target.damage(pack, size)
        except MissingPack:
            raise
        except Unavailable as error:
            self._report.damage.append(str(error))
            return held
        self._report.linked += taken.linked
        self._report.copied += not taken.linked
        self._report.bytes_copied += 0 if taken.linked else size
        copy = self._known[name] = Copy(name, size, taken.digest.hex())
        add_progress(self._folder, copy)
        return copy

    def _stands(
        self, held: Copy | None, pack: PackId, size: int, source: PackFolder | BlobStore
    ) -> bool:
        """Say whether what is held of a pack is so much of the one that is there now."""
        if held is None or held.size != size:
            return False
        return self._target.front(pack) == source.front(pack)

    def _packs_below(self, numbers: Iterable[int]) -> dict[int, dict[PackId, int]]:
        """Return the packs of lower tiers with their sizes; a tier that is away is left out."""
        found = {}
        for number in numbers if self._lower is not None else ():
            assert self._lower is not None, "said above"
            try:
                found[number] = {pack.id: pack.size for pack in self._lower.lower_packs(number)}
            except Unavailable as error:
                self._report.damage.append(str(error))
        return found

    def _fetch(self, pack: PackId, there: Mapping[PackId, int] | None) -> Copy | None:
        """Return the copy of a pack of a lower tier, on which `there` is.

        If that is away (None), it is what an earlier run made, or None. Raises MissingPack.
        """
        assert self._lower is not None, "else none are taken"
        name = self._target.name(pack)
        held = self._known.get(name)
        if there is not None and pack not in there:
            raise MissingPack(f"pack {pack_name(pack)} is missing")
        if there is None:
            return held
        try:
            if self._stands(held, pack, there[pack], self._lower):
                return held  # such a pack never changes
            size, digest = self._target.fetch(pack, self._lower.whole(pack))
            self._report.damage += self._target.damage(pack, size)
        except MissingPack:
            raise
        except Unavailable as error:
            self._report.damage.append(str(error))
            return held
        self._report.copied += 1
        self._report.bytes_copied += size
        copy = self._known[name] = Copy(name, size, digest.hex())
        add_progress(self._folder, copy)
        return copy

    def _remove_what_is_not_named(self, manifest: Manifest) -> None:
        (self._folder / "progress").unlink(missing_ok=True)
        named = {copy.name for copy in [manifest.index, *manifest.packs]}
        self._remove_but(named, "index/*.mdb", "index/*.draft", "packs/*.pack", "packs/*.draft")

    def _remove_but(self, named: AbstractSet[str], *patterns: str) -> None:
        for pattern in patterns:
            for path in self._folder.glob(pattern):
                if path.name not in named:
                    path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Own the backup folder, made when missing. Busy while another backup does."""
    make_folder(folder)
    path = folder / "lock"
    if not path.exists() and any(each.name != "lost+found" for each in folder.iterdir()):
        raise Invalid(f"{folder} is not empty, and holds no backup")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another backup into {folder} is running") from error
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the backup folder {folder} cannot be used: {error}") from error
