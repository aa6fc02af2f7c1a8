"""Reading back and verifying every object: `vna check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from vna.archive.every import deleted_instances, living_instances
from vna.archive.quarantine import Quarantine
from vna.archive.recover import missing_packs
from vna.errors import VnaError
from vna.index import Index, Instance, Tombstone
from vna.storage import AwayPack, BlobStore, DamagedRecord, MissingPack, pack_name, tier_of
from vna.types import BlobPlace, Version

__all__ = ["CheckReport", "Damage", "check"]


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it should be; the UID is empty for damage of a pack."""

    sop_uid: str
    reason: str


@dataclass(slots=True)
class CheckReport:
    """What a check read and found; `dead_bytes` of the packs are not needed, for compaction to free.

    `not_checked` counts blobs that are on tiers that are away, by the tier's name: of those nothing
    is known.
    """

    instances: int = 0
    blobs: int = 0
    bytes_read: int = 0
    dead_bytes: int = 0
    damage: list[Damage] = field(default_factory=list)
    not_checked: Counter[str] = field(default_factory=Counter)


def check(
    store: BlobStore,
    index: Index,
    quarantine: Quarantine,
    names: Mapping[int, str],
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Verify every blob against its digest, every version against its blobs, every pack's records.

    Deleted instances count too: they can be restored; what was purged does not. As instances are
    done `progress(done, total)` is called. Works beside running writers: what is stored after an instance was passed
    is not looked at. Damage is recorded, so that an object that comes again replaces it. `names`
    are those of the tiers, by number.
    """
    report = CheckReport()

    def judged(digest: bytes, place: BlobPlace | None) -> str:
        try:
            reason = quarantine.verdict(digest, place)
        except AwayPack as error:
            number = tier_of(place.pack) if place else 0
            report.not_checked[names.get(number, str(error))] += 1
            return ""
        report.bytes_read += place.size if place else 0
        return reason

    report.damage.extend(Damage("", reason) for reason in _pack_faults(store, index))
    verdicts: dict[bytes, str] = {}
    with index.read() as reader:
        counts, uses = reader.counts(), reader.packs()
    report.dead_bytes = sum(uses[pack.id].dead for pack in store.packs() if pack.id in uses)
    every: Iterator[Instance | Tombstone] = chain(living_instances(index), deleted_instances(index))
    for done, known in enumerate(every, 1):
        with index.read() as reader:
            kept = reader.kept(known)
        for version in kept:
            for reason in _faults(index, judged, version, verdicts):
                report.damage.append(Damage(known.uid, reason))
        report.instances += isinstance(known, Instance)
        if progress is not None:
            progress(done, max(counts.instances + counts.deleted, done))
    report.blobs = len(verdicts) - report.not_checked.total()
    return report


def _pack_faults(store: BlobStore, index: Index) -> Iterator[str]:
    """Walk the packs by the fronts of their records; say what the index has seen and is no more."""
    with index.read() as reader:
        marks = reader.marks()
    for pack in missing_packs(store, index):
        yield f"pack {pack_name(pack)} is missing"
    for pack in [pack.id for pack in store.packs()]:
        name = pack_name(pack)
        walk = store.records(pack)
        try:
            for record in walk:
                if isinstance(record, DamagedRecord):
                    yield f"pack {name}: bytes {record.offset} to {record.end} are damaged"
        except MissingPack:
            continue  # compacted away since
        except VnaError as error:
            yield str(error)
            continue
        if walk.valid_end < marks.get(pack, 0):
            yield f"pack {name} is damaged or cut off from {walk.valid_end} on"


def _faults(
    index: Index,
    judged: Callable[[bytes, BlobPlace | None], str],
    version: Version,
    verdicts: dict[bytes, str],
) -> Iterator[str]:
    table = version.frames.table if version.frames else None
    wanted = [version.header, *(hole.blob for hole in version.holes), *([table] if table else [])]
    with index.read() as reader:
        places = {digest: reader.blob(digest) for digest in wanted}
    for digest, place in places.items():
        if digest not in verdicts:
            verdicts[digest] = judged(digest, place)
        if verdicts[digest]:
            yield verdicts[digest]
    header = places[version.header]
    if header is not None:
        length = header.length - version.prefix + sum(hole.length for hole in version.holes)
        if length != version.length:
            yield f"its parts make {length} bytes, it was received with {version.length}"
