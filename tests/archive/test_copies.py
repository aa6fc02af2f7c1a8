"""Blobs that are in two places: what one of them loses the other one gives."""

import asyncio
import os
import random
import threading
import time
from collections import Counter

import pytest

from vna.archive import Archive, ArchiveSettings, ScrubSettings
from vna.archive.commit import Proposal
from vna.archive.scrub import Scrub
from vna.clock import SystemClock
from vna.errors import Corrupt
from vna.observe import metrics
from vna.types import DeleteCommit, Level

PIXELS = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def archive(data):
    archive = Archive.open(ArchiveSettings(data=data))
    yield archive
    archive.close()


@pytest.fixture
async def twice(archive, ct):
    """Store two objects with equal pixels at once, so that those are stored twice."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(stamp):
        begun.set()
        go_on.wait()
        return DeleteCommit(stamp, Level.INSTANCE, "9.9", "nothing has this UID")

    archive._committer.submit(Proposal(hold))
    begun.wait()
    files = [ct(sop, Rows=1000, Columns=1500, PixelData=PIXELS) for sop in ("1.2.3.1", "1.2.3.2")]
    stores = [asyncio.create_task(archive.store(file, source="test")) for file in files]
    while archive.load().queue < 2:  # neither knows of the other
        await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(*stores)
    assert len(places(archive)) == 2
    return files


def pixels(archive):
    (stored,) = archive.objects("1.2.3", None, "1.2.3.1")
    return stored.version.holes[0].blob


def places(archive):
    with archive._index.read() as reader:
        return reader.places(pixels(archive))


def flip(data, place, share):
    """Change a bit of a copy, so far into it."""
    name = f"{place.pack >> 32:08x}-{place.pack & 0xFFFFFFFF:08x}.pack"
    with (data / "packs" / name).open("r+b") as file:
        at = place.offset + int(place.size * share)
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)


def whole(archive, sop="1.2.3.1"):
    (stored,) = archive.objects("1.2.3", None, sop)
    return b"".join(archive.file(stored, "TEST")[1])


def counts():
    """Return what the counters of damage say."""
    return Counter(
        {
            (metric.name, *series): metrics.REGISTRY.cells[metric.place(series)]
            for metric in (metrics.DAMAGED_READS, metrics.DAMAGE_RECORDED)
            for series in metric.series
        }
    )


async def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
async def test_a_read_that_meets_damage_goes_on_with_another_copy(archive, data, twice, share):
    first, second = places(archive)
    before = counts()
    flip(data, first, share)
    assert [whole(archive, "1.2.3.1"), whole(archive, "1.2.3.2")] == twice
    (stored,) = archive.objects("1.2.3", None, "1.2.3.1")
    assert archive.frame(stored, 1) == PIXELS
    # Counted when its commit is done, which is after the index shows it.
    await until(lambda: (counts() - before)["vna_damage_recorded_total", "damaged"] == 1)
    assert places(archive) == [second]
    assert [whole(archive, "1.2.3.1"), whole(archive, "1.2.3.2")] == twice
    assert archive.lost() == []
    assert not any(damage.sop_uid for damage in archive.check().damage), "no object is damaged"
    found = counts() - before
    assert found["vna_damaged_reads_total", "served"] >= 1
    assert found["vna_damage_recorded_total", "damaged"] == 1
    assert found["vna_damaged_reads_total", "refused"] == 0


async def test_reads_one_after_the_other_go_on_behind_damage(archive, data, twice):
    digest, place = pixels(archive), places(archive)[0]
    flip(data, place, 0.5)
    reads = archive._retrieval._blobs
    assert list(reads.read_each([(digest, place)] * 3)) == [PIXELS] * 3


async def test_damage_met_by_reads_is_recorded_once(archive, data, twice, caplog):
    before = counts()
    for place in places(archive):
        flip(data, place, 0.5)
    reads = [asyncio.to_thread(whole, archive) for _ in range(10)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(answer, Corrupt) for answer in answers)
    await until(archive.lost)
    await until(lambda: not places(archive))
    await until(lambda: (counts() - before)["vna_damage_recorded_total", "damaged"] == 2)
    assert (counts() - before)["vna_damaged_reads_total", "refused"] >= 1
    assert "a read met damage, served from a copy: pack" in caplog.text
    assert "a read met damage, refused: pack" in caplog.text
    with pytest.raises(Corrupt, match="no undamaged copy"):
        whole(archive)


@pytest.mark.parametrize("number", [0, 1])
async def test_the_scrub_reads_each_copy_and_settles_on_the_sound_one(archive, data, twice, number):
    bad = places(archive)[number]
    flip(data, bad, 0.5)
    scrub = Scrub(
        archive._index,
        archive._quarantine,
        SystemClock(),
        data / "scrub.json",
        ScrubSettings(rate_bytes_s=1 << 40, every_days=0),
    )
    await archive.run(scrub.step, threading.Event())
    assert archive.scrub_state().damaged == 1
    assert bad not in places(archive)
    assert len(places(archive)) == 1
    assert (archive.lost(), archive.check().damage) == ([], [])
    assert whole(archive) == twice[0]
