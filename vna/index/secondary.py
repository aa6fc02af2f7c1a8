"""Keeping the secondary keys of an entity equal to what the keyer gives for its attributes."""

from __future__ import annotations

from vna.index.layout import KEYS, MAX_KEY, secondary_key
from vna.index.settings import Keyer
from vna.index.transaction import Transaction
from vna.types import Attributes, Level

__all__ = ["SecondaryKeys"]


class SecondaryKeys:
    """The table `keys` within one write transaction."""

    def __init__(self, txn: Transaction, keyer: Keyer) -> None:
        self._txn = txn
        self._keyer = keyer

    def change(
        self, level: Level, row: bytes, was: Attributes | None, now: Attributes | None
    ) -> None:
        """Turn the keys of attributes `was` at `row` into those of `now`; None has no keys."""
        if was == now:
            return
        old, new = self.keys(level, was), self.keys(level, now)
        for key in old - new:
            self._txn.delete(KEYS, secondary_key(level, key, row))
        for key in new - old:
            self._txn.put(KEYS, secondary_key(level, key, row), b"")

    def keys(self, level: Level, attributes: Attributes | None) -> set[bytes]:
        """Return the secondary keys of an entity. Raises ValueError for what is not a key."""
        if attributes is None:
            return set()
        keys = set(self._keyer(level, attributes))
        for key in keys:
            if not 0 < len(key) <= MAX_KEY or 0 in key:
                raise ValueError(f"a secondary key has 1 to {MAX_KEY} bytes, none zero: {key!r}")
        return keys
