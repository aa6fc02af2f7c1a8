"""A disk that is full or fails: what is refused, what goes on, and that it mends by itself."""

import asyncio
import errno
import os
from dataclasses import replace

import pytest

from vna.archive import Archive, ArchiveSettings, Outcome, commit, space
from vna.errors import Full, Unavailable
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.faulty import FaultyTier
from vna.types import Level

FOR_EVER = 1 << 30


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(commit, "FIRST_RETRY_S", 0.02)


@pytest.fixture
def tier(data):
    return FaultyTier(DirectoryTier(data / "packs"))


@pytest.fixture
def failing(data, tier):
    (data / "archive.toml").write_text(
        'format = 1\narchive = "7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e"\nnode = 1\n'
    )
    opened = Archive.open(ArchiveSettings(data=data), tier=tier)
    yield opened
    opened.close()


async def becomes(archive, state):
    while archive.health().state != state:
        await asyncio.sleep(0.01)


def reads_back(archive, file, dataset_of, sop="1.2.3.4"):
    (stored,) = archive.objects("1.2.3", sop_uid=sop)
    return b"".join(archive.dataset(stored)) == dataset_of(file)


@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_a_failing_disk_refuses_changes_and_serves_until_it_mends(
    failing, tier, ct, dataset_of, operation, caplog
):
    before = ct()
    await failing.store(before, source="test")
    tier.fail(operation, times=FOR_EVER)
    tier.fail("truncate", times=FOR_EVER)
    with pytest.raises(Unavailable, match="Input/output error"):
        await failing.store(ct("1.2.3.5"), source="test")
    health = failing.health()
    assert health.state == "broken"
    assert os.strerror(errno.EIO) in health.reason
    with pytest.raises(Unavailable, match="takes no changes now"):
        await failing.store(ct("1.2.3.5"), source="test")
    with pytest.raises(Unavailable, match="takes no changes now"):
        await failing.delete(Level.STUDY, "1.2.3", "test")
    assert reads_back(failing, before, dataset_of)
    tier.heal()
    await becomes(failing, "ready")
    after = ct("1.2.3.6")
    assert (await failing.store(after, source="test")).outcome is Outcome.STORED
    assert reads_back(failing, after, dataset_of, "1.2.3.6")
    assert "the archive takes changes again" in caplog.text
    assert failing.check().damage == []


async def test_tries_come_at_growing_intervals(failing, tier, ct, caplog):
    tier.fail("create", times=6)
    with pytest.raises(Unavailable):
        await failing.store(ct(), source="test")
    await becomes(failing, "ready")
    waits = [
        float(record.args[0]) for record in caplog.records if "next try" in record.getMessage()
    ]
    assert waits == [0.02 * 2**n for n in range(6)]


async def test_what_a_failed_sync_left_is_not_believed(failing, tier, ct):
    await failing.store(ct(), source="test")
    tier.fail("sync")
    with pytest.raises(Unavailable):
        await failing.store(ct("1.2.3.5"), source="test")
    await becomes(failing, "ready")
    assert [found.sop_uid for found in failing.objects("1.2.3")] == ["1.2.3.4"]
    assert (await failing.store(ct("1.2.3.5"), source="test")).outcome is Outcome.STORED


async def test_no_space_in_the_middle_is_full_and_stores_go_on(failing, tier, ct, dataset_of):
    await failing.store(ct(), source="test")
    tier.space(300)
    for _ in range(3):
        with pytest.raises(Full):
            await failing.store(ct("1.2.3.5"), source="test")
        assert failing.health().state == "ready"
    tier.space(None)
    await failing.store(ct("1.2.3.5"), source="test")
    assert reads_back(failing, ct("1.2.3.5"), dataset_of, "1.2.3.5")


async def test_an_index_at_its_maximum_is_full_and_what_was_written_is_found_later(data, ct):
    archive = Archive.open(ArchiveSettings(data=data, index_map_bytes=300_000))
    environment = archive._index._environment
    roomy = environment.settings
    environment.settings = replace(roomy, max_map_size_bytes=environment.map_size)
    acknowledged = []

    async def store_on():
        while True:
            uid = f"1.2.3.4.{len(acknowledged)}"
            await archive.store(ct(uid), source="test")
            acknowledged.append(uid)

    with pytest.raises(Full, match="full at its maximum"):
        await store_on()
    assert archive.health().state == "broken"
    assert len(archive.objects("1.2.3")) == len(acknowledged)
    with pytest.raises(Full):
        await archive.store(ct("1.2.3.5"), source="test")
    environment.settings = roomy
    await becomes(archive, "ready")
    await archive.store(ct("1.2.3.5"), source="test")
    assert {found.sop_uid for found in archive.objects("1.2.3")} >= {*acknowledged, "1.2.3.5"}
    archive.close()


async def test_too_little_free_space_refuses_what_is_new_alone(data, ct, dataset_of):
    roomy = Archive.open(ArchiveSettings(data=data))
    await roomy.store(ct(), source="test")
    roomy.close()
    archive = Archive.open(ArchiveSettings(data=data, min_free_bytes=1 << 60))
    health = archive.health()
    assert health.state == "full"
    assert "MiB of disk are free" in health.reason
    with pytest.raises(Full, match="MiB of disk are free"):
        await archive.store(ct("1.2.3.5"), source="test")
    assert (await archive.store(ct(), source="test")).outcome is Outcome.DUPLICATE
    assert reads_back(archive, ct(), dataset_of)
    assert await archive.delete(Level.INSTANCE, "1.2.3.4", "test") == 1
    archive.close()


def test_space_is_looked_at_each_time_unless_there_is_plenty(tmp_path, monkeypatch):
    kept, looks = 1 << 30, []

    def free(_):
        looks.append(left.pop(0))
        return looks[-1]

    monkeypatch.setattr(space, "_free", free)
    monkeypatch.setattr(space, "LOOK_S", 3600)
    here = space.Space((tmp_path,), kept, 0, index=None)
    left = [kept - 1, kept, kept - 1, kept, kept + space.AMPLE_BYTES, kept - 1]
    for refused in (True, False, True, False, False):
        assert bool(here.full()) is refused
    for _ in range(3):
        here.check()
    assert left == [kept - 1], "where there is plenty it is believed for a while"


async def test_a_large_object_is_refused_before_it_fills_the_disk(data, ct):
    settings = ArchiveSettings(data=data, min_free_bytes=1 << 60, stream_threshold_bytes=1 << 16)
    archive = Archive.open(settings)
    ingest = archive.ingest(form="part10", source="test")
    with pytest.raises(Full):
        await ingest.write(ct(Rows=1024, Columns=1024, PixelData=bytes(2 << 20)))
    ingest.abort()
    assert archive.stats().pack_bytes == 0
    archive.close()


async def test_a_quota_that_is_used_up_refuses_until_something_is_deleted(data, ct):
    archive = Archive.open(ArchiveSettings(data=data, quota_bytes=1000))
    await archive.store(ct(), source="test")
    await archive.store(ct("1.2.3.5"), source="test")
    assert archive.health().state == "full"
    with pytest.raises(Full, match="quota"):
        await archive.store(ct("1.2.3.6"), source="test")
    await archive.delete(Level.INSTANCE, "1.2.3.4", "test")
    await archive.store(ct("1.2.3.6"), source="test")
    archive.close()
