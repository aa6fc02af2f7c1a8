"""Peers that the archive knows by AE title."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Permission: TypeAlias = Literal["echo", "store", "query", "retrieve", "move_destination"]


@dataclass(frozen=True, slots=True)
class Remote:
    """A known application entity: where it listens, and what it may do here.

    A C-MOVE sends to it over up to `associations` at once. On each association up to `window`
    C-STOREs are under way, if it agrees (asynchronous operations, PS3.7 D.3.3.3).
    """

    ae_title: str
    host: str
    port: int
    may: frozenset[Permission] = frozenset(
        {"echo", "store", "query", "retrieve", "move_destination"}
    )
    associations: int = 1
    window: int = 1
