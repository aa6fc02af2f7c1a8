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
    decode_instance,
    decode_patient,
    decode_series,
    decode_study,
    decode_tombstone,
)
from vna.index.layout import Table, secondary_key
from vna.index.secondary import SecondaryKeys
from vna.index.transaction import Transaction
from vna.types import Level

__all__ = ["Line", "dump_lines"]

Line: TypeAlias = tuple[str, str, Any]
"""Kind, name, and value in builtins. Kinds: patient, study, series, instance, each `gone` too;
buried, barrier, blob, total."""

_ARRIVAL = frozenset({"id", "patient_id", "study_id", "series_id", "changed"})
_LISTED = 4
"""First byte of the keys in `gone` that list tombstones."""
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
            level = Level(name[0])
            entity: Any = _DECODE[level](self._txn.row(_ROWS[level], row))
            fields = _fields(entity)
            if level >= Level.SERIES:
                fields["study"] = decode_study(self._txn.row(Table.STUDIES, row[:8])).uid
            if level == Level.INSTANCE:
                fields["series"] = decode_series(self._txn.row(Table.SERIES, row[:16])).uid
            fields["keys"] = self._kept_keys(level, row, entity.attributes)
            line = (level.name.lower(), str(getattr(entity, "uid", name.hex())), fields)
            if run and run[0][:2] != line[:2]:
                yield from sorted(run, key=lambda other: str(other[2].get("study")))
                run = []
            run.append(line)
        yield from sorted(run, key=lambda other: str(other[2].get("study")))

    def gone(self) -> Iterator[Line]:
        for name, value in self._txn.scan(Table.GONE):
            if name[0] == _LISTED:
                yield "buried", _show(name), None
                continue
            level = Level(name[0])
            yield f"gone {level.name.lower()}", _show(name), _fields(_DECODE_GONE[level](value))

    def barriers(self) -> Iterator[Line]:
        for key, value in self._txn.scan(Table.BARRIERS):
            yield "barrier", _show(key), _fields(decode_barrier(value)) if value else None

    def blobs(self) -> Iterator[Line]:
        for digest, value in self._txn.scan(Table.BLOBS):
            blob = decode_blob(value)
            if blob.refs:
                yield "blob", digest.hex(), _fields(blob)

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
    return key.decode("ascii", "backslashreplace")
