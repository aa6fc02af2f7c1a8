"""The one query behind C-FIND and QIDO-RS.

`dicom.keys.plan` names the best access path; this module walks it: candidates by secondary key (or
all entities of the top level), up to their parents, down to the level asked for, matching every
key on the way. The index is read in short snapshots of a bounded number of candidates, so that a
slow client never holds one, and no more of them than the answers asked for need.

Few candidates come in the order of arrival. Where a range of keys holds many (a year of dates, the
begin of a name), they come in the order of keys, then arrival: to sort them would mean to read them
all for the first page. Either order stays as it is while objects arrive elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Self, TypeAlias

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
from vna.dicom.keys import Plan, keys_of, plan
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
SORTED_CANDIDATES = 64
"""Up to this many candidates come in the order of arrival."""

Found: TypeAlias = tuple[bytes, EntityId]
"""A secondary key, and the ids of an entity that has it."""
AtHand: TypeAlias = Callable[[BlobPlace], bool]


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """A query that is understood: what to look at, and what matches. May be asked more than once."""

    query: Query
    path: Plan
    walk: _Walk

    @classmethod
    def of(cls, query: Query, at_hand: AtHand | None = None) -> Self:
        """Plan a query, and count it. Raises Invalid for a key that cannot be matched.

        `at_hand` says of blobs whether they are ONLINE; without it all are.
        """
        compiled = compile_query(query)
        path = plan(query)
        kind = "scan" if path.scan else "uids" if path.uids else "keys"
        metrics.QUERIES.add(kind)
        level = logging.INFO if path.scan else logging.DEBUG
        log.log(level, "query level=%s plan=%s: %s", query.level.name, kind, path.reason)
        return cls(query, path, _Walk(query, compiled, at_hand))

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

    def matches(self, index: Snapshots) -> Iterator[Match]:
        """Yield the matches from the query's offset on, at most its limit.

        Blocking, unless `index` is a glance: LMDB pages may come from disk.
        """
        query = self.query
        stop = None if query.limit is None else query.offset + query.limit
        return islice(_candidates(index, self), query.offset, stop)


def _candidates(index: Snapshots, planned: PlannedQuery) -> Iterator[Match]:
    path, walk = planned.path, planned.walk
    if path.scan:
        yield from _scan(index, planned.query, walk)
        return
    if path.uids:
        with index.read() as reader:
            named = {ids for uid in path.uids for ids in _named(reader, path.level, uid)}
        yield from _listed(index, path.level, sorted(named), walk)
        return
    few = _few(index, path)
    if few is not None:
        yield from _listed(index, path.level, few, walk)
    else:
        yield from _streamed(index, path, walk)


def _few(index: Snapshots, path: Plan) -> list[EntityId] | None:
    """Return all candidates in the order of arrival; None if there are too many to sort."""
    with index.read() as reader:
        ids = chain.from_iterable(reader.ids(path.level, low, high) for low, high in path.ranges)
        found = list(islice(ids, SORTED_CANDIDATES + 1))
    return sorted(set(found)) if len(found) <= SORTED_CANDIDATES else None


def _listed(
    index: Snapshots, level: Level, ids: Sequence[EntityId], walk: _Walk
) -> Iterator[Match]:
    at = 0
    for count in _snapshots():
        with index.read() as reader:
            some = ids[at : at + count]
            found = [match for each in some for match in walk.from_id(reader, level, each)]
        yield from found
        at += count
        if at >= len(ids):
            return


def _streamed(index: Snapshots, path: Plan, walk: _Walk) -> Iterator[Match]:
    """Go through many candidates, range by range, in the order of keys.

    An entity with several keys in the ranges is taken at the first of them.
    """
    counts = _snapshots()
    for number, (low, high) in enumerate(path.ranges):
        after: Found | None = None
        more = True
        while more:
            count = next(counts)
            with index.read() as reader:
                entries = list(islice(reader.entries(path.level, low, high, after), count))
                found = [
                    match
                    for key, ids in entries
                    if _is_first(reader, path, number, key, ids)
                    for match in walk.from_id(reader, path.level, ids)
                ]
            yield from found
            more = len(entries) == count
            after = entries[-1] if entries else None


def _is_first(reader: Reader, path: Plan, number: int, key: bytes, ids: EntityId) -> bool:
    """Say whether a key in range `number` is the first under which the plan finds an entity."""
    if not path.several:
        return True
    attributes = reader.attributes(path.level, ids)
    if attributes is None:
        return False
    keys = keys_of(path.level, attributes)
    places = (
        (place, each)
        for each in keys
        for place, (low, high) in enumerate(path.ranges)
        if low <= each < high
    )
    return (number, key) == min(places, default=(number, key))


def _snapshots() -> Iterator[int]:
    """Yield how many candidates to look at in one snapshot after the other."""
    count = FIRST_CANDIDATES
    while True:
        yield count
        count = min(2 * count, SNAPSHOT_CANDIDATES)


def _named(reader: Reader, level: Level, uid: str) -> Iterator[tuple[int, ...]]:
    """Yield the ids of the entity of `level` with this UID."""
    if level is Level.STUDY and (study := reader.study(uid)):
        yield (study.id,)
    elif level is Level.SERIES and (series := reader.series(uid)):
        yield series.study_id, series.id
    elif level is Level.INSTANCE and (instance := reader.instance(uid)):
        yield instance.study_id, instance.series_id, instance.id


def _scan(index: Snapshots, query: Query, walk: _Walk) -> Iterator[Match]:
    """Look at every patient or every study: the last resort, still in bounded snapshots."""
    after = 0
    for count in _snapshots():
        with index.read() as reader:
            found: list[Match] = []
            looked = 0
            if query.level is Level.PATIENT:
                for patient in islice(reader.patients(after), count):
                    looked, after = looked + 1, patient.id
                    found.extend(walk.patient(reader, patient))
            else:
                for study in islice(reader.studies(after), count):
                    looked, after = looked + 1, study.id
                    found.extend(walk.study(reader, study))
        yield from found
        if looked < count:
            return


@dataclass(frozen=True, slots=True)
class _Walk:
    """From a candidate at any level to the matches at the query's level."""

    query: Query
    compiled: CompiledQuery
    at_hand: AtHand | None
    """Says whether a blob is ONLINE; None where all are."""

    def from_id(self, reader: Reader, level: Level, ids: tuple[int, ...]) -> Iterable[Match]:
        """Walk from the entity with these ids, unless it has gone since they were read."""
        if level is Level.PATIENT:
            patient = reader.patient_by_id(*ids)
            return self.patient(reader, patient) if patient else ()
        study = reader.study_by_id(ids[0])
        if level is Level.STUDY or study is None:
            return self.study(reader, study) if study else ()
        return self._from_below_study(reader, level, study, ids)

    def _from_below_study(
        self, reader: Reader, level: Level, study: Study, ids: tuple[int, ...]
    ) -> Iterable[Match]:
        above = self._above_series(reader, study)
        series = reader.series_by_id(*ids[:2])
        if above is None or series is None:
            return
        if level is Level.SERIES:
            yield from self.series(reader, above, study, series)
            return
        upper = self._with_series(above, series)
        instance = reader.instance_by_id(*ids)
        if upper is not None and instance is not None:
            yield from self.instance(reader, upper, study, series, instance)

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
            MODALITIES_IN_STUDY: sorted(study.modalities),
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
