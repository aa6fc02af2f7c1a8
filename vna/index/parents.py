"""Patients, studies and series within one write transaction.

Each is loaded once, changed in memory while the group's instances come and go, and written once in
`settle`, from the series up: what a series was and is changes its study, and so on. An entity with
nothing alive below it moves to the table `gone`, where it keeps attributes and stamps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import msgspec

from vna.index.entities import (
    Patient,
    Series,
    State,
    Study,
    decode_patient,
    decode_series,
    decode_study,
    encode,
)
from vna.index.layout import (
    GONE,
    KEYS,
    PATIENTS,
    SERIES,
    STUDIES,
    UIDS,
    Table,
    gone_series_key,
    patient_key,
    patient_studies_key,
    row_key,
    series_key,
    study_key,
)
from vna.index.secondary import SecondaryKeys
from vna.index.transaction import Transaction
from vna.types import Attributes, Level, StoreCommit

__all__ = ["Family", "Parents"]

MODALITY = 0x00080060

E = TypeVar("E", Patient, Study, Series)


@dataclass(slots=True)
class _Node(Generic[E]):
    """An entity: as it is `now`, and as it `was` in its row, if it had one.

    `was` shares its dicts with `now`. `row` and `value` are of that row, `gone` is the value that it
    had in `gone`; empty where there was none.
    """

    now: E
    was: E | None = None
    row: bytes = b""
    value: bytes = b""
    gone: bytes = b""


class _Address(NamedTuple):
    """Where an entity is written: its row, and its names in `uids` and in `gone`."""

    level: Level
    table: Table
    row: bytes
    name: bytes
    gone: bytes


@dataclass(slots=True, eq=False)
class Family:
    """A series and the study it is in."""

    study: _Node[Study]
    series: _Node[Series]

    def count(self, sop_class: str, length: int, sign: int) -> None:
        """Count an instance in (`sign` 1) or out (-1)."""
        study, series = self.study.now, self.series.now
        study.instances += sign
        study.bytes += sign * length
        _count(study.sop_classes, sop_class, sign)
        series.instances += sign
        series.bytes += sign * length

    def changed(self, seq: int) -> tuple[str, str]:
        """Note that change `seq` is one of this series; return study and series UID."""
        self.study.now.changed = self.series.now.changed = seq
        return self.study.now.uid, self.series.now.uid


class Parents:
    """Reads what it must, remembers, and writes each entity once in `settle`."""

    def __init__(self, txn: Transaction, state: State, keys: SecondaryKeys) -> None:
        self._txn = txn
        self._state = state
        self._keys = keys
        self._patients: dict[str, _Node[Patient]] = {}
        self._studies: dict[str, _Node[Study]] = {}
        self._families: dict[tuple[str, str], Family] = {}
        self._by_id: dict[tuple[int, int], Family] = {}

    def at(self, study_id: int, series_id: int) -> Family:
        """Return the living series with these ids."""
        family = self._by_id.get((study_id, series_id))
        if family is None:
            study = self._txn.row(STUDIES, row_key(study_id))
            series = self._txn.row(SERIES, row_key(study_id, series_id))
            family = self.family(decode_study(study).uid, decode_series(series).uid)
            self._by_id[study_id, series_id] = family
        return family

    def family(self, study_uid: str, series_uid: str) -> Family:
        """Return a series that a store named at some time, alive or gone."""
        return self._family(study_uid, series_uid, None)

    def named(self, commit: StoreCommit) -> Family:
        """Take in what a store says of its patient, study and series, and return the series."""
        stamp = commit.stamp
        patient = self._patient(commit.patient_key, commit).now
        if _newer(stamp, commit.patient, patient.updated, patient.attributes):
            patient.attributes, patient.updated = commit.patient, stamp
        family = self._family(commit.study_uid, commit.series_uid, commit)
        study, series = family.study.now, family.series.now
        said, known = (commit.patient_key, commit.study), (study.patient_key, study.attributes)
        if _newer(stamp, said, study.updated, known):
            study.patient_key, study.attributes = said
            study.updated = stamp
        if _newer(stamp, commit.series, series.updated, series.attributes):
            series.attributes, series.updated = commit.series, stamp
            series.modality = _modality(commit.series)
        study.created = min(study.created, stamp)
        series.created = min(series.created, stamp)
        return family

    def house(self, family: Family) -> tuple[int, int]:
        """Return the ids of a series that an instance moves into, given now if it had none."""
        study, series = family.study.now, family.series.now
        if not study.id:
            study.id = self._state.study = self._state.study + 1
        if not series.id:
            series.id = self._state.series = self._state.series + 1
            series.study_id = study.id
        self._by_id[study.id, series.id] = family
        return study.id, series.id

    def settle(self) -> None:
        """Write what changed and forget everything."""
        for family in self._families.values():
            self._settle_series(family)
        for study in self._studies.values():
            self._settle_study(study)
        for patient in self._patients.values():
            self._settle_patient(patient)
        self._patients, self._studies, self._families, self._by_id = {}, {}, {}, {}

    # loading ----------------------------------------------------------------------------------
    def _patient(self, key: str, commit: StoreCommit | None) -> _Node[Patient]:
        node = self._patients.get(key)
        if node is None:
            name = patient_key(key)
            node = self._living(PATIENTS, name, decode_patient)
            node = node or self._gone(name, decode_patient)
            if node is None:
                assert commit is not None, "a store named this patient"
                node = _Node(Patient(0, key, commit.patient, commit.stamp))
            self._patients[key] = node
        return node

    def _study(self, uid: str, commit: StoreCommit | None) -> _Node[Study]:
        node = self._studies.get(uid)
        if node is None:
            name = study_key(uid)
            node = self._living(STUDIES, name, decode_study)
            node = node or self._gone(name, decode_study)
            if node is None:
                assert commit is not None, "a store named this study"
                stamp = commit.stamp
                node = _Node(Study(0, 0, commit.patient_key, uid, commit.study, stamp, stamp))
            self._studies[uid] = node
        return node

    def _family(self, study_uid: str, series_uid: str, commit: StoreCommit | None) -> Family:
        family = self._families.get((study_uid, series_uid))
        if family is None:
            study = self._study(study_uid, commit)
            name = series_key(series_uid, study.now.id)
            node = self._living(SERIES, name, decode_series)
            node = node or self._gone(gone_series_key(series_uid, study_uid), decode_series)
            if node is None:
                assert commit is not None, "a store named this series"
                now = Series(0, 0, series_uid, commit.series, commit.stamp, commit.stamp)
                now.modality = _modality(commit.series)
                node = _Node(now)
            family = self._families[study_uid, series_uid] = Family(study, node)
        return family

    def _living(self, table: Table, name: bytes, decode: Callable[[bytes], E]) -> _Node[E] | None:
        row = self._txn.get(UIDS, name)
        if row is None:
            return None
        value = self._txn.row(table, row)
        now = decode(value)
        return _Node(now, msgspec.structs.replace(now), row, value)

    def _gone(self, name: bytes, decode: Callable[[bytes], E]) -> _Node[E] | None:
        if self._txn.bare(GONE):
            return None
        value = self._txn.get(GONE, name)
        return _Node(decode(value), gone=value) if value is not None else None

    # writing ----------------------------------------------------------------------------------
    def _settle_series(self, family: Family) -> None:
        node, study = family.series, family.study.now
        now = node.now
        before = node.was.modality if node.was is not None else None
        after = now.modality if now.instances else None
        if before != after:
            if before is not None:
                study.series -= 1
                _count(study.modalities, before, -1)
            if after is not None:
                study.series += 1
                _count(study.modalities, after, +1)
            self._state.counts.series += (after is not None) - (before is not None)
        if before is not None and after is not None:
            self._rewrite(node, Level.SERIES, SERIES)
            return
        at = _Address(
            Level.SERIES,
            SERIES,
            row_key(now.study_id, now.id),
            series_key(now.uid, now.study_id),
            gone_series_key(now.uid, study.uid),
        )
        gone = msgspec.structs.replace(now, id=0, study_id=0, changed=0)
        self._write(node, None if after is not None else gone, at)

    def _settle_study(self, node: _Node[Study]) -> None:
        was, now = node.was, node.now
        alive = now.instances > 0
        if was is not None:
            self._patient(was.patient_key, None).now.studies -= 1
        if alive:
            patient = self._patient(now.patient_key, None).now
            patient.studies += 1
            if not patient.id:
                patient.id = self._state.patient = self._state.patient + 1
            now.patient_id = patient.id
        old = (was.patient_id, was.id) if was is not None else None
        new = (now.patient_id, now.id) if alive else None
        if old != new:
            if old is not None:
                self._txn.delete(KEYS, patient_studies_key(*old))
            if new is not None:
                self._txn.put(KEYS, patient_studies_key(*new), b"")
        if was is not None and alive:
            self._rewrite(node, Level.STUDY, STUDIES)
            return
        self._state.counts.studies += alive - (was is not None)
        name = study_key(now.uid)
        gone = msgspec.structs.replace(now, id=0, patient_id=0, changed=0)
        at = _Address(Level.STUDY, STUDIES, row_key(now.id), name, name)
        self._write(node, None if alive else gone, at)

    def _settle_patient(self, node: _Node[Patient]) -> None:
        now = node.now
        alive = now.studies > 0
        if node.was is not None and alive:
            self._rewrite(node, Level.PATIENT, PATIENTS)
            return
        self._state.counts.patients += alive - (node.was is not None)
        name = patient_key(now.key)
        gone = msgspec.structs.replace(now, id=0)
        at = _Address(Level.PATIENT, PATIENTS, row_key(now.id), name, name)
        self._write(node, None if alive else gone, at)

    def _rewrite(self, node: _Node[E], level: Level, table: Table) -> None:
        """Write an entity that stays alive over its row, if it changed."""
        assert node.was is not None
        value = encode(node.now)
        if value != node.value:
            self._txn.put(table, node.row, value)
            self._keys.change(level, node.row, node.was.attributes, node.now.attributes)

    def _write(self, node: _Node[E], gone: E | None, at: _Address) -> None:
        """Write an entity that comes alive as a row, or one that does not live as `gone`."""
        txn = self._txn
        if gone is None:
            txn.put(UIDS, at.name, at.row)
            if node.gone:
                txn.delete(GONE, at.gone)
            txn.put(at.table, at.row, encode(node.now))
        else:
            if node.was is not None:
                txn.delete(UIDS, at.name)
                txn.delete(at.table, at.row)
            if (value := encode(gone)) != node.gone:
                txn.put(GONE, at.gone, value)
        old = node.was.attributes if node.was is not None else None
        self._keys.change(at.level, at.row, old, node.now.attributes if gone is None else None)


def _newer(stamp: int, said: object, known_stamp: int, known: object) -> bool:
    """Return whether what a store says wins; equal stamps are told apart by content."""
    return stamp > known_stamp or (stamp == known_stamp and encode(said) > encode(known))


def _modality(attributes: Attributes) -> str:
    values = attributes.get(MODALITY)
    return str(values[0]) if values else ""


def _count(counts: dict[str, int], name: str, sign: int) -> None:
    counts[name] = counts.get(name, 0) + sign
    if not counts[name]:
        del counts[name]
