"""A QIDO-RS request as a query: parameters, levels, and what answers carry (PS3.18 8.3.4, 10.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vna.dicom.attributes import (
    BY_PATH,
    INSTANCE_AVAILABILITY,
    RETRIEVE_URL,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    TABLE,
)
from vna.dicom.matching import TIMEZONE_OFFSET_FROM_UTC
from vna.dicom.paths import describe, parse_path
from vna.errors import Invalid
from vna.types import Key, Level, Query

__all__ = ["Search", "parse_search"]

MAX_VALUE: Final = 4_096
CONTROLS: Final = frozenset(
    {
        *("limit", "offset", "includefield", "fuzzymatching", "accept", "charset"),
        *("emptyvaluematching", "multiplevaluematching"),
    }
)

Paths = frozenset[int]


def _paths(keywords: str) -> Paths:
    return frozenset(parse_path(keyword).key for keyword in keywords.split())


REQUIRED: Final[Mapping[Level, Paths]] = {
    Level.STUDY: _paths(
        "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName"
        " PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID NumberOfStudyRelatedSeries"
        " NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: _paths("Modality SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances"),
    Level.INSTANCE: _paths("SOPClassUID SOPInstanceUID InstanceNumber"),
}
"""Types U and R of tables 10.6.3-3 to -5: always there, empty where the object has no value."""

KNOWN: Final[Mapping[Level, Paths]] = {
    Level.STUDY: _paths("TimezoneOffsetFromUTC StudyDescription"),
    Level.SERIES: _paths(
        "TimezoneOffsetFromUTC SeriesDescription PerformedProcedureStepStartDate"
        " PerformedProcedureStepStartTime RequestAttributesSequence.ScheduledProcedureStepID"
        " RequestAttributesSequence.RequestedProcedureID"
    ),
    Level.INSTANCE: _paths("TimezoneOffsetFromUTC Rows Columns BitsAllocated NumberOfFrames"),
}
"""Type C of the same tables (Study Description with them, which lists of studies show): there where known."""

ABOVE: Final[Mapping[Level, Paths]] = {
    Level.STUDY: frozenset(),
    Level.SERIES: frozenset({STUDY_INSTANCE_UID}),
    Level.INSTANCE: frozenset({STUDY_INSTANCE_UID, SERIES_INSTANCE_UID}),
}
"""The UIDs that make an answer's address."""


@dataclass(frozen=True, slots=True)
class Search:
    """A request understood: the query, what each answer has even if empty, notes for Warning."""

    query: Query
    required: Paths
    notes: tuple[str, ...]


def parse_search(
    level: Level,
    parents: Mapping[int, str],
    parameters: Iterable[tuple[str, str]],
    max_results: int,
) -> Search:
    """Return the search for entities of `level` below `parents` (UIDs from the path, by path key).

    The query's limit is never above `max_results`. Raises Invalid (400), naming the parameter;
    whether the values can be matched is found out when the query is planned.
    """
    values: dict[str, list[str]] = {}
    for name, value in parameters:
        values.setdefault(name, []).append(value)
    keys = {path: Key(path, _one_uid(uid)) for path, uid in parents.items()}
    for name, given in values.items():
        if name not in CONTROLS:
            key = _key(name, given)
            if key.path in keys:
                raise Invalid(f"{name}: {describe(key.path)} is given twice")
            keys[key.path] = key
    required, returned = _defaults(level, frozenset(parents))
    returned |= _included(level, values.get("includefield", []))
    returned |= keys.keys() & BY_PATH.keys()
    limit = _number(values, "limit")
    query = Query(
        level=level,
        keys=tuple(keys.values()),
        returned=returned | {RETRIEVE_URL, INSTANCE_AVAILABILITY},
        fuzzy=_flag(values, "fuzzymatching"),
        combine_datetime=True,  # 8.3.4.1.1: always, where C-FIND has to negotiate it
        offset=_number(values, "offset") or 0,
        limit=max_results if limit is None else min(limit, max_results),
    )
    notes = [
        f"{name} is not supported and was ignored"
        for name in ("emptyvaluematching", "multiplevaluematching")
        if _flag(values, name)
    ]
    if TIMEZONE_OFFSET_FROM_UTC in keys:
        notes.append("TimezoneOffsetFromUTC was ignored: dates and times match as they are written")
    return Search(query, required, tuple(notes))


@lru_cache
def _defaults(level: Level, parents: Paths) -> tuple[Paths, Paths]:
    """Return what answers always have, and what they have where it is known.

    A list of all series or instances carries the attributes of the levels above that the path
    does not fix (10.6.3.3.2, 10.6.3.3.3).
    """
    levels = {level}
    if level > Level.STUDY and STUDY_INSTANCE_UID not in parents:
        levels.add(Level.STUDY)
    if level is Level.INSTANCE and SERIES_INSTANCE_UID not in parents:
        levels.add(Level.SERIES)
    required = ABOVE[level].union(*(REQUIRED[each] for each in levels))
    return required, required.union(*(KNOWN[each] for each in levels))


def _one_uid(uid: str) -> str:
    """Return a UID of the path. Raises Invalid for what a key takes for several, or for any."""
    if "\\" in uid or not uid.strip(" \0"):
        raise Invalid(f"{uid[:64]!r} in the path is no UID")
    return uid


def _key(name: str, values: list[str]) -> Key:
    path = parse_path(name)
    if any(len(value) > MAX_VALUE for value in values):
        raise Invalid(f"{name}: a value is longer than {MAX_VALUE} characters")
    joined = "\\".join(values)
    if path.vr == "UI":  # a list of UIDs is separated by commas (8.3.4.1), in C-FIND by backslashes
        joined = joined.replace(",", "\\")
    return Key(path.key, joined)


def _included(level: Level, values: list[str]) -> Paths:
    """Return what includefield adds; attributes of lower levels or unknown to the index add nothing."""
    names = [name for value in values for name in value.split(",") if name]
    if "all" in names:
        if len(names) > 1:
            raise Invalid("includefield: `all` goes with no other attribute (8.3.4.3)")
        levels = {level, Level.PATIENT} if level is Level.STUDY else {level}
        return frozenset(row.path for row in TABLE if row.level in levels)
    included: set[int] = set()
    for name in names:
        key = parse_path(name).key
        included |= {
            row.path
            for row in TABLE
            if row.level <= level and (row.path == key or row.path >> 32 == key)
        }
    return frozenset(included)


def _number(values: Mapping[str, list[str]], name: str) -> int | None:
    given = values.get(name)
    if given is None:
        return None
    if len(given) != 1 or not given[0].isascii() or not given[0].isdigit() or len(given[0]) > 15:
        raise Invalid(f"{name}: one whole number from 0 is needed")
    return int(given[0])


def _flag(values: Mapping[str, list[str]], name: str) -> bool:
    given = values.get(name, ["false"])
    if len(given) != 1 or given[0].lower() not in ("true", "false"):
        raise Invalid(f"{name}: `true` or `false` is needed")
    return given[0].lower() == "true"
