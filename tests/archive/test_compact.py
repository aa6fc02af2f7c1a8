"""Compaction and purges: what is needed moves and stays readable, what is not is freed, and a
rebuild from the packs that are left gives the same index."""

import asyncio
import contextlib
import random
import shutil
import subprocess
import sys
import time

import pytest
from lives import Life, image

from vna.archive import Archive, Outcome, restore_backup
from vna.archive.alone import Alone
from vna.archive.prepare import IngestRoom
from vna.archive.purge import purge_deleted
from vna.archive.recover import missing_packs
from vna.archive.relocate import Relocation
from vna.archive.turnstile import Turnstile
from vna.archive.vacate import vacate
from vna.clock import SystemClock
from vna.errors import Busy, Conflict, Deleted, Unavailable
from vna.storage import CommitRecord
from vna.testing.images import ct_image
from vna.types import Level


@pytest.fixture
def life(folder):
    opened = Life(folder)
    yield opened
    opened.archive.close()


async def test_purged_bytes_are_freed_and_the_rest_stays(life):
    files = await life.fill(range(60))
    archive = life.again()
    before = archive.stats()
    for number in range(60):
        if number % 4:
            purged = await life.purge(Level.INSTANCE, f"1.2.3.{number}")
            assert (purged.instances, purged.versions) == (1, 1)
    assert archive.stats().dead_bytes > 45 * 5000
    assert archive.compactable(25)
    done = archive.compact(25)
    assert done.left == 0
    assert done.packs >= 5
    after = archive.stats()
    assert after.dead_bytes < before.pack_bytes // 20
    assert after.pack_bytes < before.pack_bytes // 2
    for number in range(0, 60, 4):
        assert life.content(number) == files[number]
    with pytest.raises(Deleted):
        life.content(1)
    life.must_be_whole()
    assert archive.compactable(25) == []
    life.again()
    life.must_be_whole()


async def test_what_was_purged_comes_back_only_by_storing_it(life):
    file = image(1)
    archive = life.archive
    await archive.store(file, source="test")
    await archive.store(image(1, content=7), source="test")
    (history,) = archive.histories("1.2.3.1")
    current, old = (version.stamp for version in history.versions)
    await archive.purge_version("1.2.3.1", old, "too old")
    (history,) = archive.histories("1.2.3.1")
    assert [purge and purge.reason for purge in history.purges] == [None, "too old"]
    with pytest.raises(Conflict, match=r"was purged: too old"):
        await archive.restore("1.2.3.1", version=old)
    with pytest.raises(Conflict, match="current"):
        await archive.purge_version("1.2.3.1", current, "no")
    assert (await life.purge(Level.STUDY, "1.2.1")).versions == 1
    with pytest.raises(Conflict, match="gone for good"):
        await archive.restore("1.2.1")
    assert (await archive.purge("1.2.1", "once more")).versions == 0
    assert (await archive.store(file, source="test")).outcome is Outcome.STORED
    assert life.content(1) == file
    life.again().compact(10)
    assert life.content(1) == file
    life.must_be_whole()


async def test_small_packs_are_made_one(life):
    files = {}
    for number in range(9):
        files |= await life.fill([number], size=500)
        life.again()
    assert len(life.packs) == 9
    assert [victim.why for victim in life.archive.compactable(25)] == ["small"] * 9
    done = life.archive.compact(25)
    assert (done.packs, done.left) == (9, 0)
    assert len(life.packs) == 1
    assert {number: life.content(number) for number in files} == files
    life.must_be_whole()


async def test_refused_stores_stay_refused_after_their_packs_moved(folder):
    life = Life(folder, duplicates="keep")
    try:
        two = [image(1, content=content, size=500) for content in (5, 6)]
        await asyncio.gather(*(life.archive.store(file, source="test") for file in two))
        for number in range(2, 12):
            life.again()
            await life.fill([number], size=500)
        kept = life.content(1)
        assert life.archive.compact(25).packs >= 8
        assert life.content(1) == kept
        life.must_be_whole()
    finally:
        life.archive.close()


async def test_a_large_object_that_nobody_needs_is_freed(life):
    await life.fill([1], size=90_000)
    await life.fill([2])
    await life.purge(Level.INSTANCE, "1.2.3.1")
    before = life.archive.stats()
    assert life.archive.compact(25).packs == 1
    assert life.archive.stats().pack_bytes < before.pack_bytes - 80_000
    life.must_be_whole()


@pytest.mark.parametrize("size", [5000, 90_000], ids=["in memory", "streamed"])
async def test_a_store_that_shares_a_blob_being_let_go_of_brings_it_again(life, monkeypatch, size):
    """The blob is purged and its pack compacted between the look for it and the commit."""
    first, second = image(1, content=9, size=size), image(2, content=9, size=size)
    await life.archive.store(first, source="test")
    archive = life.again()
    packs = life.packs
    await archive.delete(Level.INSTANCE, "1.2.3.1", "test")
    enqueue, shared = archive._committer.enqueue, []

    def purge_first(proposal, done):
        shared.extend(proposal.shared)
        monkeypatch.undo()
        purge_deleted(archive._index, archive._committer, "1.2.3.1", "test")
        assert archive.compact(1).packs == len(packs)
        enqueue(proposal, done)

    monkeypatch.setattr(archive._committer, "enqueue", purge_first)
    assert (await archive.store(second, source="test")).outcome is Outcome.STORED
    assert len(shared) == (size > 5000), "what is in memory is judged in the commit itself"
    assert not any(path.exists() for path in packs)
    assert life.content(2) == second
    life.must_be_whole()


async def test_a_pack_stays_while_a_group_goes_on(life):
    await life.fill(range(3))
    archive = life.again()
    await life.purge(Level.STUDY, "1.2.1")
    group = Turnstile(life.settings.data)
    group.enter()
    try:
        assert archive.compact(1).left == 1
    finally:
        group.leave()
    assert archive.compact(1).packs == 1
    group.close()


async def test_what_is_damaged_stays_and_the_rest_moves(life):
    files = await life.fill(range(6))
    archive = life.again()
    pack = life.packs[0]
    where = pack.read_bytes().index(files[2][-4000:-3000])
    with pack.open("r+b") as file:
        file.seek(where)
        file.write(b"\0" * 8)
    await life.purge(Level.STUDY, "1.2.1")
    done = archive.compact(1)
    assert done.left == 1
    assert len(done.damaged) == 1
    assert pack.exists()
    for number in (0, 3, 5):
        assert life.content(number) == files[number]
    assert archive.compactable(1) == []
    await archive.store(files[2], source="again")
    assert archive.compact(1).packs == 1
    assert not pack.exists()
    for number in (0, 2, 3, 5):
        assert life.content(number) == files[number]
    life.must_be_whole()


def flip(path, at):
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


async def test_a_pack_whose_commits_are_damaged_stays_until_it_is_mended(life, caplog):
    """The index may be the only one to know what they said; of a mended pack they move."""
    files = await life.fill(range(6))
    archive = life.again()
    (pack,) = life.packs
    walk = archive._store.records(archive._store.packs()[0].id)
    third = [each for each in walk if isinstance(each, CommitRecord)][2]
    flip(pack, third.offset + 120)
    await life.purge(Level.STUDY, "1.2.1")
    packs = life.packs
    assert archive.compactable(1)
    done = archive.compact(1)
    assert (done.packs, done.left, done.written) == (0, 1, 0)
    assert f"bytes {third.offset} to {third.end} are damaged" in caplog.text
    for _ in range(2):
        archive = life.again()
        assert archive.compact(1).written == 0
    with contextlib.closing(archive._compaction()) as compaction:
        assert [compaction.run(1, lambda _: None).left for _ in range(2)] == [1, 0]
    assert life.packs == packs
    assert len(archive.check().damage) == 1
    flip(pack, third.offset + 120)
    archive = life.again()
    assert archive.compact(1).left == 0
    assert not pack.exists()
    for number in (0, 2, 3, 5):
        assert life.content(number) == files[number]
    life.must_be_whole()


async def test_damage_that_hides_only_known_blobs_holds_no_pack(life):
    files = await life.fill(range(6))
    archive = life.again()
    (pack,) = life.packs
    with archive._index.read() as reader:
        (stored,) = archive.objects("1.2.1", None, "1.2.3.1")
        place = reader.blob(stored.version.holes[-1].blob)
    flip(pack, place.offset + 20)
    flip(pack, 20)  # the header of the pack, which hides nothing
    assert len(archive.check().damage) >= 2
    await life.purge(Level.STUDY, "1.2.1")
    assert archive.compact(1).left == 0
    assert not pack.exists()
    for number in (0, 2, 3, 5):
        assert life.content(number) == files[number]
    life.must_be_whole()


async def test_a_pack_that_comes_back_is_known(life):
    """A removal is not waited for: after a power loss the pack may be there again."""
    files = await life.fill(range(9))
    archive = life.again()
    old = {path: path.read_bytes() for path in life.packs}
    await life.purge(Level.STUDY, "1.2.1")
    assert archive.compact(1).packs == len(old)
    for path, held in old.items():
        path.write_bytes(held)
    life.must_be_whole()
    assert archive.compact(1).packs == len(old)
    assert not any(path.exists() for path in old)
    for number in (0, 2, 3, 5, 6, 8):
        assert life.content(number) == files[number]
    life.must_be_whole()


async def test_one_compacts_at_a_time(life):
    await life.fill(range(3))
    archive = life.again()
    await life.purge(Level.STUDY, "1.2.1")
    with Alone(life.settings.data).taken(), pytest.raises(Busy):
        archive.compact(1)


# beside others -----------------------------------------------------------------------------------
READER = """
import sys
from pathlib import Path
from vna.archive import Archive, ArchiveSettings
archive = Archive.open(ArchiveSettings(data=Path(sys.argv[1]), index_map_bytes=1 << 20, threads=2))
rounds, first = 0, {}
print("reading", flush=True)
while not Path(sys.argv[2]).exists():
    for study in ("1.2.0", "1.2.1", "1.2.2"):
        for stored in archive.objects(study):
            _, pieces = archive.file(stored, "TEST")
            start = next(pieces)
            data = bytes(start) + b"".join(map(bytes, pieces))
            assert first.setdefault(stored.sop_uid, data) == data, stored.sop_uid
    archive.let_go()
    rounds += 1
archive.close()
print(rounds, flush=True)
"""


@contextlib.contextmanager
def reading(data, done):
    """Read all objects in another process, over and over; none may fail or change."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, data, done], stdout=subprocess.PIPE, text=True
    )
    try:
        assert reader.stdout.readline() == "reading\n"
        yield
    finally:
        done.touch()
        said, _ = reader.communicate(timeout=60)
    assert reader.returncode == 0
    assert int(said) > 0


async def test_no_read_of_another_process_fails(life, folder):
    files = await life.fill(range(3))
    with reading(life.settings.data, folder / "done"):
        for number in range(10, 40, 3):  # each round leaves a pack of which a part is needed
            files |= await life.fill(range(number, number + 3))
            await life.archive.store(image(number, study="1.2.9", sop="1.2.4.1"), source="test")
            await life.purge(Level.STUDY, "1.2.9")
            assert life.again().compact(1).packs
    assert {number: life.content(number) for number in files} == files


COMPACTOR = """
import sys
from pathlib import Path
from vna.archive import Archive, ArchiveSettings, relocate
relocate.STEP_RECORDS = 2
archive = Archive.open(ArchiveSettings(
    data=Path(sys.argv[1]), index_map_bytes=1 << 20, threads=2, pack_size_bytes=60_000))
print("compacting", flush=True)
archive.compact(1)
"""


def kill_a_compaction(data, after_s):
    compactor = subprocess.Popen(
        [sys.executable, "-c", COMPACTOR, data], stdout=subprocess.PIPE, text=True
    )
    assert compactor.stdout.readline() == "compacting\n"
    time.sleep(after_s)
    compactor.kill()
    compactor.communicate()


async def test_a_killed_compaction_is_finished_by_the_next(life):
    chance = random.Random(1)
    files = await life.fill(range(30))
    for number in range(0, 30, 3):
        await life.purge(Level.INSTANCE, f"1.2.3.{number}")
        del files[number]
    life.again()
    for _ in range(4):
        kill_a_compaction(life.settings.data, chance.random() * 0.05)
        life.archive.recover()
        assert {number: life.content(number) for number in files} == files
        life.must_be_whole()
    life.archive.compact(1)
    assert {number: life.content(number) for number in files} == files
    life.must_be_whole()
    assert life.archive.stats().dead_bytes == 0


async def test_backups_follow_a_compaction(life, folder):
    files = await life.fill(range(12))
    archive = life.again()
    archive.backup(folder / "backup")
    await life.purge(Level.STUDY, "1.2.1")
    assert archive.compact(1).packs
    report = archive.backup(folder / "backup")
    assert report.damage == []
    assert report.packs == len(life.packs)
    assert restore_backup(folder / "backup", folder / "new").damage == []
    archive.close()
    shutil.rmtree(life.settings.data)
    (folder / "new").rename(life.settings.data)
    life.archive = Archive.open(life.settings)
    life.must_be_whole()
    assert life.content(0) == files[0]
    with pytest.raises(Deleted):
        life.content(1)


def streamed(number):
    """Return an image whose pixel data have a pack of their own."""
    noise = random.Random(number).randbytes(120_000)
    return ct_image(f"1.2.3.{number}", Rows=20, Columns=3000, PixelData=noise)


def only(archive):
    """Return the file of the only instance."""
    (stored,) = archive.objects("1.2.3")
    return b"".join(archive.file(stored, "TEST")[1])


async def stored_after(life, monkeypatch, meanwhile):
    """Store a streamed image; `meanwhile` happens between its value's sync and its commit."""
    commit = IngestRoom.commit

    def late(room, proposal):
        assert proposal.placed
        meanwhile(proposal)
        return commit(room, proposal)

    monkeypatch.setattr(IngestRoom, "commit", late)
    ingest = life.archive.ingest(form="part10", source="test")
    await ingest.write(streamed(1))
    return await ingest.commit()


async def test_a_streamed_value_is_not_compacted_before_its_commit(life, monkeypatch):
    other = Archive.open(life.settings)
    try:
        found = []
        await stored_after(life, monkeypatch, lambda _: found.append(other.compact(25)))
        assert found[0].packs == 0
        assert only(life.archive) == streamed(1)
    finally:
        other.close()
    assert only(life.again()) == streamed(1)


async def test_a_streamed_value_that_is_gone_is_not_counted_on(life, monkeypatch):
    def remove(proposal):
        ((_, place),) = proposal.placed
        life.archive._store.remove(place.pack)

    with pytest.raises(Unavailable, match=r"^blob [0-9a-f]{64} is gone with its pack"):
        await stored_after(life, monkeypatch, remove)
    assert life.archive.stats().counts.instances == 0


async def test_a_pack_that_was_sealed_meanwhile_is_not_removed_as_missing(life):
    """All was moved up to its last record, not its seal: the index would know of more than that."""
    await life.fill(range(4))
    await life.purge(Level.STUDY, "1.2.1")
    life.archive.close()
    life.archive = archive = Archive.open(life.settings)
    store, index = archive._store, archive._index
    pack = store.packs()[0].id
    moving = Relocation(store, index, archive._quarantine, SystemClock())
    moving.move_pack(pack)
    moving.close()
    turnstile = Turnstile(life.settings.data)
    assert not vacate(store, index, turnstile, pack)
    turnstile.close()
    assert missing_packs(store, index) == []
    archive.compact(1)
    assert not store.has(pack)
    assert archive.check().damage == []
