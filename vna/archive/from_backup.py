"""A data folder from a backup, verified as it is made (docs/format/backup.md, Restoring)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from vna.archive.manifest import Copy, Manifest, read_manifest
from vna.archive.tiers import TIERS_FILE, tier_numbers, tiers_moved
from vna.clock import SystemClock
from vna.errors import Conflict, Unavailable
from vna.folders import make_folder, sync_folder, write_durably
from vna.index import leap_when_opened
from vna.storage import HOT, PackFolder, copy_file, tier_of

__all__ = ["RestoredBackup", "restore_backup"]

TIERS = "tiers"


@dataclass(slots=True)
class RestoredBackup:
    """What was restored: the backup's point in time, and what of it did not match its digest.

    `tiers` says of lower tiers that were restored too in which folders, relative to the data folder,
    they are: each is a directory now.
    """

    stamp: int
    change: int
    counts: dict[str, int]
    packs: int = 0
    damage: list[str] = field(default_factory=list)
    tiers: dict[str, str] = field(default_factory=dict)


def restore_backup(
    folder: Path,
    data: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    include_tiers: bool = False,
) -> RestoredBackup:
    """Make the data folder `data` from the backup in `folder`; `progress(done, total)` counts packs.

    With `include_tiers` the packs of lower tiers that the backup has are restored too, to folders
    that take the place of their tiers; without it they are read from there. What is damaged in the backup is named, and the rest restored. The archive is to be opened and
    recovered next. Raises NotFound without a backup, Corrupt for a damaged manifest, Conflict if
    `data` holds something, Full or Unavailable if it cannot be written.
    """
    manifest = read_manifest(folder)
    try:
        _begin(data)
        report = RestoredBackup(manifest.stamp, manifest.change, manifest.counts)
        source = PackFolder(folder / "packs")
        lower = {tier_of(pack) for pack in source.packs()} - {HOT} if include_tiers else set()
        targets = _targets(data, manifest, report, lower)
        _packs(source, targets, manifest, report, progress or (lambda _done, _total: None))
        _index(folder / "index", data / "index", manifest.index, report)
        sync_folder(data)
        if manifest.tiers:
            identities = {number: each.identity for number, each in targets.items() if number}
            write_durably(data / TIERS_FILE, tiers_moved(manifest.tiers, identities).encode())
        write_durably(data / "archive.toml", manifest.identity.encode("ascii"))
        (data / "restoring").unlink()
    except OSError as error:
        raise Unavailable(f"the data folder {data} cannot be made: {error}") from error
    return report


def _begin(data: Path) -> None:
    """Take an empty folder, or one that an interrupted restore left."""
    make_folder(data)
    mark = data / "restoring"
    # The mark's draft is all that a restore leaves which ended before the mark was there.
    nothing = {"lost+found", f"{mark.name}.draft"}
    if not mark.exists() and any(each.name not in nothing for each in data.iterdir()):
        raise Conflict(f"{data} is not empty: a backup is restored to a new folder")
    write_durably(mark, b"")


def _targets(
    data: Path, manifest: Manifest, report: RestoredBackup, lower: AbstractSet[int]
) -> dict[int, PackFolder]:
    """Return where the packs go, by the number of their tier: the hot one, and `lower` ones."""
    targets = {HOT: PackFolder(data / "packs")}
    names = tier_numbers(manifest.tiers)
    for number in sorted(lower & names.keys()):
        name = names[number]
        report.tiers[name] = f"{TIERS}/{name}"
        make_folder(data / TIERS)
        targets[number] = PackFolder(data / report.tiers[name])
    return targets


def _packs(
    source: PackFolder,
    targets: Mapping[int, PackFolder],
    manifest: Manifest,
    report: RestoredBackup,
    progress: Callable[[int, int], None],
) -> None:
    held = {source.name(pack): (pack, size) for pack, size in source.packs().items()}
    for done, copy in enumerate(manifest.packs):
        progress(done, len(manifest.packs))
        if copy.name not in held:
            report.damage.append(f"{copy.name} is missing")
            continue
        pack, size = held[copy.name]
        target = targets.get(tier_of(pack))
        if target is None:
            continue
        try:
            taken = target.take(pack, source, min(copy.size, size))
        except Unavailable as error:
            report.damage.append(str(error))
            continue
        report.packs += 1
        if size < copy.size:
            report.damage.append(f"{copy.name} ends at {size}, before {copy.size}")
        elif taken.digest.hex() != copy.digest:
            report.damage.append(f"{copy.name} is not as it was when it was backed up")
            report.damage += target.damage(pack, copy.size)
    for each in targets.values():
        each.sync()
    progress(len(manifest.packs), len(manifest.packs))


def _index(source: Path, target: Path, copy: Copy, report: RestoredBackup) -> None:
    """Copy the index; one that does not match is left out, and made again from the packs."""
    target.mkdir(exist_ok=True)
    file = target / "data.mdb"
    file.unlink(missing_ok=True)
    try:
        done, digest = copy_file(source / copy.name, file, copy.size)
        intact = (done, digest.hex()) == (copy.size, copy.digest)
    except Unavailable:
        intact = False
    if intact:
        leap_when_opened(file, max(SystemClock().stamp(), report.stamp))
    else:
        file.unlink(missing_ok=True)
        report.damage.append(
            f"index {copy.name} is not as it was when it was backed up: made again from the packs"
        )
    sync_folder(target)
