"""The logical content of the index, in an order that depends on nothing else.

Two indexes of the same commits have equal dumps, however the commits came. Left out is what
depends on arrival: surrogate ids, the feed, `changed`, the marks of packs, and blobs that nothing
needs. Memory is bounded: entities come in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from vna.index.entities import (
    Counts,
    decode_barrier,
    decode_blob,
    decode_damaged,
    decode_instance,
    decode_patient,
    decode_purge,
    decode_series,
    decode_study,
    decode_tombstone,
)
from vna.index.layout import Table, secondary_key
from vna.index.secondary import SecondaryKeys
from vna.index.transaction import Transaction
from vna.types import Level

__all__ = ["KINDS", "Line", "dump_lines"]

Line: TypeAlias = tuple[str, str, Any]
"""Kind, name, and value in builtins. Lines come in the order of `KINDS`, then by name."""

KINDS = (
    *("patient", "study", "series", "instance"),
    *("gone patient", "gone study", "gone series", "gone instance", "buried"),
    *("barrier study", "barrier series", "barrier instance", "void", "purge"),
    *("blob", "damaged", "total"),
)

_ARRIVAL = frozenset({"id", "patient_id", "study_id", "series_id", "changed", "copies"})
_FOURTH = 4
"""First byte of what is no level: the list of tombstones in `gone`, the voids in `barriers`."""
_FIFTH = 5
"""First byte of the purges in `barriers`."""
_ROWS = (Table.PATIENTS, Table.STUDIES, Table.SERIES, Table.INSTANCES)
_DECODE = (decode_patient, decode_study, decode_series, decode_instance)
_DECODE_GONE = (decode_patient, decode_study, decode_series, decode_tombstone)


def dump_lines(txn: Transaction, keys: SecondaryKeys, counts: Counts) -> Iterator[Line]:
    """Yield the logical content of a snapshot."""
    dump = _Dump(txn, keys)
    yield from dump.alive()
    yield from dump.gone()
    yield from dump.barriers()
    yield from dump.blobs()
    yield from dump.damaged()
    yield "total", "counts", _fields(counts)
    yield "total", "secondary keys", txn.entries(Table.KEYS)


class _Dump:
    def __init__(self, txn: Transaction, keys: SecondaryKeys) -> None:
        self._txn = txn
        self._keys = keys

    def alive(self) -> Iterator[Line]:
        """Yield rows by name. A series in two studies is ordered by arrival: sort such runs."""
        run: list[Line] = []
        for name, row in self._txn.scan(Table.UIDS):
            line = self._living(Level(name[0]), name, row)
            if run and (line[0], line[2].get("uid")) != (run[0][0], run[0][2].get("uid")):
                yield from sorted(run, key=_name)
                run = []
            run.append(line)
        yield from sorted(run, key=_name)

    def _living(self, level: Level, name: bytes, row: bytes) -> Line:
        entity: Any = _DECODE[level](self._txn.row(_ROWS[level], row))
        fields = _fields(entity)
        if level >= Level.SERIES:
            fields["study"] = decode_study(self._txn.row(Table.STUDIES, row[:8])).uid
        if level == Level.INSTANCE:
            fields["series"] = decode_series(self._txn.row(Table.SERIES, row[:16])).uid
        fields["keys"] = self._kept_keys(level, row, entity.attributes)
        shown = name.hex() if level == Level.PATIENT else entity.uid
        if level == Level.SERIES:
            shown = f"{shown} {fields['study']}"
        return level.name.lower(), shown, fields

    def gone(self) -> Iterator[Line]:
        for name, value in self._txn.scan(Table.GONE):
            if name[0] == _FOURTH:
                yield "buried", _show(name), None
                continue
            level = Level(name[0])
            shown = name.hex() if level == Level.PATIENT else _show(name)
            yield f"gone {level.name.lower()}", shown, _fields(_DECODE_GONE[level](value))

    def barriers(self) -> Iterator[Line]:
        for key, value in self._txn.scan(Table.BARRIERS):
            if key[0] == _FOURTH:
                uid, _, named = key.partition(b"\0")
                yield "void", f"{_show(uid)} {named.hex()}", None
            elif key[0] == _FIFTH:
                yield "purge", f"{_show(key[:-17])} {key[-16:].hex()}", _fields(decode_purge(value))
            else:
                level = Level(key[0]).name.lower()
                yield f"barrier {level}", _show(key), _fields(decode_barrier(value))

    def blobs(self) -> Iterator[Line]:
        for digest, value in self._txn.scan(Table.BLOBS):
            blob = decode_blob(value)
            if blob.refs:
                yield "blob", digest.hex(), _fields(blob)

    def damaged(self) -> Iterator[Line]:
        for key, value in self._txn.scan(Table.DAMAGED):
            yield "damaged", key.hex(), _fields(decode_damaged(value))

    def _kept_keys(self, level: Level, row: bytes, attributes: Any) -> list[str]:
        """Return those keys of an entity that are in the table.

        Together with the total of entries this shows missing and surplus ones.
        """
        return sorted(
            key.hex()
            for key in self._keys.keys(level, attributes)
            if self._txn.get(Table.KEYS, secondary_key(level, key, row)) is not None
        )


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    fields = msgspec.structs.asdict(value)
    return {name: msgspec.to_builtins(v) for name, v in fields.items() if name not in _ARRIVAL}


def _show(key: bytes) -> str:
    """Return the UIDs of a key; the order of keys is that of the strings."""
    return key[1:].replace(b"\0", b" ").decode()


def _name(line: Line) -> str:
    return line[1]
