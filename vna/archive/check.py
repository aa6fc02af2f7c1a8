"""Reading back and verifying every object: `vna check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vna.archive.quarantine import Quarantine
from vna.index import Index, Instance
from vna.types import Version

__all__ = ["CheckReport", "Damage", "check"]


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it should be; the UID is empty for a blob that nothing names."""

    sop_uid: str
    reason: str


@dataclass(slots=True)
class CheckReport:
    """What a check read and found."""

    instances: int = 0
    blobs: int = 0
    bytes_read: int = 0
    damage: list[Damage] = field(default_factory=list)


def check(
    index: Index, quarantine: Quarantine, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Verify every blob against its digest and every version against its blobs.

    `progress(done, total)` is called as instances are done. Works beside running writers: what
    is stored after an instance was passed is not looked at. Damage is recorded, so that an object
    that comes again replaces it.
    """
    report = CheckReport()
    verdicts: dict[bytes, str] = {}
    with index.read() as reader:
        total = reader.counts().instances
    for done, instance in enumerate(_instances(index), 1):
        for version in [instance.version, *instance.older]:
            for reason in _faults(index, quarantine, version, verdicts, report):
                report.damage.append(Damage(instance.uid, reason))
        report.instances = done
        if progress is not None:
            progress(done, max(total, done))
    report.blobs = len(verdicts)
    return report


def _instances(index: Index) -> Iterator[Instance]:
    """Yield all instances, study by study, each study from one snapshot of the index."""
    after = 0
    while True:
        with index.read() as reader:
            study = next(reader.studies(after), None)
            found = list(reader.instances_of(study.id)) if study is not None else []
        if study is None:
            return
        yield from found
        after = study.id


def _faults(
    index: Index,
    quarantine: Quarantine,
    version: Version,
    verdicts: dict[bytes, str],
    report: CheckReport,
) -> Iterator[str]:
    table = version.frames.table if version.frames else None
    wanted = [version.header, *(hole.blob for hole in version.holes), *([table] if table else [])]
    with index.read() as reader:
        places = {digest: reader.blob(digest) for digest in wanted}
    for digest, place in places.items():
        if digest not in verdicts:
            verdicts[digest] = quarantine.verdict(digest, place)
            report.bytes_read += place.size if place else 0
        if verdicts[digest]:
            yield verdicts[digest]
    header = places[version.header]
    if header is not None:
        length = header.length - version.prefix + sum(hole.length for hole in version.holes)
        if length != version.length:
            yield f"its parts make {length} bytes, it was received with {version.length}"
