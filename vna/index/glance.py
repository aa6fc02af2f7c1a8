"""Reading a little of the index without waiting: what an event loop may do itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from vna.index.reader import Reader
from vna.index.transaction import Transaction

if TYPE_CHECKING:
    from vna.index.environment import Environment
    from vna.index.layout import Table

__all__ = ["Glance", "Snapshots"]


class Snapshots(Protocol):
    """Gives snapshots of the index, one after the other."""

    def read(self) -> Reader:
        """Return a snapshot to be used in a `with` statement."""


class Glance:
    """Snapshots that are begun without waiting, and ask before each row whether they may have it.

    `spend` is called with the number of rows, and raises WouldWait when they are too many. Beginning
    a snapshot raises it while the map grows.
    """

    def __init__(self, environment: Environment, spend: Callable[[int], None]) -> None:
        self._environment = environment
        self._spend = spend

    def read(self) -> Reader:
        """Return a snapshot to be used in a `with` statement."""
        return Reader(self._environment, self._begin)

    def _begin(self) -> Transaction:
        return _Sparing(self._environment.begin_read_at_once(), self._spend)


class _Sparing(Transaction):
    """A transaction that asks before each row."""

    __slots__ = ("_spend",)

    def __init__(self, txn: Transaction, spend: Callable[[int], None]) -> None:
        super().__init__(txn.handle, txn.tables)
        self._spend = spend

    def get(self, table: Table, key: bytes) -> bytes | None:
        self._spend(1)
        return super().get(table, key)

    def scan(
        self, table: Table, prefix: bytes = b"", start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        for entry in super().scan(table, prefix, start):
            self._spend(1)
            yield entry

    def keys(
        self, table: Table, start: bytes, stop: bytes, count: int | None = None
    ) -> list[bytes]:
        found = super().keys(table, start, stop, count)
        self._spend(len(found))  # only now: they lie on a page or two
        return found
