"""A tier that counts what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vna.storage import WrappedTier

if TYPE_CHECKING:
    from vna.storage import Tier

__all__ = ["CountingTier"]


class CountingTier(WrappedTier):
    """Passes everything on; `asked` counts operations by verb, `moved` their bytes."""

    def __init__(self, inner: Tier) -> None:
        super().__init__(inner)
        self.asked: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """Count one operation."""
        self.asked[verb] += 1
        yield

    def took(self, verb: str, count: int) -> None:
        """Count bytes."""
        self.moved[verb] += count
