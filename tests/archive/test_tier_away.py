"""A far tier that hangs or is gone: what is hot goes on, and all comes back by itself."""

import asyncio
import random
import shutil
import threading
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from vna.archive import Archive, ArchiveSettings, Retrieval, ScrubSettings, TierSettings
from vna.archive.scrub import Scrub
from vna.errors import Unavailable
from vna.testing.faultproxy import Hang
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier
from vna.types import BlobPlace

COLD, HOT = "1.2.1", "1.2.2"
COUNT = 20
SIZE = 20_000
WAIT_S = 30


def image(number, study, **changes):
    return ct_image(
        f"{study}.9.{number}",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        Rows=1,
        Columns=SIZE // 2,
        PixelData=random.Random(f"{study} {number}").randbytes(SIZE),
        **changes,
    )


@pytest.fixture
def settings(folder, proxied):
    tiers = (
        TierSettings("hot", path=folder / "data/packs"),
        bucket_tier(proxied, folder, timeout_s=WAIT_S),
    )
    return ArchiveSettings(
        data=folder / "data",
        threads=1,
        index_map_bytes=4 << 20,
        min_free_bytes=0,
        cache_bytes=1 << 20,
        tiers=tiers,
    )


@pytest.fixture
async def files(settings):
    """Fill an archive with a study in the bucket alone and a hot one; give the data sets."""
    archive = Archive.open(settings)
    for number in range(COUNT):
        await archive.store(image(number, COLD), source="test")
    await archive.store(image(0, HOT), source="test")
    archive.move("cold", COLD)
    archive.close()
    archive = Archive.open(settings)
    archive.compact(1)
    found = {
        stored.sop_uid: b"".join(archive.dataset(stored))
        for study in (COLD, HOT)
        for stored in archive.objects(study)
    }
    archive.drop_cache()
    archive.close()
    return found


@pytest.fixture
def archive(settings, files, proxy):
    opened = Archive.open(settings)
    yield opened
    proxy.heal()
    opened.close()


async def dataset(archive, stored):
    return b"".join([piece async for run in archive.dataset_runs(stored) for piece in run])


async def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_hangs_holds_nothing_up_that_is_hot(archive, files, proxy):
    cold, (hot,) = archive.objects(COLD), archive.objects(HOT)
    before = len(proxy.requests)
    proxy.fail(Hang(), times=None)
    reads = [asyncio.ensure_future(dataset(archive, stored)) for stored in cold]
    reads += [asyncio.ensure_future(archive.soon(Retrieval.frame, cold[0], 1))]
    await until(lambda: len(proxy.requests) > before)
    assert await dataset(archive, hot) == files[hot.sop_uid]
    await archive.store(image(1, HOT), source="test")
    assert len(await archive.run(archive.objects, HOT)) == 2
    assert await archive.soon(Retrieval.frame, hot, 1) in files[hot.sop_uid]
    assert archive.health().state == "ready"
    assert not any(read.done() for read in reads)
    proxy.heal()  # drops what hangs: it is asked for again
    *whole, frame = await asyncio.gather(*reads)
    assert whole == [files[stored.sop_uid] for stored in cold]
    assert frame in whole[0]


async def test_a_tier_that_is_gone_is_named_and_comes_back(archive, files, proxy):
    cold, (hot,) = archive.objects(COLD), archive.objects(HOT)
    proxy.refuse()
    for stored in cold[:4]:
        with pytest.raises(Unavailable, match=r"^tier cold is away: .*no connection"):
            await dataset(archive, stored)
    assert "no connection" in archive.tiers_away["cold"]
    assert archive.health().state == "ready"
    assert await dataset(archive, hot) == files[hot.sop_uid]
    report = archive.check()
    assert (report.damage, report.not_checked) == ([], {"cold": COUNT})
    assert report.blobs >= COUNT  # the headers
    proxy.heal()

    def back():
        archive.seek_tiers()
        return not archive.tiers_away

    await until(back)
    for stored in cold:
        assert await dataset(archive, stored) == files[stored.sop_uid]
    report = archive.check()
    assert (report.damage, report.not_checked.total()) == ([], 0)


async def test_a_scrub_passes_over_what_is_away(archive, proxy):
    proxy.refuse()
    scrub = Scrub(
        archive._index,
        archive._quarantine,
        archive._clock,
        archive._data / "scrub.json",
        ScrubSettings(rate_bytes_s=1 << 30, lower_tiers=True),
    )
    scrub.step(threading.Event())
    state = archive.scrub_state()
    assert state.ended
    assert (state.damaged, state.away) == (0, 2 * COUNT)  # with copies of headers
    assert archive.lost() == []


async def test_the_scrub_does_not_follow_what_moves_to_another_tier(archive, proxy):
    (hot,) = archive.objects(HOT)
    with archive._index.read() as reader:
        bulk = hot.version.holes[0].blob
        (before,) = reader.places(bulk)
    archive.move("cold", HOT)
    while archive.compact(1).packs:
        pass
    with archive._index.read() as reader:
        assert before not in reader.places(bulk)
    proxy.refuse()
    assert archive._quarantine.verdict(bulk, before) == ""
    assert archive.lost() == []


async def test_a_key_file_that_is_replaced_just_now(archive, files, folder):
    first, *_, last = archive.objects(COLD)
    key = folder / "secret_key"
    held = key.read_text()
    for gone in (key.unlink, lambda: key.write_text("")):
        gone()
        with pytest.raises(Unavailable, match=r"key file .*/secret_key"):
            await dataset(archive, first)
        assert archive.tier_states()["cold"].state == "away"
    key.write_text(held)
    assert await dataset(archive, last) == files[last.sop_uid]
    assert await dataset(archive, first) == files[first.sop_uid]


async def test_an_archive_opens_and_reads_without_the_disk_of_its_cache(settings, files):
    cache = settings.data / "cache"
    shutil.rmtree(cache)
    cache.symlink_to("/no/such/disk")
    with closing(Archive.open(settings)) as archive:
        for stored in archive.objects(COLD):
            assert await dataset(archive, stored) == files[stored.sop_uid]
        assert archive.cache_state().bytes == 0
        with pytest.raises(Unavailable, match="cache"):
            archive.drop_cache()


async def test_the_cache_gives_way_before_the_archive_is_full(settings, files, monkeypatch):
    settings = replace(settings, min_free_bytes=1 << 20)
    cache = settings.data / "cache"

    def free(nbytes):
        disk = SimpleNamespace(f_bavail=nbytes // 4096, f_frsize=4096)
        monkeypatch.setattr("vna.storage.extents.os.statvfs", lambda _: disk)

    with closing(Archive.open(settings)) as archive:
        first, *_, last = archive.objects(COLD)
        free(1 << 30)
        assert await dataset(archive, first) == files[first.sop_uid]
        await until(lambda: archive.cache_state().bytes >= COUNT * SIZE)
        archive.let_go()
        held = archive.cache_state().bytes
        free((2 << 20) - 100_000)
        archive.let_go()
        assert 0 < archive.cache_state().bytes <= held - 100_000
        free(0)
        archive.let_go()
        assert archive.cache_state().bytes == 0
        assert await dataset(archive, last) == files[last.sop_uid]
        assert archive.cache_state().bytes == 0
        assert not list(cache.glob("*/.*"))


def test_an_end_keeps_nobody_waiting_for_a_recall_that_never_began(archive, monkeypatch):
    recalls, tier = archive._recalls, archive._tiers.lower[1]
    go_on = threading.Event()
    monkeypatch.setattr(recalls, "_fly_then", lambda *_: go_on.wait(WAIT_S))
    packs = [BlobPlace(1 << 56 | 1 << 32 | number, 0, 1000, 900) for number in range(100, 103)]
    begun = iter(packs)
    monkeypatch.setattr(recalls, "_begin", lambda *_, **__: [tier.begin(next(begun).pack, 0, 1000)])
    for number, place in enumerate(packs):
        digest = bytes([number]) * 32
        recalls.note(f"1.{number}", f"1.{number}.1", [(digest, place)])
        recalls.touch(digest, place)
    reading = threading.Thread(target=tier.awaited, args=(packs[2].pack, 0, 1000), daemon=True)
    reading.start()
    closing = threading.Thread(target=recalls.close)
    closing.start()
    reading.join(10)
    assert not reading.is_alive()
    go_on.set()
    closing.join()
    recalls._due.clear()
    recalls.touch(bytes(32), packs[0])  # begins nothing any more
