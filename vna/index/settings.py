"""What an index is opened with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vna.types import Attributes, Level

__all__ = ["IndexSettings", "Keyer"]

Keyer: TypeAlias = Callable[[Level, Attributes], Iterable[bytes]]
"""Gives the secondary keys of an entity: 1 to 400 bytes each, none of them zero. Pure: the same
attributes always have the same keys."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Where the index is and how it uses the machine.

    `path` is the folder of data.mdb and lock.mdb, made when missing, on a local file system.
    `archive_uuid` names the archive it belongs to; another archive's index does not open.
    The map begins at `map_size_bytes` and doubles when full, up to `max_map_size_bytes`.
    `remap_wait_s` bounds how long growth waits for this process's open readers. `max_readers`
    bounds concurrent snapshots of all processes; the first process to open decides it.
    `memory_bytes` of the file at most are held in memory by `Index.populate`.
    `sync=False` is for building an index from packs: nothing is durable before `Index.sync`.
    """

    path: Path
    archive_uuid: str = ""
    map_size_bytes: int = 4 << 30
    max_map_size_bytes: int = 16 << 40
    max_readers: int = 2048
    remap_wait_s: float = 30.0
    memory_bytes: int = 0
    sync: bool = True
