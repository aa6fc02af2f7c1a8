"""What a series is made of, in the order in which it is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vna.dicom.attributes import INSTANCE_NUMBER
from vna.dicom.geometry import geometry_of
from vna.index import Index, Instance, Reader, Series, Study, Tombstone
from vna.types import Attributes, Geometry, StoreCommit, Version

__all__ = ["Bulk", "Contents", "contents_of", "series_of", "viewing_order"]


@dataclass(frozen=True, slots=True)
class Bulk:
    """A blob that may move: a bulk value, or a frame table; and the header of a version with it.

    `geometry` is how its samples lie, where it is pixels that are not encapsulated.
    """

    digest: bytes
    header: bytes
    geometry: Geometry | None


@dataclass(frozen=True, slots=True)
class Contents:
    """A series: how many instances it has, its bulk, and a record of each as the index has it."""

    instances: int
    bulk: Sequence[Bulk]
    stores: dict[bytes, StoreCommit]
    """By the digest of their header. Stamps, policies and attributes are those that hold now."""


def series_of(
    index: Index, study_uid: str | None = None, series_uid: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield study and series UIDs of a series, of a study's, or of all, the oldest studies first."""
    after = 0
    while True:
        with index.read() as reader:
            study = reader.study(study_uid) if study_uid else next(reader.studies(after), None)
            found = list(reader.series_of(study.id)) if study else []
        if study is None:
            return
        yield from ((study.uid, each.uid) for each in found if series_uid in (None, each.uid))
        if study_uid:
            return
        after = study.id


def viewing_order(instance: Instance) -> tuple[int, int]:
    """Return what instances of a series are sorted by: Instance Number, then arrival."""
    number = next(iter(instance.attributes.get(INSTANCE_NUMBER, ())), 0)
    try:
        return int(number), instance.id
    except ValueError:
        return 0, instance.id


def contents_of(reader: Reader, study_uid: str, series_uid: str) -> Contents:
    """Return what a series is made of, versions before and deleted instances last.

    Of what was purged nothing. An unknown series has nothing.
    """
    study = reader.study(study_uid)
    series = reader.series(series_uid, study.id) if study else None
    bulk: dict[bytes, Bulk] = {}
    stores: dict[bytes, StoreCommit] = {}
    instances: list[Instance] = []
    if study is not None and series is not None:
        instances = sorted(reader.instances_of(study.id, series.id), key=viewing_order)
        for instance in instances:
            _add(bulk, instance.version, instance.attributes)
            stores[instance.version.header] = _store(reader, study, series, instance)
    every: list[Instance | Tombstone] = [*instances, *reader.tombstones_of(study_uid, series_uid)]
    for known in every:
        for version in reader.kept(known):
            _add(bulk, version, known.attributes)
    return Contents(len(instances), list(bulk.values()), stores)


def _add(bulk: dict[bytes, Bulk], version: Version, attributes: Attributes) -> None:
    frames = version.frames
    for number, hole in enumerate(version.holes):
        pixels = frames is not None and number == frames.hole
        geometry = geometry_of(attributes, version) if pixels else None
        bulk.setdefault(hole.blob, Bulk(hole.blob, version.header, geometry))
    if frames is not None and frames.table is not None:
        bulk.setdefault(frames.table, Bulk(frames.table, version.header, None))


def _store(reader: Reader, study: Study, series: Series, instance: Instance) -> StoreCommit:
    patient = reader.patient_above(study)
    return StoreCommit(
        stamp=instance.version.stamp,
        policy="replace",
        patient_key=study.patient_key,
        study_uid=study.uid,
        series_uid=series.uid,
        sop_uid=instance.uid,
        sop_class=instance.sop_class,
        patient=patient.attributes,
        study=study.attributes,
        series=series.attributes,
        instance=instance.attributes,
        version=instance.version,
    )
