"""Compaction: packs with much in them that nobody needs, and many small ones, written anew.

A pack is chosen, what is needed of it is moved (relocate.py), and it is removed (vacate.py). How far
it is stands in the index, with each step, so that a compaction goes on where it was stopped or killed.
One process of an archive compacts at a time: the lock is taken for each pack.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from vna.archive.alone import Alone
from vna.archive.pace import Background, Pace
from vna.archive.quarantine import Quarantine
from vna.archive.recover import recover
from vna.archive.relocate import Relocation
from vna.archive.turnstile import Turnstile
from vna.archive.vacate import damage_holds, unaccounted, vacate
from vna.clock import Clock
from vna.errors import Busy, Corrupt, Full
from vna.index import Index
from vna.observe import metrics
from vna.storage import BlobStore, MissingPack, pack_name
from vna.types import PackId

__all__ = [
    "Compacted",
    "Compaction",
    "CompactionSettings",
    "Victim",
    "choose",
]

log = logging.getLogger(__name__)

SMALL = 16
"""A pack below this part of the pack size is small."""
MANY = 8
"""So many small packs are made into one."""


@dataclass(frozen=True, slots=True)
class CompactionSettings(Background):
    """How hard packs are compacted in the background; one is due when `dead_percent` of it are not needed."""

    dead_percent: int = 25


@dataclass(frozen=True, slots=True)
class Victim:
    """A pack that is due, its bytes, those not needed of them, and why: "dead" or "small"."""

    pack: PackId
    size: int
    dead: int
    why: str

    @property
    def name(self) -> str:
        """The name of its file, without suffix."""
        return pack_name(self.pack)


@dataclass(slots=True)
class Compacted:
    """What a run did: packs removed, the bytes that freed, and those written for it.

    `left` counts packs that had to stay, for now or because of damage; `damaged` names blobs.
    """

    packs: int
    freed: int
    written: int
    left: int
    damaged: list[str]


def choose(
    store: BlobStore,
    index: Index,
    dead_percent: int,
    pack_size: int,
    but: Collection[PackId] = (),
) -> list[Victim]:
    """Return the packs that are due, those with the most to free first, small ones last.

    A pack that is being written, or is not applied to its end, is not; nor is one that damage holds,
    or one of `but`.
    """
    dead: list[Victim] = []
    small: list[Victim] = []
    packs = store.packs()
    with index.read() as reader:
        uses, held = reader.packs(), damage_holds(reader)
    for pack in packs:
        use = uses.get(pack.id) if pack.id not in but else None
        if use is None or use.mark != pack.size or (pack.id in held and not use.live):
            continue
        if use.moved >= use.mark or (use.dead and use.dead * 100 >= dead_percent * pack.size):
            dead.append(Victim(pack.id, pack.size, pack.size - use.live, "dead"))
        elif pack.size * SMALL < pack_size:
            small.append(Victim(pack.id, pack.size, use.dead, "small"))
    dead.sort(key=lambda victim: (-victim.dead, victim.pack))
    due = dead + (small if len(small) >= MANY else [])
    return [victim for victim in due if _sealed(store, victim.pack)]


def _sealed(store: BlobStore, pack: PackId) -> bool:
    try:
        return store.sealed(pack)
    except MissingPack:
        return False


class Compaction:
    """Compacts an archive. One thread."""

    def __init__(
        self,
        data: Path,
        store: BlobStore,
        index: Index,
        quarantine: Quarantine,
        clock: Clock,
        *,
        pack_size: int,
    ) -> None:
        self._alone = Alone(data)
        self._turnstile = Turnstile(data)
        self._store = store
        self._index = index
        self._quarantine = quarantine
        self._clock = clock
        self._pack_size = pack_size
        self._held: set[PackId] = set()

    def close(self) -> None:
        """Let go of the locks."""
        self._turnstile.close()

    def due(self, dead_percent: int) -> list[Victim]:
        """Return what a run would compact; settles first what dead processes left.

        Packs that were found to hide records are not looked at again: that takes the whole index.
        """
        recover(self._store, self._index)
        return choose(self._store, self._index, dead_percent, self._pack_size, self._held)

    def run(
        self,
        dead_percent: int,
        pace: Pace,
        progress: Callable[[int, int], None] | None = None,
        *,
        stop: threading.Event | None = None,
    ) -> Compacted:
        """Compact all that is due; `progress(done, total)` counts bytes of packs.

        Raises Stopped as `pace` does, Busy while another process compacts or moves (with `stop` it
        waits for its turn until that is set), Full or Unavailable.
        """
        victims = self.due(dead_percent)
        total = sum(victim.size for victim in victims)
        done = 0

        def follow(size: int) -> None:
            pace(size)
            if progress is not None:
                progress(min(done + size, total), total)

        compacted = Compacted(0, 0, 0, 0, [])
        relocation = Relocation(
            self._store, self._index, self._quarantine, self._clock, pace=follow
        )
        try:
            for victim in victims:
                if not self._compact(victim, relocation, compacted, stop):
                    break
                done += victim.size
                follow(0)
        finally:
            relocation.close()
            compacted.damaged = relocation.done.damaged
        return compacted

    def _compact(
        self,
        victim: Victim,
        relocation: Relocation,
        compacted: Compacted,
        stop: threading.Event | None,
    ) -> bool:
        """Compact one pack, unless it is not due any more: another process may have been first.

        Returns false where it is of no use to go on: stores are not to be held up for each pack.
        """
        before = relocation.done.bytes
        removed, go_on = False, True
        with self._alone.taken(stop):
            if not self._store.has(victim.pack):
                return True
            try:
                if not self._hides_records(victim):
                    relocation.move_pack(victim.pack)
                    removed = vacate(self._store, self._index, self._turnstile, victim.pack)
            except Corrupt as error:
                log.warning("pack %s cannot be compacted: %s", victim.name, error)
            except Full:
                raise
            except Busy as error:
                log.warning("%s", error)
                go_on = False
            written = relocation.done.bytes - before
            compacted.written += written
            metrics.COMPACTION_WRITTEN.add(by=written)
            if not removed:
                compacted.left += 1
                return go_on
            compacted.packs += 1
            compacted.freed += victim.size
            metrics.COMPACTED_PACKS.add()
            metrics.COMPACTED_BYTES.add(by=victim.size)
        log.info("pack %s compacted: %d bytes, %d needed", victim.name, victim.size, written)
        return True

    def _hides_records(self, victim: Victim) -> bool:
        """Say whether damage hides what may be needed of a pack; such a pack is left as it is.

        Once it is mended all of it is moved, so nothing of it may be said to have moved before.
        """
        span = unaccounted(self._store, self._index, victim.pack)
        if span is None:
            return False
        self._held.add(victim.pack)
        log.warning(
            "pack %s is not compacted: bytes %d to %d are damaged, and may hold commit records",
            victim.name,
            span.offset,
            span.end,
        )
        return True
