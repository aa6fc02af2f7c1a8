"""What became of instances: their versions, and whether they are alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from vna.errors import NotFound
from vna.index import Index, Instance, Purge, Reader, Tombstone
from vna.types import Level, Version

__all__ = ["History", "Known", "deleted_by", "histories", "known_instance", "level_of"]

Known: TypeAlias = Instance | Tombstone


@dataclass(frozen=True, slots=True)
class History:
    """The versions of an instance, the current or last one first.

    A version is named by its stamp. `deleted` is empty, or says by which level's delete the
    instance is gone ("study", "series", "instance"); `reason` is that delete's. Of a version that was
    purged nothing is left but this record: `purges` says when and why, or None, for each.
    """

    study_uid: str
    series_uid: str
    sop_uid: str
    deleted: str
    reason: str
    versions: list[Version]
    purges: list[Purge | None]


def level_of(reader: Reader, uid: str) -> Level:
    """Return what `uid` names, alive or deleted. Raises NotFound."""
    if known_instance(reader, uid) is not None:
        return Level.INSTANCE
    if reader.studies_of_series(uid):
        return Level.SERIES
    if reader.study(uid) is not None or reader.deleted_study(uid):
        return Level.STUDY
    raise NotFound(f"no study, series or instance {uid} is in the archive, and none was deleted")


def known_instance(reader: Reader, sop_uid: str) -> Known | None:
    """Return an instance, alive or deleted."""
    return reader.instance(sop_uid) or reader.tombstone(sop_uid)


def deleted_by(reader: Reader, tombstone: Tombstone) -> Level:
    """Return the lowest level at which a delete keeps the instance dead."""
    for level, uid in (
        (Level.INSTANCE, tombstone.uid),
        (Level.SERIES, tombstone.series_uid),
    ):
        barrier = reader.barrier(level, uid)
        if barrier is not None and barrier.stamp >= tombstone.stamps[0]:
            return level
    return Level.STUDY


def histories(index: Index, uid: str) -> Iterator[History]:
    """Yield the history of an instance, or of all in a series or study: the living ones first.

    Each series is read from one snapshot of the index. Raises NotFound.
    """
    with index.read() as reader:
        level = level_of(reader, uid)
        if level is Level.INSTANCE:
            known = known_instance(reader, uid)
            assert known is not None, "it was found a moment ago in the same snapshot"
            yield _history(reader, known)
            return
        studies = [uid] if level is Level.STUDY else reader.studies_of_series(uid)
    for study_uid in studies:
        for series_uid in [uid] if level is Level.SERIES else _series_of(index, study_uid):
            with index.read() as reader:
                found = [_history(reader, known) for known in _known(reader, study_uid, series_uid)]
            yield from found


def _series_of(index: Index, study_uid: str) -> list[str]:
    """Return the series of a study that are alive or have deleted instances."""
    with index.read() as reader:
        study = reader.study(study_uid)
        alive = [series.uid for series in reader.series_of(study.id)] if study else []
        dead = {tombstone.series_uid for tombstone in reader.tombstones_of(study_uid)}
    return [*alive, *sorted(dead.difference(alive))]


def _known(reader: Reader, study_uid: str, series_uid: str) -> Iterator[Known]:
    study = reader.study(study_uid)
    series = reader.series(series_uid, study.id) if study is not None else None
    if series is not None:
        yield from reader.instances_of(series.study_id, series.id)
    yield from reader.tombstones_of(study_uid, series_uid)


def _history(reader: Reader, known: Known) -> History:
    versions, purges = [known.version, *known.older], reader.purges(known)
    if isinstance(known, Tombstone):
        level = deleted_by(reader, known)
        uid = {
            Level.INSTANCE: known.uid,
            Level.SERIES: known.series_uid,
            Level.STUDY: known.study_uid,
        }[level]
        barrier = reader.barrier(level, uid)
        reason = barrier.reason if barrier is not None else ""
        by = level.name.lower()
        return History(known.study_uid, known.series_uid, known.uid, by, reason, versions, purges)
    study, series = reader.study_above(known), reader.series_above(known)
    return History(study.uid, series.uid, known.uid, "", "", versions, purges)
