"""The half of the archive's door by which it is kept well: for background processes and commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vna.archive.access import Access, Accesses, AccessLog
from vna.archive.backup import BackupReport, backup
from vna.archive.check import CheckReport, check
from vna.archive.commit import Committer
from vna.archive.compact import (
    Compacted,
    Compaction,
    CompactionSettings,
    Victim,
)
from vna.archive.contents import series_of
from vna.archive.facts import Facts, SeriesFacts, TierFacts
from vna.archive.inventory import TierState, tier_states
from vna.archive.movement import Moved, Mover
from vna.archive.pace import Pace
from vna.archive.purge import (
    Purged,
    RetentionSettings,
    let_go_of,
)
from vna.archive.quarantine import LostBlob, Quarantine
from vna.archive.recall import Recalls
from vna.archive.reclaim import reclaim
from vna.archive.scrub import Scrub, ScrubSettings, ScrubState, read_scrub_state
from vna.archive.space import Space
from vna.archive.tiers import Tiers
from vna.archive.upkeep import upkeep
from vna.clock import Clock
from vna.errors import NotFound, Unavailable
from vna.index import Index
from vna.storage import BlobStore, Fresh

__all__ = ["CacheState", "Keeping"]

SCRUB_STATE = "scrub.json"
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class CacheState:
    """The bytes that the cache of far tiers holds, and about how many it may; 0: there is none."""

    bytes: int
    limit_bytes: int


class Keeping:
    """Checks, scrubs, compacts, moves and backs up what an archive holds; `Archive` is one.

    All of it blocks, and works beside running writers and readers of any process.
    """

    _data: Path
    _packs: Path
    _pack_size: int
    _clock: Clock
    _tiers: Tiers
    _space: Space
    _store: BlobStore
    _index: Index
    _fresh: Fresh | None
    _committer: Committer
    _quarantine: Quarantine
    _recalls: Recalls
    _access: AccessLog
    _accesses: Accesses
    _facts: Facts

    def check(self, progress: Callable[[int, int], None] | None = None) -> CheckReport:
        """Read back and verify every object; `progress(done, total)` follows it."""
        names = {number: each.name for number, each in self._tiers.names.items()}
        return check(self._store, self._index, self._quarantine, names, progress)

    def scrub(self, settings: ScrubSettings, stop: threading.Event) -> None:
        """Read all blobs back, over and over, until `stop`; one process of an archive does."""
        path = self._data / SCRUB_STATE
        Scrub(self._index, self._quarantine, self._clock, path, settings).run(stop)

    def scrub_state(self) -> ScrubState:
        """Return how far the scrub was when it last noted it."""
        return read_scrub_state(self._data / SCRUB_STATE)

    def compact(
        self, dead_percent: int, progress: Callable[[int, int], None] | None = None
    ) -> Compacted:
        """Write anew the packs of which at least `dead_percent` is not needed, and many small ones.

        Works beside running writers and readers; `progress(done, total)` counts bytes. Raises Busy
        while another process compacts, Full or Unavailable: what was done until then is done.
        """
        with closing(self._compaction()) as compaction:
            pace = Pace(self._clock, threading.Event())
            return compaction.run(dead_percent, pace, progress)

    def compactable(self, dead_percent: int) -> list[Victim]:
        """Return the packs that `compact` would write anew."""
        with closing(self._compaction()) as compaction:
            return compaction.due(dead_percent)

    def upkeep(
        self,
        compaction: CompactionSettings,
        retention: RetentionSettings,
        stop: threading.Event,
    ) -> None:
        """Let go of versions when their time is over, and compact packs, until `stop`."""

        def let_go() -> Purged:
            return self.let_go_of(retention)

        with closing(self._compaction()) as compacting:
            upkeep(compacting, compaction, let_go, self._clock, stop)

    def let_go(self) -> None:
        """Free what another process has removed, and what of the cache its disk is too full for.

        A removed pack takes space until it is closed; what the cache has can be fetched again.
        """
        self._store.let_go()
        if self._tiers.cache is not None:
            self._tiers.cache.give_way()

    def populate(self) -> bool:
        """Have next parts of the index and of fresh memory at hand; return whether there is more."""
        more = self._fresh is not None and self._fresh.populate()
        return self._index.populate() or more

    def _compaction(self) -> Compaction:
        return Compaction(
            self._data,
            self._store,
            self._index,
            self._quarantine,
            self._clock,
            pack_size=self._pack_size,
        )

    @property
    def clock(self) -> Clock:
        """What the archive takes time from."""
        return self._clock

    # tiers ------------------------------------------------------------------------------------
    @property
    def tier_names(self) -> list[str]:
        """The names of the tiers, from hot to cold."""
        return [each.name for each in self._tiers.names.values()]

    def tier_states(self) -> dict[str, TierState]:
        """Return what is on each tier, by name, from hot to cold; looks at every instance."""
        self._access.flush()
        reads = self._accesses.by_tier(self._clock.stamp() - DAY_NS)
        return tier_states(self._store, self._index, self._tiers, reads)

    def move(
        self,
        to: str,
        study_uid: str | None = None,
        series_uid: str | None = None,
        *,
        stop: threading.Event | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Moved:
        """Move the bulk of a study, a series, or all to the tier named `to`; copies stay until freed.

        Works beside running writers and readers; `progress(done, total)` counts instances. Raises
        NotFound, Invalid for a name that no tier has, Busy while another process moves or compacts
        (with `stop` it waits), Full, and Unavailable when a tier is away: what was moved until then
        is moved.
        """
        number = self._tiers.number(to)
        targets, total = self._series(study_uid, series_uid)
        done = 0

        def follow(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, max(total, done))

        with closing(self._mover(number, stop)) as mover:
            return mover.move(targets, follow)

    def move_series(
        self,
        to: str,
        series: Sequence[tuple[str, str]],
        pace: Pace,
    ) -> Moved:
        """Move series, by study and series UIDs, as `move` does; waits for its turn.

        Those that are gone are passed over. Raises Stopped as `pace` does.
        """
        with closing(self._mover(self._tiers.number(to), pace.stop, pace)) as mover:
            return mover.move(series)

    def series_facts(self) -> Iterator[SeriesFacts]:
        """Yield what policies go by of every series that can move, the oldest studies first."""
        self._access.flush()
        return self._facts.series(self._accesses.last())

    def tier_facts(self) -> list[TierFacts]:
        """Return what policies go by of each tier, from hot to cold."""
        return self._facts.tiers()

    def last_reads(self) -> Mapping[str, int]:
        """Return when studies were last read as the access log has it, ns since 1970, by their UIDs."""
        self._access.flush()
        return self._accesses.last()

    def accesses(self, since: int = 0) -> Iterator[Access]:
        """Yield the access log from `since` on (ns since 1970), roughly in order."""
        self._access.flush()
        return self._accesses.since(since)

    def _mover(self, number: int, stop: threading.Event | None, pace: Pace | None = None) -> Mover:
        return Mover(
            self._data,
            self._store,
            self._index,
            self._quarantine,
            self._clock,
            number,
            self._tiers.names[number].codec,
            self._tiers.copies,
            stop=stop,
            pace=pace,
            room=self._space.check_disk,
        )

    def reclaim(self, *, stop: threading.Event | None = None) -> int:
        """Remove packs of lower tiers in which nothing is needed; return how many that were.

        Raises Busy while another process moves or compacts (with `stop` it waits), Full, Unavailable.
        """
        return reclaim(self._data, self._store, self._index, self._clock, stop)

    def cache_state(self) -> CacheState:
        """Return what the cache of far tiers holds."""
        cache = self._tiers.cache
        return CacheState(cache.size() if cache else 0, cache.limit if cache else 0)

    def warm_cache(
        self,
        study_uid: str,
        series_uid: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        *,
        pace: Pace | None = None,
    ) -> int:
        """Have a study, or a series, in the cache of far tiers; return the bytes fetched.

        Raises NotFound, Unavailable when a tier is away, and Stopped as `pace` does.
        `progress(done, total)` counts series.
        """
        series, _ = self._series(study_uid, series_uid)
        try:
            return self._recalls.warm(list(series), progress, pace)
        except OSError as error:
            raise Unavailable(f"study {study_uid} cannot be fetched: {error}") from error

    def drop_cache(self) -> int:
        """Empty the cache of far tiers; return the bytes freed. Raises Unavailable."""
        try:
            return self._tiers.cache.clear() if self._tiers.cache else 0
        except OSError as error:
            raise Unavailable(f"the cache cannot be emptied: {error}") from error

    def _series(
        self, study_uid: str | None, series_uid: str | None
    ) -> tuple[Iterable[tuple[str, str]], int]:
        """Return the series meant, and their instances. Raises NotFound."""
        if study_uid is None and series_uid is None:
            with self._index.read() as reader:
                return series_of(self._index), reader.counts().instances
        with self._index.read() as reader:
            studies = [study_uid] if study_uid else reader.studies_of_series(series_uid or "")
        found = [each for uid in studies for each in series_of(self._index, uid, series_uid)]
        if not found:
            level = "study" if series_uid is None else "series"
            raise NotFound(f"{level} {series_uid or study_uid} is not in the archive")
        return found, sum(self._count(*each) for each in found)

    def _count(self, study_uid: str, series_uid: str) -> int:
        with self._index.read() as reader:
            study = reader.study(study_uid)
            series = reader.series(series_uid, study.id) if study else None
            return series.instances if series else 0

    def lost(self) -> list[LostBlob]:
        """Return the damaged blobs that objects need: what `check` and the scrub have found so far."""
        return self._quarantine.lost()

    def backup(
        self,
        folder: Path,
        progress: Callable[[int, int], None] | None = None,
        *,
        include_tiers: bool = False,
    ) -> BackupReport:
        """Bring the backup in `folder` to this point in time; `progress(done, total)` counts packs.

        Everything acknowledged before is in it, but for what is on lower tiers: with
        `include_tiers` that too. Works beside running writers. Raises Invalid for
        a folder that is something else, Busy while another backup runs there, Corrupt when its
        manifest is damaged, Full or Unavailable when it cannot be written.
        """
        return backup(
            self._data,
            self._packs,
            self._index,
            self._clock,
            folder=folder,
            lower=self._store if include_tiers else None,
            progress=progress,
        )

    def let_go_of(self, settings: RetentionSettings) -> Purged:
        """Purge what has been deleted or replaced for longer than it is to be kept."""
        return let_go_of(self._index, self._committer, self._clock, settings)
