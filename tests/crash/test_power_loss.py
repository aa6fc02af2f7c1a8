"""Power loss at every sync: what was acknowledged is there, and nothing that was never sent."""

import asyncio
import itertools
import random
import shutil
from dataclasses import replace

import pytest
from mutations import LARGE, Compact, Delete, Purge, Store, content, image, rebuilt

from vna.archive import Archive, ArchiveSettings, Outcome
from vna.errors import Conflict, NotFound
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.power import Disk, PowerTier, memory_folder, watch_index, write_image
from vna.types import Level


@pytest.fixture
def memory():
    with memory_folder() as folder:
        yield folder


def opened(settings):
    """Open an archive whose disk keeps a journal."""
    disk = Disk(settings.data)
    tier = PowerTier(DirectoryTier(settings.data / "packs"), disk)
    archive = Archive.open(settings, tier=tier)
    disk.begin()
    watch_index(archive._index, disk)
    return archive, disk


def workload(rng, rounds):
    """Yield steps: mutations that are sent at once, and whose answers are waited for.

    None of them is a checkpoint of the index.
    """
    for number_of_round in range(rounds):
        if rng.random() < 0.2:
            yield []
        choice = rng.random()
        study, number, content = rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 6)
        if choice < 0.35:
            yield [image(study, number, content)]
        elif choice < 0.5:  # dedup, and several commits in a group
            yield [image(study, n, content) for n in range(1, rng.randint(3, 6))]
        elif choice < 0.7:  # a new object, two contents: policy is judged when they are applied
            number = 10 + number_of_round
            yield [image(study, number, content), image(study, number, content + 1)]
        elif choice < 0.82:
            yield [image(study, number, content, LARGE)]
        elif choice < 0.9:
            yield [Delete(Level.INSTANCE, f"1.2.{study}.9.{number}")]
        else:
            yield [Delete(Level.STUDY, f"1.2.{study}")]


def purging(rng, rounds):
    """Yield steps that leave much behind that nobody needs, and compactions beside stores."""
    for _ in range(rounds):
        study = rng.randint(1, 2)
        names = [(study, n, rng.randint(1, 6)) for n in range(1, rng.randint(3, 6))]
        yield [image(*name, rng.choice([6000, 6000, LARGE])) for name in names]
        if rng.random() < 0.6:
            yield [Purge(Level.INSTANCE, f"1.2.{study}.9.{rng.randint(1, 4)}")]
        else:
            yield [rng.choice([Delete, Purge])(Level.STUDY, f"1.2.{study}")]
        yield [Compact(), image(3 - study, rng.randint(1, 4), rng.randint(1, 6), 6000)]


async def play(archive, disk, steps):
    """Do the work; write into the journal what is sent, and what is acknowledged."""

    async def one(name, mutation):
        disk.note(("sent", name, mutation))
        try:
            if isinstance(mutation, Delete):
                await archive.delete(mutation.level, mutation.uid, "test")
                if isinstance(mutation, Purge):
                    await archive.purge(mutation.uid, "test")
                done = True
            elif isinstance(mutation, Compact):
                done = bool((await archive.run(archive.compact, 20)).packs)
            else:
                stored = await archive.store(mutation.file, source="test")
                done = stored.outcome is not Outcome.KEPT
        except (Conflict, NotFound):
            done = False
        disk.note(("answered", name, done))

    for step, mutations in enumerate(steps):
        if not mutations:
            archive._index.sync()
        await asyncio.gather(*(one((step, n), mutation) for n, mutation in enumerate(mutations)))


def allowed_contents(notes):
    """Return for each object what it may hold: bytes, or None for nothing."""
    allowed, studies = {}, {}
    answers = {name: done for kind, name, *rest in notes if kind == "answered" for done in rest}
    sent = [(name, mutation) for kind, name, *rest in notes if kind == "sent" for mutation in rest]
    for _, step in itertools.groupby(sent, key=lambda item: item[0][0]):
        results = {}
        for name, mutation in step:
            if isinstance(mutation, Compact):
                continue
            if isinstance(mutation, Store):
                studies[mutation.sop] = mutation.study
                touched, result = [mutation.sop], mutation.file
            else:
                result = None
                touched = [sop for sop, study in studies.items() if mutation.uid in (sop, study)]
            for sop in touched:
                results.setdefault(sop, []).append((answers.get(name), result))
        for sop, outcomes in results.items():
            # True: it is so; False: refused, nothing changed; None: no answer yet, either way.
            new = {result for done, result in outcomes if done is not False}
            certain = any(done for done, _ in outcomes)
            allowed[sop] = new if certain else new | allowed.get(sop, {None})
    return allowed, studies


def look(archive, notes):
    """Check what an archive holds against what was sent and acknowledged."""
    allowed, studies = allowed_contents(notes)
    alive = 0
    for sop, contents in allowed.items():
        found = content(archive, studies[sop], sop)
        assert found in contents, sop
        alive += found is not None
    assert archive.stats().counts.instances == alive, "nothing else is visible"
    assert archive.check().damage == []


def survive(settings, files, notes, chance, depth=0):
    """Start an archive on what a power loss left, and see that all is well."""
    write_image(files, settings.data)
    archive, disk = opened(settings)
    try:
        archive.recover()
        assert archive.recover().packs == 0, "what was settled stays settled"
        look(archive, notes)
        assert list(archive._index.dump()) == rebuilt(settings, settings.data / "rebuilt")
        if any(note[0] == "sent" and isinstance(note[2], Compact) for note in notes):
            archive.compact(10)
            look(archive, notes)
        after = image(7, 7, 7, LARGE)
        asyncio.run(archive.store(after.file, source="after"))
        assert content(archive, after.study, after.sop) == after.file
        moment = chance.randrange(len(disk.events) + 1)
    finally:
        archive.close()
    if depth == 0 and chance.random() < 0.3:  # power fails again, at some point of all that
        again = disk.fall(moment, chance)
        again = {name: data for name, data in again.items() if "rebuilt" not in name}
        left = [*notes, ("sent", (-1, 0), after)]
        survive(sibling(settings), again, left, chance, depth + 1)


def sibling(settings, number=0):
    """Return the settings of another archive of the same kind."""
    return replace(settings, data=settings.data.with_name(f"{settings.data.name}-{number}"))


def lose_power(memory, policy, seed, rounds, work=workload):
    """Let an archive work, and have power lost at every sync of that."""
    chance = random.Random(seed)
    settings = ArchiveSettings(
        data=memory / "live",
        duplicates=policy,
        stream_threshold_bytes=40_000,
        pack_size_bytes=30_000,
        index_map_bytes=1 << 20,
        threads=2,
    )
    archive, disk = opened(settings)
    try:
        asyncio.run(play(archive, disk, work(chance, rounds)))
        look(archive, disk.notes(len(disk.events)))
    finally:
        archive.close()
    for moment in disk.moments():
        case = sibling(settings, moment)
        files = disk.fall(moment, chance)
        try:
            survive(case, files, disk.notes(moment), chance)
        except BaseException as error:
            error.add_note(f"policy {policy}, seed {seed}, moment {moment}")
            raise
        shutil.rmtree(case.data)
        shutil.rmtree(sibling(case).data, ignore_errors=True)


@pytest.mark.crash
@pytest.mark.parametrize(("policy", "rounds"), [("replace", 16), ("reject", 12), ("keep", 8)])
def test_power_loss_at_every_sync(memory, policy, rounds):
    lose_power(memory, policy, 1, rounds)


@pytest.mark.crash
def test_power_loss_at_every_sync_of_compactions(memory):
    lose_power(memory, "replace", 3, 3, purging)


@pytest.mark.long
@pytest.mark.crash
@pytest.mark.parametrize("policy", ["replace", "reject", "keep"])
@pytest.mark.parametrize("seed", range(2, 12))
def test_power_loss_at_every_sync_of_longer_compactions(memory, policy, seed):
    lose_power(memory, policy, seed, 10, purging)


@pytest.mark.long
@pytest.mark.crash
@pytest.mark.parametrize("policy", ["replace", "reject", "keep"])
@pytest.mark.parametrize("seed", range(2, 40))
def test_power_loss_at_every_sync_of_longer_work(memory, policy, seed):
    lose_power(memory, policy, seed, 40)
