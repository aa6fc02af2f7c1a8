"""An S3 store that fails at every request of a move: nothing is lost, and the next run finishes it."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.errors import VnaError
from vna.storage import tier_of
from vna.testing.faultproxy import Answer, Corrupt, Cut, Reset, Unheard
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier
from vna.testing.power import memory_folder
from vna.types import Level

COUNT = 4
MOST = 20
FAULTS = {
    "answers 500": Answer(500, "InternalError"),
    "is gone": Reset(),
    "is not heard": Unheard(),
    "sends half": Cut(1000),
    "sends other bytes": Corrupt(1500),
}
QUICK = ("answers 500", "is not heard", "sends other bytes")
"""These are looked at in every run."""


class Life:
    """An archive with a tier in a bucket, asked through a proxy."""

    def __init__(self, folder, bucket):
        cold = bucket_tier(bucket, folder, retries=0)
        self.settings = ArchiveSettings(
            data=folder / "data",
            index_map_bytes=1 << 20,
            min_free_bytes=0,
            threads=2,
            cache_bytes=1 << 20,
            tiers=(TierSettings("hot", path=folder / "data/packs"), cold),
        )
        self.files = {}
        self.archive = Archive.open(self.settings)

    async def fill(self):
        for number in range(COUNT):
            pixels = random.Random(number).randbytes(6000)
            self.files[number] = ct_image(f"1.2.3.{number}", Rows=1, Columns=3000, PixelData=pixels)
            await self.archive.store(self.files[number], source="test")
        self.again()

    async def purge(self):
        await self.archive.delete(Level.STUDY, "1.2.3", "test")
        await self.archive.purge("1.2.3", "test")
        self.files.clear()

    def again(self):
        """Open the archive anew: what it wrote can be compacted."""
        self.archive.close()
        self.archive = Archive.open(self.settings)
        self.archive.recover()

    def drop(self):
        """Keep the bulk in the bucket alone."""
        self.archive.compact(1)
        self.archive.drop_cache()

    def content(self, number):
        (stored,) = self.archive.objects("1.2.3", None, f"1.2.3.{number}")
        return b"".join(self.archive.file(stored, "TEST")[1])

    def must_read(self):
        for number, file in self.files.items():
            assert self.content(number) == file

    def must_be_whole(self):
        """All reads back, nothing is damaged, and the bucket has the packs that are named, no others."""
        assert self.archive.check().damage == []
        self.must_read()
        with self.archive._index.read() as reader:
            named = [
                pack for pack, use in reader.packs().items() if tier_of(pack) and not use.dropped
            ]
        assert [pack.id for pack in self.archive._store.lower_packs(1)] == sorted(named)
        assert not (self.settings.data / "moving.json").exists()


async def going_down(life):
    await life.fill()
    yield lambda: life.archive.move("cold")
    assert life.archive.tier_states()["cold"].objects == COUNT
    life.drop()


async def coming_up(life):
    await life.fill()
    life.archive.move("cold")
    life.drop()
    yield lambda: life.archive.move("hot")
    assert life.archive.tier_states()["hot"].objects == COUNT


async def letting_go(life):
    await life.fill()
    life.archive.move("cold")
    await life.purge()
    yield lambda: life.archive.reclaim()  # noqa: PLW0108  the archive is another one by then
    assert life.archive._store.lower_packs(1) == []


CASES = [
    pytest.param(fault, times, marks=() if fault in QUICK else pytest.mark.long)
    for fault in FAULTS
    for times in (1, None)
]


@pytest.mark.parametrize(("fault", "times"), CASES)
@pytest.mark.parametrize(
    "kind", [going_down, coming_up, letting_go], ids=lambda kind: kind.__name__
)
async def test_a_store_that_fails_at_each_request(kind, fault, times, proxied, proxy):
    for after in range(MOST):
        with memory_folder() as folder:
            life = Life(folder, replace(proxied, prefix=f"{proxied.prefix}/{after}"))
            try:
                steps = kind(life)
                step = await anext(steps)
                before = len(proxy.requests)
                proxy.fail(FAULTS[fault], after=after, times=times)
                with suppress(VnaError):
                    step()
                reached = len(proxy.requests) - before > after
                if kind is going_down:  # the copies on the hot tier are there yet
                    life.must_read()
                proxy.heal()
                life.again()  # the next process does not know that the tier was away
                if isinstance(FAULTS[fault], Corrupt):
                    life.archive._quarantine.look_again()  # as each pass of the scrub begins
                step()
                await anext(steps, None)
                life.must_be_whole()
            finally:
                life.archive.close()
        if not reached:
            break
    assert 0 < after < MOST - 1
