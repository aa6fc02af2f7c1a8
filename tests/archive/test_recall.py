"""Reading from far away: few requests, the rest of a series before it is asked for."""

import random
import threading
import time

import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.errors import Unavailable
from vna.testing.counting import CountingTier
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier
from vna.testing.power import memory_folder

STUDY, SERIES = "1.2.9", "1.2.9.1"
COUNT = 60
SIZE = 20_000


@pytest.fixture
async def cold(bucket):
    """An archive with a series of 60 in a bucket, and another one of the same study; its files."""
    with memory_folder() as folder:
        tiers = (TierSettings("hot", path=folder / "data/packs"), bucket_tier(bucket, folder))
        settings = ArchiveSettings(
            data=folder / "data",
            index_map_bytes=4 << 20,
            min_free_bytes=0,
            cache_bytes=64 << 20,
            tiers=tiers,
        )
        archive = Archive.open(settings)
        files = {}
        for number in range(1, COUNT + 1):
            files[number] = image(number, SERIES)
            await archive.store(files[number], source="test")
        await archive.store(image(COUNT + 1, "1.2.9.2"), source="test")
        archive.move("cold")
        archive.close()
        archive = Archive.open(settings)
        archive.compact(1)
        archive.close()
        archive = Archive.open(settings)
        (cached,) = archive._tiers.lower.values()
        cached.inner = CountingTier(cached.inner)
        yield archive, files
        archive.close()


def image(number, series):
    return ct_image(
        f"1.2.9.1.{number}",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=series,
        InstanceNumber=number,
        Rows=1,
        Columns=SIZE // 2,
        PixelData=random.Random(number).randbytes(SIZE),
    )


def requests(archive):
    """Return GET requests and bytes of the store so far."""
    (cached,) = archive._tiers.lower.values()
    return cached.inner.asked["read"], cached.inner.moved["read"]


def content(archive, number):
    (stored,) = archive.objects(STUDY, None, f"1.2.9.1.{number}")
    return b"".join(archive.file(stored, "TEST")[1])


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_a_series_comes_in_few_requests(cold):
    archive, files = cold
    for number, file in files.items():
        assert content(archive, number) == file
    count, size = requests(archive)
    assert count <= 3
    assert size < COUNT * SIZE * 1.3


async def test_the_first_frame_is_one_request_of_its_size_and_the_rest_follows(cold):
    archive, files = cold
    archive._recalls.close()  # nothing in the background
    (stored,) = archive.objects(STUDY, None, "1.2.9.1.30")
    with archive._index.read() as reader:
        place = reader.blob(stored.version.holes[0].blob)
    archive._recalls._threads = None
    assert bytes(archive._retrieval.frame(stored, 1)) in files[30]
    assert requests(archive) == (1, place.size)


async def test_what_follows_the_first_touch_is_in_the_cache(cold):
    archive, _ = cold
    content(archive, 7)
    until(lambda: archive.cache_state().bytes >= (COUNT + 1) * SIZE)
    before = requests(archive)[0]
    assert before <= 4
    for number in range(1, COUNT + 2):
        content(archive, number)
    assert requests(archive)[0] == before


async def test_a_cache_that_is_warmed_and_dropped(cold):
    archive, files = cold
    assert archive.warm_cache(STUDY) >= (COUNT + 1) * SIZE
    count = requests(archive)[0]
    assert count <= 2
    assert archive.warm_cache(STUDY) == 0
    assert content(archive, 3) == files[3]
    assert requests(archive)[0] == count
    assert archive.drop_cache() >= (COUNT + 1) * SIZE
    assert archive.cache_state().bytes == 0


async def test_a_reader_does_not_wait_for_what_comes_at_a_pace(cold, monkeypatch):
    archive, _ = cold
    waited = []
    monkeypatch.setattr("vna.storage.tiers.cached.Flight.wait", lambda *each: waited.append(each))
    large = {
        number: ct_image(
            f"1.2.8.1.{number}",
            StudyInstanceUID="1.2.8",
            SeriesInstanceUID="1.2.8.1",
            InstanceNumber=number,
            PixelData=random.Random(number).randbytes(6 << 20),
        )
        for number in range(1, 4)
    }
    for file in large.values():
        await archive.store(file, source="test")
    archive.move("cold", "1.2.8")
    held, go_on = threading.Event(), threading.Event()

    def pace(_size):
        held.set()
        go_on.wait()

    warming = threading.Thread(target=archive.warm_cache, args=("1.2.8",), kwargs={"pace": pace})
    warming.start()
    assert held.wait(20)
    (stored,) = archive.objects("1.2.8", None, "1.2.8.1.3")
    assert b"".join(archive.file(stored, "TEST")[1]) == large[3]
    go_on.set()
    warming.join()
    assert waited == []


async def test_a_store_that_goes_away_under_a_recall(cold, monkeypatch):
    archive, files = cold
    asked = []

    def cut(self, key, start, stop):
        asked.append(start)
        raise ConnectionError("pulled")

    with monkeypatch.context() as patch:
        patch.setattr("vna.storage.tiers.s3.S3Tier.stream", cut)
        with pytest.raises(Unavailable, match="pulled"):
            content(archive, 1)
        until(lambda: len(asked) >= 2)
    until(lambda: is_back(archive))
    assert content(archive, 2) == files[2]


def is_back(archive):
    try:
        return bool(content(archive, 2))
    except Unavailable:  # the tier was away three times: it is left alone for a second
        return False
