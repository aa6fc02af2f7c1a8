"""A state machine drives an archive beside a dict, on a disk that fails and loses power."""

import asyncio
import contextlib
import errno
import random
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mutations import LARGE, SMALL, content, image, rebuilt

from vna.archive import Archive, ArchiveSettings, Outcome, RetentionSettings
from vna.errors import Conflict, Full, NotFound, Unavailable
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.clocks import SetClock
from vna.testing.faulty import FaultyTier
from vna.testing.power import Disk, PowerTier, memory_folder, watch_index, write_image
from vna.types import Level

objects = st.tuples(st.integers(1, 2), st.integers(1, 3))
contents = st.tuples(st.integers(1, 3), st.sampled_from([SMALL, SMALL, LARGE]))
TAKEN = {Outcome.STORED, Outcome.REPLACED, Outcome.DUPLICATE}


class ArchiveModel(RuleBasedStateMachine):
    """`may` says for each object what it may hold: bytes, or None for nothing.

    It is one thing, except after a mutation that failed without saying whether it took effect;
    what recovery then makes of it stays.
    """

    def __init__(self):
        super().__init__()
        self.memory = contextlib.ExitStack()
        self.folder = self.memory.enter_context(memory_folder())
        self.runner = self.memory.enter_context(asyncio.Runner())
        self.may = {}
        self.studies = {}
        self.lives = 0
        self.now_ns = 10**18
        self.archive = None

    @initialize(policy=st.sampled_from(["replace", "replace", "keep", "reject"]))
    def begin(self, policy):
        self.settings = ArchiveSettings(
            data=self.folder / "0",
            duplicates=policy,
            stream_threshold_bytes=40_000,
            pack_size_bytes=30_000,
            index_map_bytes=1 << 20,
            threads=2,
            min_free_bytes=0,
        )
        self.open()

    def open(self):
        data = self.settings.data
        self.disk = Disk(data)
        self.faults = FaultyTier(DirectoryTier(data / "packs"))
        self.tier = PowerTier(self.faults, self.disk)
        self.clock = SetClock(self.now_ns)
        self.archive = Archive.open(self.settings, clock=self.clock, tier=self.tier)
        self.disk.begin()
        watch_index(self.archive._index, self.disk)
        self.archive.recover()
        for sop in self.may:
            found = content(self.archive, self.studies[sop], sop)
            assert found in self.may[sop], "what recovery decided is what may be"
            self.may[sop] = {found}

    # mutations --------------------------------------------------------------------------------
    @rule(name=objects, content=contents)
    def store(self, name, content):
        self.send([image(*name, *content)])

    @rule(name=objects, one=contents, other=contents)
    def store_two_contents_at_once(self, name, one, other):
        self.send([image(*name, *one), image(*name, *other)])

    @rule(names=st.sets(objects, min_size=2, max_size=5), content=contents)
    def store_many_at_once(self, names, content):
        self.send([image(*name, *content) for name in sorted(names)])

    def send(self, stores):
        before = {store.sop: self.may.get(store.sop, {None}) for store in stores}
        answers = self.runner.run(self.store_all(stores))
        for sop, old in before.items():
            self.studies[sop] = next(store.study for store in stores if store.sop == sop)
            taken, unknown = set(), set()
            for store, answer in zip(stores, answers, strict=True):
                if store.sop != sop:
                    continue
                if answer in TAKEN:
                    taken.add(store.file)
                elif answer is Outcome.KEPT or isinstance(answer, Conflict):
                    assert self.settings.duplicates != "replace"
                else:
                    assert isinstance(answer, Full | Unavailable), answer
                    unknown.add(store.file)
            if self.settings.duplicates != "replace" and old not in ({None}, taken):
                assert not taken or len(old) > 1, "the first one stays"
            self.may[sop] = (taken or old) | unknown

    async def store_all(self, stores):
        async def one(store):
            return (await self.archive.store(store.file, source="model")).outcome

        return await asyncio.gather(*(one(store) for store in stores), return_exceptions=True)

    @rule(name=objects, level=st.sampled_from([Level.INSTANCE, Level.SERIES, Level.STUDY]))
    def delete(self, name, level):
        study, number = name
        uid = {
            Level.INSTANCE: f"1.2.{study}.9.{number}",
            Level.SERIES: f"1.2.{study}.1",
            Level.STUDY: f"1.2.{study}",
        }[level]
        below = [
            sop
            for sop, its_study in self.studies.items()
            if uid in (sop, its_study, f"{its_study}.1")
        ]
        alive = [sop for sop in below if self.may[sop] != {None}]
        try:
            count = self.runner.run(self.archive.delete(level, uid, "model"))
        except NotFound:
            assert all(None in self.may[sop] for sop in below)
        except (Full, Unavailable):
            for sop in below:
                self.may[sop] = self.may[sop] | {None}
        else:
            assert count <= len(alive)
            for sop in below:
                self.may[sop] = {None}

    @rule(name=objects)
    def purge(self, name):
        """What is deleted of an object is gone for good; what is alive stays."""
        sop = f"1.2.{name[0]}.9.{name[1]}"
        with contextlib.suppress(Full, Unavailable):
            self.runner.run(self.archive.purge(sop, "model"))
            with contextlib.suppress(NotFound):
                self.purged(sop)

    def purged(self, sop):
        for history in self.archive.histories(sop):
            if history.deleted:
                assert None not in history.purges
                with pytest.raises(Conflict, match="purged"):
                    self.runner.run(self.archive.restore(sop))

    @rule(days=st.sampled_from([0.5, 5.0]))
    def let_go(self, days):
        with contextlib.suppress(Full, Unavailable):
            self.archive.let_go_of(RetentionSettings(deleted_days=days, versions_days=days))

    @rule(dead_percent=st.sampled_from([1, 40]))
    def compact(self, dead_percent):
        with contextlib.suppress(Full, Unavailable):
            self.archive.compact(dead_percent)

    # faults -----------------------------------------------------------------------------------
    @rule(left=st.integers(0, 60_000))
    def fill_the_disk(self, left):
        self.faults.space(left)

    @rule()
    def make_space(self):
        self.faults.space(None)

    @rule(most=st.sampled_from([None, 100, 5000]))
    def write_short(self, most):
        self.faults.short_writes(most)

    @rule(
        operation=st.sampled_from(["write", "write", "sync", "sync", "create", "truncate"]),
        error=st.sampled_from([errno.EIO, errno.ENOSPC]),
        after=st.integers(0, 3),
    )
    def fail(self, operation, error, after):
        self.faults.fail(operation, error, after=after)

    @rule(seconds=st.integers(-(10**6), 10**6))
    def set_the_clock(self, seconds):
        self.now_ns += seconds * 10**9
        self.clock.now_ns = self.now_ns

    # ends -------------------------------------------------------------------------------------
    @rule()
    def restart(self):
        self.archive.close()
        self.open()

    @rule()
    def restart_what_is_broken(self):
        """No precondition: which mutation meets a fault is a matter of timing, and what may be
        drawn must not be, or no failure could be replayed.
        """
        if self.archive.health().state == "broken":
            self.restart()

    @rule()
    def kill(self):
        """The process dies, the machine lives: all that was written is there, locks are free."""
        self.tier.off()
        self.restart()

    @rule(seed=st.integers(0, 2**32))
    def lose_power(self, seed):
        self.tier.off()
        files = self.disk.fall(len(self.disk.events), random.Random(seed))
        self.archive.close()
        self.lives += 1
        self.settings = replace(self.settings, data=self.folder / str(self.lives))
        write_image(files, self.settings.data)
        self.open()

    # what must hold ---------------------------------------------------------------------------
    @invariant()
    def holds_what_it_may(self):
        if self.archive is None:
            return
        alive = 0
        for sop, may in self.may.items():
            found = content(self.archive, self.studies[sop], sop)
            assert found in may, sop
            alive += found is not None
        assert self.archive.stats().counts.instances == alive

    def teardown(self):
        try:
            if self.archive is not None:
                self.restart()
                assert self.archive.check().damage == []
                assert list(self.archive._index.dump()) == rebuilt(
                    self.settings, self.folder / "rebuilt"
                )
        finally:
            if self.archive is not None:
                self.archive.close()
            self.memory.close()


class TestArchiveModel(ArchiveModel.TestCase):
    settings = settings(max_examples=40, stateful_step_count=25)


@pytest.mark.long
class TestArchiveModelForLong(ArchiveModel.TestCase):
    settings = settings(max_examples=2000, stateful_step_count=60)
