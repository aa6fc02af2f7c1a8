"""The door of the archive room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, ParamSpec, Self, TypeVar

from vna.archive.access import Accesses, AccessLog
from vna.archive.blobs import BlobReads, NearReads, PresentReads, Suspects
from vna.archive.commit import Committer, Proposal
from vna.archive.facts import Facts
from vna.archive.flow import Flow
from vna.archive.glances import Glances
from vna.archive.history import History, histories, level_of
from vna.archive.hold import Hold
from vna.archive.identity import Identity, load_identity
from vna.archive.ingest import Expected, Form, Ingest, Stored, takes_at_once
from vna.archive.keeping import Keeping
from vna.archive.lookup import IndexLookup, PromptLookup, Recent
from vna.archive.memory import Memory
from vna.archive.offload import Offload
from vna.archive.patient import PatientStudy, patient_studies, study_known
from vna.archive.prepare import IngestRoom
from vna.archive.prompt import Held, PromptArchive
from vna.archive.purge import (
    Purged,
    purge_deleted,
    purge_version,
)
from vna.archive.quarantine import Quarantine
from vna.archive.query import PlannedQuery
from vna.archive.reading import Reading
from vna.archive.recall import Recalls
from vna.archive.recover import Recovered, recover
from vna.archive.restore import Restored, restore
from vna.archive.retrieve import BlockingRetrieval, Retrieval
from vna.archive.settings import ArchiveSettings
from vna.archive.space import Space
from vna.archive.tiers import Tiers, open_tiers
from vna.archive.turnstile import Turnstile
from vna.clock import Clock, SystemClock
from vna.dicom.keys import keys_of
from vna.errors import Deleted, Invalid, NotFound, Unavailable, VnaError, WouldWait
from vna.index import Change, Counts, Index
from vna.storage import BlobStore, DirectoryTier, Fresh, HotTier
from vna.types import DeleteCommit, Level, Match, Query

__all__ = ["Archive", "Health", "Load", "Stats"]

P = ParamSpec("P")
T = TypeVar("T")

FAR_THREADS = 16
"""Threads that may wait for tiers below the hot one: what is hot does not wait behind them."""
ANSWERS = 128
"""Matches that a front gets at once."""
RECENT_OBJECTS = 4096
"""Objects that are remembered after they were looked up, while the index does not change."""
MAX_EXPANDED_BYTES = 1 << 30
"""A deflated data set that inflates to more than this is kept and returned, but not looked into."""


@dataclass(frozen=True, slots=True)
class Stats:
    """How much an archive holds: entities, bytes of data sets, packs and their bytes on disk.

    Of those, `dead_bytes` are not needed: compaction frees them.
    """

    counts: Counts
    packs: int
    pack_bytes: int
    dead_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """What a process has in hand: mutations that wait for a commit, bytes of arriving objects."""

    queue: int
    held_bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """Whether an archive takes changes; reading goes on in any state.

    `full`: new objects are refused for want of space. `broken`: every change is refused after a
    failure; the archive tries again by itself. `reason` says why, in words.
    """

    state: Literal["ready", "full", "broken"]
    reason: str = ""


class Archive(Reading, Keeping):
    """Stores, finds, returns and deletes DICOM objects; one per process, after any fork.

    Methods that are coroutines belong to the event loop. The others may wait for a disk: call
    them through `run` or `stream` from a coroutine.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        identity: Identity,
        clock: Clock,
        hold: Hold,
        tiers: Tiers,
        *,
        fresh: Fresh | None,
    ) -> None:
        self.identity = identity
        self._data = settings.data
        self._packs = settings.packs
        self._pack_size = settings.pack_size_bytes
        self.keeps_zstd = any(
            codec != "raw" for codec in (settings.codec, *(tier.codec for tier in settings.tiers))
        )
        """Whether chunks may be stored in zstd, and `zstd_runs` has something to gain."""
        self._clock = clock
        self._hold = hold
        self._tiers = tiers
        self._fresh = fresh
        self._store = BlobStore(
            settings.storage(identity), self._tiers.hot, clock, self._tiers.lower
        )
        self._index = Index.open(settings.index(identity), keys_of)
        self._committer = Committer(self._store, self._index, clock, Turnstile(settings.data))
        self._offload = Offload(settings.threads)
        self._far = Offload(FAR_THREADS)
        self._space = Space(
            (settings.packs, settings.data / "index"),
            settings.min_free_bytes,
            settings.quota_bytes,
            self._index,
        )
        self._room = IngestRoom(
            settings,
            self._store,
            self._index,
            self._committer,
            self._offload,
            Memory(settings.memory_in_flight_bytes),
            self._space,
        )
        self._quarantine = Quarantine(self._store, self._index, self._committer)
        self._suspects = Suspects(self._quarantine, clock)
        self._recalls = Recalls(self._store, self._index, clock)
        blobs = BlobReads(self._store, self._index, self._suspects, self._recalls)
        near = NearReads(self._store, self._index, self._suspects, self._recalls)
        present = PresentReads(self._store.present)
        recent = Recent(self._index, RECENT_OBJECTS)
        self._glances = Glances(self._index, clock)
        at_hand = self._store.at_hand if self._tiers.lower else None
        self._plan = partial(PlannedQuery.of, at_hand=at_hand)
        names = {number: each.name for number, each in self._tiers.names.items()}
        self._access = AccessLog(settings.data, names, clock, settings.access_log_bytes)
        self._accesses = Accesses(settings.data)
        self._facts = Facts(self._index, self._tiers)
        self._present = Retrieval(present, PromptLookup(recent, self._glances), self._access)
        lookup = IndexLookup(self._index, recent, self._recalls)
        self._retrieval = BlockingRetrieval(blobs, lookup, self._access, MAX_EXPANDED_BYTES)
        self._near = BlockingRetrieval(near, lookup, self._access, MAX_EXPANDED_BYTES)
        self._flow = Flow(blobs, present, self._offload, self._far)
        held = Held(present, PromptLookup(recent, self._glances), self._access)
        self.prompt = PromptArchive(held, self._flow, self._plan, self._glances, self._index)
        """What can be read without waiting."""

    @classmethod
    def open(
        cls,
        settings: ArchiveSettings,
        *,
        clock: Clock | None = None,
        tier: HotTier | None = None,
        fresh: Fresh | None = None,
    ) -> Self:
        """Open the archive at `settings.data`, making it when there is none.

        Packs are in its folder `packs`, or on `tier`; what a worker stores stays in `fresh` for a
        while. Raises Invalid when the folder is not an archive of this format, Unavailable when it
        cannot be used, or its index is being rebuilt.
        """
        clock = clock or SystemClock()
        try:
            identity = load_identity(settings.data, clock)
        except OSError as error:
            raise Unavailable(
                f"cannot use the data folder {settings.data}: {error.strerror}"
            ) from error
        hold = Hold.shared(settings.data)
        try:
            tiers = open_tiers(
                settings.data,
                settings.tiers,
                settings.cache_bytes,
                clock,
                tier,
                directory=partial(DirectoryTier, direct=settings.direct_writes, fresh=fresh),
                min_free_bytes=settings.min_free_bytes,
            )
            return cls(settings, identity, clock, hold, tiers, fresh=fresh)
        except BaseException:
            hold.close()
            raise

    def load(self) -> Load:
        """Return what this process has in hand."""
        return Load(self._committer.waiting, self._room.memory.held)

    def close(self) -> None:
        """Finish what was accepted, seal this process's pack, let go of everything."""
        self._suspects.close()
        self._access.close()
        self._committer.close()
        self._recalls.close()
        self._offload.close()
        self._far.close()
        self._index.close()
        self._store.close()
        self._hold.close()

    def health(self) -> Health:
        """Return whether changes are taken, and why not."""
        if broken := self._committer.broken:
            return Health("broken", broken)
        try:
            full = self._space.full()
        except VnaError as error:
            return Health("broken", str(error))
        return Health("full", full) if full else Health("ready")

    @property
    def usable(self) -> bool:
        """False once only a new process can go on: the index does not even read any more."""
        return self._index.usable

    @property
    def tiers_away(self) -> dict[str, str]:
        """The tiers that cannot be reached, as this process knows, and why: what is there alone is not served."""
        every = self._tiers.breakers.items()
        return {name: tier.away for name, tier in every if tier.away}

    def seek_tiers(self) -> None:
        """Have those that are away looked for, when it is time; belongs to the event loop, does not wait."""
        for name in self.tiers_away:
            self._far.begin(self._tiers.breakers[name].probe)

    def recover(self) -> Recovered:
        """Settle what crashed processes left; run by the supervisor at start and after a crash."""
        return recover(self._store, self._index)

    # threads ----------------------------------------------------------------------------------
    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what blocking `work` returns, off the event loop."""
        return await self._offload.run(work, *args, **kwargs)

    def stream(self, pieces: Iterator[T]) -> AsyncGenerator[T, None]:
        """Yield what a blocking iterator yields, read ahead by one, off the event loop."""
        return self._offload.stream(pieces)

    # in ---------------------------------------------------------------------------------------
    def ingest(
        self,
        *,
        form: Form,
        source: str,
        transfer_syntax: str | None = None,
        sop_class: str | None = None,
        sop_uid: str | None = None,
        study_uid: str | None = None,
    ) -> Ingest:
        """Begin to take one object; see `Ingest`.

        `form` is "dataset" (bare, in `transfer_syntax`) or "part10". `source` names the sender in
        the object's record. UIDs given are what the sender announced: another object is refused.
        """
        expected = Expected(sop_class, sop_uid, study_uid)
        return Ingest(self._room, form, transfer_syntax, source, expected)

    def takes_at_once(self, length: int) -> bool:
        """Whether a data set of which so many bytes have come may be given to `Ingest.take`."""
        return takes_at_once(self._room, length)

    async def store(self, data: bytes, *, source: str, form: Form = "part10") -> Stored:
        """Take one whole Part 10 object; return when it is durable and findable."""
        ingest = self.ingest(form=form, source=source)
        try:
            await ingest.write(data)
            return await ingest.commit()
        finally:
            ingest.abort()

    async def delete(self, level: Level, uid: str, reason: str) -> int:
        """Delete what is below `uid` at `level`; return how many instances that were.

        Durable and invisible on return. Raises NotFound or Deleted when nothing is there, Invalid
        for a patient: that is deleted study by study.
        """
        if level is Level.PATIENT:
            raise Invalid("a patient is deleted study by study")

        def record(stamp: int) -> DeleteCommit:
            return DeleteCommit(stamp, level, uid, reason)

        await self.run(self._must_exist, level, uid)
        done = self._committer.submit(Proposal(record))
        applied = await asyncio.shield(asyncio.wrap_future(done))
        return applied.count

    async def restore(self, uid: str, *, version: int | None = None, reason: str = "") -> Restored:
        """Bring back what was deleted of a study, series or instance; or a version of an instance.

        A version is named by its stamp, and becomes the current one; without it a deleted instance
        comes back as it was. Of a study or series comes back what its own delete took: what was
        deleted below it on its own stays so. Durable and visible on return. Raises NotFound, and
        Conflict when there is nothing to bring back.
        """
        return await restore(self._room, self._retrieval, uid, version, reason)

    async def purge(self, uid: str, reason: str) -> Purged:
        """Let go for good of every deleted instance below a study or series, or of an instance.

        What is alive is not touched: delete it first. Nothing brings back what was purged but
        storing it anew; its bytes are free once their packs are compacted. Durable on return.
        """
        return await self.run(purge_deleted, self._index, self._committer, uid, reason)

    async def erase(self, uid: str, reason: str) -> Purged:
        """Delete what is alive of a study, series or instance, and purge all of it."""
        level = await self.run(self._level, uid)
        with suppress(NotFound):  # nothing of it is alive
            await self.delete(level, uid, reason)
        return await self.purge(uid, reason)

    async def purge_version(self, sop_uid: str, version: int, reason: str) -> Purged:
        """Let go for good of one version of an instance. Raises NotFound, Conflict."""
        return await self.run(purge_version, self._index, self._committer, sop_uid, version, reason)

    def _level(self, uid: str) -> Level:
        with self._index.read() as reader:
            return level_of(reader, uid)

    def _must_exist(self, level: Level, uid: str) -> None:
        found: object
        with self._index.read() as reader:
            if level is Level.STUDY:
                found, gone = reader.study(uid), reader.deleted_study(uid)
            elif level is Level.SERIES:
                found, gone = reader.series(uid), reader.deleted_series(uid)
            else:
                found, gone = reader.instance(uid), reader.tombstone(uid) is not None
        if found is None:
            raise (Deleted if gone else NotFound)(
                f"{level.name.lower()} {uid} is not in the archive"
            )

    # find -------------------------------------------------------------------------------------
    def query(self, query: Query) -> Iterator[Match]:
        """Yield what matches, in arrival order. Raises Invalid for a key that cannot be matched."""
        return self.planned(query).matches(self._index)

    def planned(self, query: Query) -> PlannedQuery:
        """Return a query ready to be asked, by one of the two below, and count it. Raises as `query`."""
        planned = self._plan(query)
        planned.count()
        return planned

    def matches(self, planned: PlannedQuery) -> Iterator[Match]:
        """Yield what matches, as `query` does."""
        return planned.matches(self._index)

    def at_once(self, planned: PlannedQuery) -> list[Match] | None:
        """Return all that matches if that needs no waiting, and few rows; None if a thread must look.

        Belongs to the event loop.
        """
        try:
            return planned.glanced(self._glances)
        except WouldWait:
            return None

    async def answers(self, query: Query) -> AsyncIterator[list[Match]]:
        """Yield the matches of a query in batches."""
        planned = self.planned(query)
        if (few := self.at_once(planned)) is not None:
            if few:
                yield few
            return
        matches = self.matches(planned)
        while batch := await self.run(lambda: list(islice(matches, ANSWERS))):
            yield batch

    def histories(self, uid: str) -> Iterator[History]:
        """Yield the versions of an instance, or of all in a series or study. Raises NotFound."""
        return histories(self._index, uid)

    def study(self, uid: str) -> PatientStudy | None:
        """Return what is known of a study; None where nothing of it is alive."""
        return study_known(self._index, uid)

    def patient_studies(self, patient: str) -> list[PatientStudy]:
        """Return the studies of a patient, named by `dicom.attributes.patient_key`."""
        return patient_studies(self._index, patient)

    # watch ------------------------------------------------------------------------------------
    def changes(self, after: int, limit: int) -> list[Change]:
        """Return up to `limit` changes that follow number `after`, without gaps."""
        with self._index.read() as reader:
            return reader.changes(after, limit)

    def last_change(self) -> Change | None:
        """Return the newest change, None where there was none yet."""
        with self._index.read() as reader:
            return reader.newest_change()

    def stats(self) -> Stats:
        """Return how much the archive holds."""
        with self._index.read() as reader:
            counts, uses = reader.counts(), reader.packs()
        packs = self._store.packs()
        dead = sum(uses[pack.id].dead for pack in packs if pack.id in uses)
        return Stats(counts, len(packs), sum(pack.size for pack in packs), dead)

    def free_bytes(self) -> int:
        """Return the space that the file systems of packs and index have left, the smaller one."""
        return self._space.free_bytes()
