"""What goes into `Index.apply` and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from vna.types import BlobPlace, Commit

__all__ = ["Applied", "Mutation", "Outcome"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A commit, and the blobs that became durable with it.

    `commit` is None for blobs found in a pack whose commit record is elsewhere.
    """

    commit: Commit | None
    blobs: Sequence[tuple[bytes, BlobPlace]] = ()


class Outcome(Enum):
    """What became of a mutation."""

    STORED = "stored"
    """The instance is new here, or alive again."""
    REPLACED = "replaced"
    """The instance has another version; the newest stamp is current, the others are kept."""
    REPAIRED = "repaired"
    """The same bytes are here already; what of them was damaged has been stored again."""
    DUPLICATE = "duplicate"
    """The same bytes are here already, or this very store was applied before."""
    KEPT = "kept"
    """Policy `keep`: the first one stays, this one is not taken."""
    REJECTED = "rejected"
    """Policy `reject`: this one is refused."""
    DELETED = "deleted"
    """Instances were deleted."""
    PURGED = "purged"
    """Versions of an instance were let go for good."""
    NOTHING = "nothing"
    """No visible effect: a store older than a delete (its version is kept in the tombstone), a
    voided store, a delete that found nothing alive, a void."""


REFUSED: Final = (Outcome.KEPT, Outcome.REJECTED)
"""Outcomes of a store that was not taken, and needs a void: replay would take it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one mutation did; `count` instances became visible, changed or vanished by it."""

    outcome: Outcome
    count: int
