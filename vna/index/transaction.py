"""One LMDB transaction, with tables by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from typing import Any

import lmdb

from vna.errors import Corrupt
from vna.index.layout import Table

__all__ = ["Transaction"]


class Transaction:
    """Gets, puts and scans; values are copies, valid beyond the transaction."""

    __slots__ = ("_bare", "_tables", "_txn")

    def __init__(self, txn: lmdb.Transaction[bytes], tables: Mapping[Table, Any]) -> None:
        self._txn = txn
        self._tables = tables
        self._bare: dict[Table, bool] = {}

    @property
    def handle(self) -> lmdb.Transaction[bytes]:
        """LMDB's own transaction."""
        return self._txn

    @property
    def tables(self) -> Mapping[Table, Any]:
        """LMDB's own tables by name."""
        return self._tables

    @property
    def generation(self) -> int:
        """Number of the transaction whose state this one reads."""
        return self._txn.id()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value at `key`, or None. Raises Corrupt for a key that no entry can have."""
        try:
            return self._txn.get(key, db=self._tables[table])
        except lmdb.BadValsizeError as error:
            raise _broken_link(table, key) from error

    def row(self, table: Table, key: bytes) -> bytes:
        """Return the value that another entry says is at `key`. Raises Corrupt if it is not."""
        value = self.get(table, key)
        if value is None:
            raise _broken_link(table, key)
        return value

    def bare(self, table: Table) -> bool:
        """Say whether a table has no entry at all: no key needs to be made, and looked for."""
        bare = self._bare.get(table)
        if bare is None:
            bare = self._bare[table] = not self.entries(table)
        return bare

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set the value at `key`."""
        self._bare[table] = False
        self._txn.put(key, value, db=self._tables[table])

    def get_all(self, table: Table, keys: list[bytes]) -> list[tuple[bytes, bytes]]:
        """Return the entries at those of `keys` that there are."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            return cursor.getmulti(keys)

    def put_all(
        self, table: Table, entries: list[tuple[bytes, bytes]], *, append: bool = False
    ) -> None:
        """Set values at keys, in order; `append` them if all are larger than all that there are."""
        self._bare[table] = False
        with self._txn.cursor(db=self._tables[table]) as cursor:
            cursor.putmulti(entries, append=append)

    def append(self, table: Table, key: bytes, value: bytes) -> None:
        """Set the value at a key that is larger than all others: pages fill up completely."""
        self._bare[table] = False
        self._txn.put(key, value, append=True, db=self._tables[table])

    def delete(self, table: Table, key: bytes) -> None:
        """Remove the entry at `key`, if there."""
        self._txn.delete(key, db=self._tables[table])

    def scan(
        self, table: Table, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries whose key has `prefix`, from `start` on; the table must not change."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            if not cursor.set_range(start or prefix):
                return
            for key, value in cursor:
                if not key.startswith(prefix):
                    return
                yield key, value

    def keys(
        self, table: Table, start: bytes, stop: bytes, count: int | None = None
    ) -> list[bytes]:
        """Return the keys from `start` on that are below `stop`: the first `count` of them, or all."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            if not cursor.set_range(start):
                return []
            every = takewhile(stop.__gt__, cursor.iternext(values=False))
            return list(islice(every, count))

    def last(self, table: Table, low: bytes, high: bytes) -> bytes | None:
        """Return the value at the largest key from `low` on that is below `high`."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            there = cursor.prev() if cursor.set_range(high) else cursor.last()
            return cursor.value() if there and cursor.key() >= low else None

    def entries(self, table: Table) -> int:
        """Return how many entries a table has, in constant time."""
        return self._txn.stat(db=self._tables[table])["entries"]

    def abort(self) -> None:
        """End it without effect."""
        self._txn.abort()


def _broken_link(table: Table, key: bytes) -> Corrupt:
    return Corrupt(f"index: no entry {key.hex()} in {table}; `vna rebuild-index` makes it again")
