"""New instances, folded into the index natively: what an archive gets nearly always.

Here is looked up what a group touches, and written what native/core/src/fold makes of it. Whatever
else is in a group, `vna.index.apply` takes the whole of it, and knows all that there is to know of
a fold; for new instances both come to the same entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vna._native import fold_new as native_fold
from vna.index.entities import State, decode_attributes, encode
from vna.index.layout import (
    BLOBS,
    DAMAGED,
    FEED,
    GONE,
    META,
    META_STATE,
    PACKS,
    PATIENTS,
    SERIES,
    STUDIES,
    UIDS,
    Table,
    copy_key,
    gone_series_key,
    ids_of,
    instance_key,
    patient_key,
    row_key,
    series_key,
    study_key,
)
from vna.index.ledger import blobs_of
from vna.index.mutation import Mutation
from vna.index.secondary import SecondaryKeys
from vna.index.transaction import Transaction
from vna.types import Level, PackId, StoreCommit

__all__ = ["fold_new"]

_TABLES: Final = {str(table): table for table in Table}


def fold_new(
    txn: Transaction,
    keys: SecondaryKeys,
    mutations: Sequence[Mutation],
    marks: Mapping[PackId, int],
) -> bool:
    """Fold stores of instances that the index never heard of; False, and nothing done, for others.

    Raises Invalid for names that no index can take.
    """
    touched = _Touched(txn, marks)
    if not all(map(touched.take, mutations)):
        return False
    group = ([(each.commit, each.blobs) for each in mutations], touched.known(), [*marks.items()])
    folded = native_fold(encode(group))
    if folded is None:
        return False
    tables, patients, instances, changes = folded
    for name, entries in tables.items():
        table = _TABLES[name]
        txn.put_all(table, entries, append=table is FEED)
    for key, row in patients:
        txn.put(UIDS, patient_key(key.decode()), row)
    for mutation, row in zip(mutations, instances, strict=True):
        assert isinstance(mutation.commit, StoreCommit)
        keys.change(Level.INSTANCE, row, None, mutation.commit.instance)
    for level, row, was, now in changes:
        before = decode_attributes(was) if was is not None else None
        keys.change(Level(level), row, before, decode_attributes(now))
    return True


class _Touched:
    """What the index has of all that a group of new instances touches."""

    def __init__(self, txn: Transaction, marks: Mapping[PackId, int]) -> None:
        self._txn = txn
        self._packs = set(marks)
        self._digests: set[bytes] = set()
        self._families: set[tuple[str, str, str]] = set()
        self._patients: list[bytes] = []
        self._studies: list[bytes] = []
        self._series: list[bytes] = []

    def take(self, mutation: Mutation) -> bool:
        """Look up what a mutation touches, but for blobs; False if it is not a new instance's."""
        commit = mutation.commit
        if not isinstance(commit, StoreCommit):
            return False
        name = instance_key(commit.sop_uid)
        if self._txn.get(UIDS, name) is not None or self._gone(name):
            return False
        for digest, place in mutation.blobs:
            if not self._txn.bare(DAMAGED) and self._txn.get(DAMAGED, copy_key(digest, place)):
                return False
            self._digests.add(digest)
            self._packs.add(place.pack)
        self._digests |= blobs_of(commit.version)
        family = (commit.patient_key, commit.study_uid, commit.series_uid)
        if family in self._families:
            return True
        self._families.add(family)
        return self._look_up(*family)

    def known(self) -> tuple[Any, ...]:
        """Return the values, as native/core/src/fold takes them."""
        txn = self._txn
        packs = [
            (pack, value)
            for pack in self._packs
            if (value := txn.get(PACKS, row_key(pack))) is not None
        ]
        return (
            txn.get(META, META_STATE) or encode(State()),
            self._patients,
            self._studies,
            self._series,
            txn.get_all(BLOBS, sorted(self._digests)),
            packs,
        )

    def _look_up(self, patient: str, study_uid: str, series_uid: str) -> bool:
        """Look up a family; False if something of it is gone."""
        name = patient_key(patient)
        if self._living(PATIENTS, name, self._patients) is None and self._gone(name):
            return False
        name = study_key(study_uid)
        study = self._living(STUDIES, name, self._studies)
        if study is None:
            return not self._gone(name)  # and if it is not, there is nothing of its series either
        name = series_key(series_uid, *ids_of(study))
        series = self._living(SERIES, name, self._series)
        return series is not None or not self._gone(gone_series_key(series_uid, study_uid))

    def _living(self, table: Table, name: bytes, values: list[bytes]) -> bytes | None:
        """Add the value of a living entity to `values`; return its row key, None if it is not alive."""
        row = self._txn.get(UIDS, name)
        if row is not None:
            values.append(self._txn.row(table, row))
        return row

    def _gone(self, name: bytes) -> bool:
        return not self._txn.bare(GONE) and self._txn.get(GONE, name) is not None
