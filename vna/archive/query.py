"""The one query behind C-FIND and QIDO-RS.

`dicom.keys.plan` names the best access path; this module walks it: candidates by secondary key (or
all entities of the top level), up to their parents, down to the level asked for, matching every
key on the way. The index is read in short snapshots of a bounded number of candidates, so that a
slow client never holds one, and no more of them than the answers asked for need.

Candidates come in the order of arrival. Those in a range of keys (a year of dates, the begin of a
name) or in several come in the order of keys, then arrival: to sort them would mean to read them
all for the first page. Few or many, so that what arrives between two pages never makes it another
order: it may move what follows it to the next page, and nothing is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, Self, TypeAlias

from vna.archive.glances import Glances
from vna.archive.inventory import ONLINE, availability
from vna.dicom.attributes import (
    AVAILABLE_TRANSFER_SYNTAX_UID,
    INSTANCE_AVAILABILITY,
    MODALITIES_IN_STUDY,
    NUMBER_OF_PATIENT_RELATED_INSTANCES,
    NUMBER_OF_PATIENT_RELATED_SERIES,
    NUMBER_OF_PATIENT_RELATED_STUDIES,
    NUMBER_OF_SERIES_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_INSTANCES,
    NUMBER_OF_STUDY_RELATED_SERIES,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_CLASSES_IN_STUDY,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
)
from vna.dicom.keys import Plan, plan
from vna.dicom.matching import CompiledQuery, compile_query
from vna.errors import WouldWait
from vna.index import EntityId, Instance, Patient, Reader, Series, Snapshots, Study
from vna.observe import metrics
from vna.storage import HOT, tier_of
from vna.types import Attributes, BlobPlace, Level, Match, Query

__all__ = ["PlannedQuery"]

log = logging.getLogger(__name__)

FIRST_CANDIDATES = 16
SNAPSHOT_CANDIDATES = 256
"""Candidates looked at in one snapshot of the index: few in the first, twice as many in the next."""
SNAPSHOT_MATCHES = 2048
"""Half as many candidates are looked at in the next snapshot where one gave more matches than this."""

AtHand: TypeAlias = Callable[[BlobPlace], bool]


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """A query that is understood: what to look at, and what matches. May be asked more than once."""

    query: Query
    path: Plan
    walk: _Walk

    @classmethod
    def of(cls, query: Query, at_hand: AtHand | None = None) -> Self:
        """Plan a query. Raises Invalid for a key that cannot be matched.

        `at_hand` says of blobs whether they are ONLINE; without it all are.
        """
        compiled = compile_query(query)
        return cls(query, plan(query), _Walk(query, compiled, at_hand))

    def count(self) -> None:
        """Count a query that is asked, and log how."""
        path = self.path
        kind = "scan" if path.scan else "uids" if path.uids else "keys"
        metrics.QUERIES.add(kind)
        level = logging.INFO if path.scan else logging.DEBUG
        log.log(level, "query level=%s plan=%s: %s", self.query.level.name, kind, path.reason)

    @property
    def unsupported(self) -> tuple[int, ...]:
        """Keys with a value that is not matched on."""
        return self.walk.compiled.unsupported

    @property
    def waitless(self) -> Self:
        """This query, raising WouldWait where only a look at the cache can say what is ONLINE."""
        if self.walk.at_hand is None:
            return self
        return replace(self, walk=replace(self.walk, at_hand=_on_hot_tier))

    def glanced(self, glances: Glances) -> list[Match]:
        """Return the matches if that needs no waiting, and few rows. Raises WouldWait."""
        return glances.read(lambda glance: list(self.waitless.matches(glance)))

    def matches(self, index: Snapshots) -> Iterator[Match]:
        """Yield the matches from the query's offset on, at most its limit.

        Blocking, unless `index` is a glance: LMDB pages may come from disk.
        """
        query = self.query
        stop = None if query.limit is None else query.offset + query.limit
        return islice(_first(index, self, stop), query.offset, None)


def _first(index: Snapshots, planned: PlannedQuery, stop: int | None) -> Iterator[Match]:
    """Yield the first `stop` matches, or all. No candidate is looked at behind the last of them."""
    candidates: _Candidates | None = None
    count = FIRST_CANDIDATES
    while True:
        with index.read() as reader:
            candidates = candidates or _candidates(reader, planned)
            found = list(islice(candidates.matches(reader, count), stop))
        many = len(found) > SNAPSHOT_MATCHES
        count = max(count // 2, 1) if many else min(2 * count, SNAPSHOT_CANDIDATES)
        yield from found
        if stop is not None:
            stop -= len(found)
        if candidates.ended or stop == 0:
            return


def _candidates(reader: Reader, planned: PlannedQuery) -> _Candidates:
    path, walk = planned.path, planned.walk
    if path.scan:
        return _Scanned(planned.query.level, walk)
    if path.uids:
        named = {ids for uid in path.uids for ids in _named(reader, path.level, uid)}
        return _Listed(path.level, sorted(named), walk)
    return _Streamed(path, walk)


class _Candidates(Protocol):
    """What may match, a snapshot of it after the other. `ended` says that there is no more."""

    ended: bool

    def matches(self, reader: Reader, count: int) -> Iterator[Match]:
        """Yield what matches of the next `count` candidates."""


class _Listed:
    """Candidates that are named, in the order of arrival."""

    def __init__(self, level: Level, ids: Sequence[EntityId], walk: _Walk) -> None:
        self._level = level
        self._ids = ids
        self._walk = walk
        self.ended = False

    def matches(self, reader: Reader, count: int) -> Iterator[Match]:
        """See `_Candidates`."""
        some, self._ids = self._ids[:count], self._ids[count:]
        self.ended = not self._ids
        for ids in some:
            if (entity := reader.entity(self._level, ids)) is not None:
                yield from self._walk.of(reader, entity)


_Entry: TypeAlias = tuple[int, bytes]
"""The number of the plan's range that an entry of the index is in, and the entry."""


def _entries(reader: Reader, path: Plan, count: int, after: _Entry = (0, b"")) -> list[_Entry]:
    """Return the first `count` entries in a plan's ranges, range by range, in the order of keys."""
    begin, last = after
    found: list[_Entry] = []
    for number, (low, high) in enumerate(path.ranges[begin:], begin):
        entries = reader.entries(path.level, low, high, count - len(found), last)
        found += [(number, entry) for entry in entries]
        if len(found) == count:
            break
        last = b""
    return found


class _Streamed:
    """Candidates in the order of keys: an entity with several comes at the first of them."""

    def __init__(self, path: Plan, walk: _Walk) -> None:
        self._path = path
        self._entries: list[_Entry] = []
        self._walk = walk
        self.ended = False

    def matches(self, reader: Reader, count: int) -> Iterator[Match]:
        """See `_Candidates`."""
        path = self._path
        # Of the entries read one stays, the last: from there it goes on.
        missing = count + 1 - len(self._entries)
        if missing > 0:
            self._entries += _entries(reader, path, missing, *self._entries[-1:])
        self.ended = len(self._entries) <= count
        some, self._entries = self._entries[:count], self._entries[count:]
        for number, entry in some:
            key, ids = reader.parts(path.level, entry)
            entity = reader.entity(path.level, ids)
            if entity is not None and path.is_first(entity.attributes, number, key):
                yield from self._walk.of(reader, entity)


class _Scanned:
    """Every patient or every study: the last resort, still in bounded snapshots."""

    def __init__(self, level: Level, walk: _Walk) -> None:
        self._level = level
        self._walk = walk
        self._after = 0
        self.ended = False

    def matches(self, reader: Reader, count: int) -> Iterator[Match]:
        """See `_Candidates`."""
        listed = reader.patients if self._level is Level.PATIENT else reader.studies
        every: Iterator[Patient | Study] = listed(self._after)
        some = 0
        for entity in islice(every, count):
            some, self._after = some + 1, entity.id
            yield from self._walk.of(reader, entity)
        self.ended = some < count


def _named(reader: Reader, level: Level, uid: str) -> Iterator[tuple[int, ...]]:
    """Yield the ids of what has this UID at `level`: of a series, those in each of its studies."""
    if level is Level.STUDY and (study := reader.study(uid)):
        yield (study.id,)
    elif level is Level.SERIES:
        for series in reader.all_series(uid):
            yield series.study_id, series.id
    elif level is Level.INSTANCE and (instance := reader.instance(uid)):
        yield instance.study_id, instance.series_id, instance.id


@dataclass(frozen=True, slots=True)
class _Walk:
    """From a candidate at any level to the matches at the query's level."""

    query: Query
    compiled: CompiledQuery
    at_hand: AtHand | None
    """Says whether a blob is ONLINE; None where all are."""

    def of(self, reader: Reader, entity: Patient | Study | Series | Instance) -> Iterable[Match]:
        """Walk from an entity."""
        match entity:
            case Patient():
                return self.patient(reader, entity)
            case Study():
                return self.study(reader, entity)
            case _:
                return self._below_study(reader, entity)

    def _below_study(self, reader: Reader, entity: Series | Instance) -> Iterable[Match]:
        study = reader.study_by_id(entity.study_id)
        above = self._above_series(reader, study) if study is not None else None
        if study is None or above is None:
            return
        if isinstance(entity, Series):
            yield from self.series(reader, above, study, entity)
            return
        series = reader.series_by_id(study.id, entity.series_id)
        upper = self._with_series(above, series) if series is not None else None
        if series is not None and upper is not None:
            yield from self.instance(reader, upper, study, series, entity)

    def patient(self, reader: Reader, patient: Patient) -> Iterable[Match]:
        if not self.compiled.matches(Level.PATIENT, patient.attributes):
            return
        if self.query.level is not Level.PATIENT:
            for study in reader.studies_of(patient.id):
                yield from self.study(reader, study, patient)
            return
        attributes = dict(patient.attributes)
        if self._wanted(NUMBER_OF_PATIENT_RELATED_SERIES, NUMBER_OF_PATIENT_RELATED_INSTANCES):
            studies = list(reader.studies_of(patient.id))
            attributes[NUMBER_OF_PATIENT_RELATED_SERIES] = [sum(s.series for s in studies)]
            attributes[NUMBER_OF_PATIENT_RELATED_INSTANCES] = [sum(s.instances for s in studies)]
        attributes[NUMBER_OF_PATIENT_RELATED_STUDIES] = [patient.studies]
        yield self._match(attributes)

    def study(
        self, reader: Reader, study: Study, matched: Patient | None = None
    ) -> Iterable[Match]:
        above = self._above_series(reader, study, matched)
        if above is None:
            return
        if self.query.level in (Level.PATIENT, Level.STUDY):
            if self._looks:
                every = reader.series_of(study.id)
                firsts = (next(reader.instances_of(study.id, each.id), None) for each in every)
                above = above | self._available(reader, filter(None, firsts))
            yield self._match(above, study.uid)
            return
        for series in reader.series_of(study.id):
            yield from self.series(reader, above, study, series)

    def series(
        self, reader: Reader, above: Attributes, study: Study, series: Series
    ) -> Iterable[Match]:
        upper = self._with_series(above, series)
        if upper is None:
            return
        if self.query.level is Level.SERIES:
            if self._looks:
                first = islice(reader.instances_of(study.id, series.id), 1)
                upper = upper | self._available(reader, first)
            yield self._match(upper, study.uid, series.uid)
            return
        for instance in reader.instances_of(study.id, series.id):
            yield from self.instance(reader, upper, study, series, instance)

    def instance(
        self, reader: Reader, upper: Attributes, study: Study, series: Series, instance: Instance
    ) -> Iterable[Match]:
        attributes = instance.attributes | {
            SOP_INSTANCE_UID: [instance.uid],
            SOP_CLASS_UID: [instance.sop_class],
            AVAILABLE_TRANSFER_SYNTAX_UID: [instance.version.transfer_syntax],
        }
        if self.compiled.matches(Level.INSTANCE, attributes):
            if self._looks:
                attributes = attributes | self._available(reader, [instance])
            yield self._match(upper | attributes, study.uid, series.uid, instance.uid)

    def _above_series(
        self, reader: Reader, study: Study, matched: Patient | None = None
    ) -> Attributes | None:
        """Return patient and study attributes, or None where they do not match.

        `matched` is the study's patient, where the walk came by it.
        """
        attributes = study.attributes | {
            STUDY_INSTANCE_UID: [study.uid],
            NUMBER_OF_STUDY_RELATED_SERIES: [study.series],
            NUMBER_OF_STUDY_RELATED_INSTANCES: [study.instances],
            MODALITIES_IN_STUDY: sorted(filter(None, study.modalities)),
            SOP_CLASSES_IN_STUDY: sorted(study.sop_classes),
        }
        if not self.compiled.matches(Level.STUDY, attributes):
            return None
        patient = matched or reader.patient_above(study)
        if matched is None and not self.compiled.matches(Level.PATIENT, patient.attributes):
            return None
        return patient.attributes | attributes

    def _with_series(self, above: Attributes, series: Series) -> Attributes | None:
        attributes = series.attributes | {
            SERIES_INSTANCE_UID: [series.uid],
            NUMBER_OF_SERIES_RELATED_INSTANCES: [series.instances],
        }
        return above | attributes if self.compiled.matches(Level.SERIES, attributes) else None

    @property
    def _looks(self) -> bool:
        return self.at_hand is not None and self._wanted(INSTANCE_AVAILABILITY)

    def _available(self, reader: Reader, instances: Iterable[Instance]) -> Attributes:
        """Return the availability of the least available: of a series its first instance tells it."""
        assert self.at_hand is not None, "it looks"
        return {INSTANCE_AVAILABILITY: [availability(reader, instances, self.at_hand)]}

    def _wanted(self, *paths: int) -> bool:
        returned = self.query.returned
        return returned is None or not returned.isdisjoint(paths)

    def _match(
        self, attributes: Attributes, study_uid: str = "", series_uid: str = "", sop_uid: str = ""
    ) -> Match:
        attributes = {INSTANCE_AVAILABILITY: [ONLINE], **attributes}
        returned = self.query.returned
        if returned is not None:
            attributes = {path: v for path, v in attributes.items() if path in returned}
        return Match(self.query.level, attributes, study_uid, series_uid, sop_uid)


def _on_hot_tier(place: BlobPlace) -> bool:
    if tier_of(place.pack) != HOT:
        raise WouldWait
    return True
