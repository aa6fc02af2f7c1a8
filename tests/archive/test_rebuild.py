"""The index made again from packs alone: equal to the one before, resumable, alone."""

import random
import shutil
import signal
import subprocess
import sys

import pytest

from vna.archive import Archive, ArchiveSettings, rebuild_index
from vna.archive import rebuild as room
from vna.errors import Conflict, Unavailable
from vna.index import Index
from vna.types import Level


@pytest.fixture
def settings(data):
    return ArchiveSettings(data=data, pack_size_bytes=30_000, stream_threshold_bytes=50_000)


@pytest.fixture
async def filled(settings, ct):
    """Two writers at once: replaces, deletes, restores, shared pixels, streams, voids."""
    rejecting = ArchiveSettings(**{**vars_of(settings), "duplicates": "reject"})
    one, two, three = Archive.open(settings), Archive.open(settings), Archive.open(rejecting)
    for number in range(12):
        await one.store(ct(f"1.2.3.{number}"), source="one")
        await two.store(ct(f"1.2.3.{number}", Modality="MR"), source="two")
        large = ct(
            f"1.2.4.{number}",
            StudyInstanceUID=f"1.2.8.{number % 3}",
            SeriesInstanceUID=f"1.2.9.{number % 6}",
            PatientID=f"P{number % 2}",
            Rows=250,
            Columns=200,
            PixelData=bytes(100_000) + bytes([number % 5]) * 2,
        )
        await two.store(large, source="two")
    await refused(one, three, ct)
    await one.delete(Level.INSTANCE, "1.2.3.3", "test")
    await two.delete(Level.SERIES, "1.2.9.2", "test")
    await two.delete(Level.STUDY, "1.2.8.1", "test")
    await one.restore("1.2.8.1")
    versions = next(one.histories("1.2.3.5")).versions
    await one.restore("1.2.3.5", version=versions[-1].stamp)
    for archive in (one, two, three):
        archive.close()


def vars_of(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}


async def refused(one, three, ct):
    """Have a store refused after its record was written: the index did not show the other yet."""
    from vna.archive import prepare

    await one.store(ct("1.2.7.1"), source="one")
    standing, prepare.standing = prepare.standing, lambda *_: None
    try:
        with pytest.raises(Conflict):
            await three.store(ct("1.2.7.1", Modality="US"), source="three")
    finally:
        prepare.standing = standing


def content(settings):
    archive = Archive.open(settings)
    try:
        lines = list(archive._index.dump())
        bytes_of = {
            stored.sop_uid: b"".join(archive.dataset(stored))
            for study in ("1.2.3", "1.2.8.0", "1.2.8.1", "1.2.8.2")
            for stored in archive.objects(study)
        }
        return lines, bytes_of
    finally:
        archive.close()


def test_the_index_is_equal_to_the_one_before(settings, data, filled):
    before = content(settings)
    assert {line[0] for line in before[0]} >= {"gone instance", "barrier series", "void", "blob"}
    told = []
    rebuilt = rebuild_index(settings, lambda done, total: told.append((done, total)))
    assert (rebuilt.uncompared, rebuilt.different, rebuilt.differences) == ("", 0, [])
    assert rebuilt.recovered.damage == []
    assert content(settings) == before
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    assert not (data / "index.new").exists()
    assert rebuild_index(settings).different == 0, "over and over, with an index.old there"
    assert content(settings) == before


def test_without_an_old_index_it_says_so(settings, data, filled):
    before = content(settings)
    shutil.rmtree(data / "index")
    assert rebuild_index(settings).uncompared == "there was none"
    assert content(settings) == before
    (data / "index/data.mdb").write_bytes(b"not LMDB" * 1000)
    assert "does not open" in rebuild_index(settings).uncompared
    assert content(settings) == before


def test_what_differs_is_named(settings, data, filled):
    identity = room.load_identity(data, room.SystemClock())
    index = Index.open(settings.index(identity), room.keys_of)
    from vna.testing.commits import delete, store

    index.apply([store(1, 1)], {})
    index.apply([delete(1 << 62, Level.STUDY, 99)], {})
    index.close()
    rebuilt = rebuild_index(settings)
    found = {(each.kind, each.what) for each in rebuilt.differences}
    assert {("instance", "missing"), ("study", "missing"), ("barrier study", "missing")} <= found
    assert rebuilt.different == len(rebuilt.differences)
    assert any(each.kind == "total" and "instances" in each.what for each in rebuilt.differences)


def test_it_wants_the_archive_alone(settings, filled):
    archive = Archive.open(settings)
    with pytest.raises(Unavailable, match="is in use"):
        rebuild_index(settings)
    archive.close()
    with room.Hold.alone(settings.data), pytest.raises(Unavailable, match="is being rebuilt"):
        Archive.open(settings)
    Archive.open(settings).close()


KILLED = """
import os, signal, sys
from pathlib import Path
from vna.archive import ArchiveSettings, rebuild_index, recover

recover.GROUP = 2
stop_at = int(sys.argv[2])
calls = 0

def progress(done, total):
    global calls
    calls += 1
    print(calls, done, flush=True)
    if calls == stop_at:
        os.kill(os.getpid(), signal.SIGKILL)

rebuild_index(ArchiveSettings(data=Path(sys.argv[1]), pack_size_bytes=30_000), progress)
"""


@pytest.mark.crash
def test_killed_it_goes_on_where_it_was(settings, data, filled):
    before = content(settings)
    reached = []
    for stop_at in (3, 5, 10):
        killed = [sys.executable, "-c", KILLED, data, str(stop_at)]
        ended = subprocess.run(killed, capture_output=True, text=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        reached.append(int(ended.stdout.split()[-1]))
        assert content(settings) == before, "the index in use is not touched"
    assert (data / "index.new").exists()
    rebuilt = rebuild_index(settings)
    assert (rebuilt.uncompared, rebuilt.different) == ("", 0)
    assert content(settings) == before
    fresh = rebuild_index(settings)
    assert rebuilt.recovered.mutations < fresh.recovered.mutations
    (data / "index.new").mkdir()
    (data / "index.new/boot").write_text("another run of the machine")
    assert rebuild_index(settings).recovered.mutations == fresh.recovered.mutations


async def test_what_was_begun_before_a_compaction_is_not_gone_on_with(settings, ct):
    """Its blobs would be in packs that are gone, first, and copies alone in those that are there."""

    class Stopped(Exception):
        pass

    def stop(done, total):
        if done >= total:
            raise Stopped

    def image(number):
        return ct(f"1.9.{number}", PixelData=random.Random(number).randbytes(512))

    def compacted():
        archive = Archive.open(settings)
        archive.compact(1)
        archive.close()

    archive = Archive.open(settings)
    for number in range(40):
        await archive.store(image(number), source="test")
    archive.close()
    with pytest.raises(Stopped):
        rebuild_index(settings, stop)
    for dead in (0, 1):
        archive = Archive.open(settings)
        await archive.erase(f"1.9.{dead}", "test")
        archive.close()
        compacted()
    rebuilt = rebuild_index(settings)
    assert (rebuilt.recovered.damage, rebuilt.uncompared, rebuilt.different) == ([], "", 0)
    archive = Archive.open(settings)
    await archive.erase("1.9.2", "test")
    archive.close()
    compacted()
    archive = Archive.open(settings)
    try:
        found = archive.objects("1.2.3")
        assert len(found) == 37
        for stored in found:
            number = int(stored.sop_uid.rsplit(".", 1)[1])
            assert b"".join(archive.file(stored, "TEST")[1]) == image(number)
    finally:
        archive.close()
