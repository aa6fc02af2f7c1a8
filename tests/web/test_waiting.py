"""What waits for a disk waits in a thread: other requests are answered meanwhile."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.tiers.wrapping import WrappedReader, WrappedTier

STUDY = "/studies/1.2.3"
INSTANCE = f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.1"


class SlowReader(WrappedReader):
    def read_present(self, offset, length):
        return None


class SlowTier(WrappedTier):
    """Nothing of it is in memory, and a read waits until the test lets it go on."""

    def __init__(self, inner):
        super().__init__(inner)
        self.reading = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    @contextmanager
    def around(self, verb):
        if verb == "read":
            self.reading.release()
            assert self.go_on.wait(10)
        yield

    def open(self, pack):
        return SlowReader(self, self.inner.open(pack))

    def __getattr__(self, name):  # what a hot tier has beside
        return getattr(self.inner, name)


@pytest.fixture
def slow(tmp_path):
    return SlowTier(DirectoryTier(tmp_path / "data" / "packs"))


@pytest.fixture
def archive(tmp_path, slow):
    opened = Archive.open(ArchiveSettings(data=tmp_path / "data"), tier=slow)
    yield opened
    slow.go_on.set()
    opened.close()


@pytest.mark.parametrize(
    "path", [f"{INSTANCE}/frames/2", INSTANCE, STUDY, f"{INSTANCE}/bulkdata/7FE00010", f"{INSTANCE}/metadata"]
)  # fmt: skip
async def test_a_disk_that_does_not_answer_blocks_nobody_else(front, slow, ct, path):
    await front.stow([ct(frames=[bytes([n]) * (1 << 19) for n in range(8)])])
    expected = (await front.get(path)).body
    while slow.reading.acquire(blocking=False):
        pass
    slow.go_on.clear()
    waiting = asyncio.create_task(front.get(path))
    assert await asyncio.to_thread(slow.reading.acquire, timeout=10)
    assert (await front.get(f"{front.root}/healthz")).status == 200
    assert (await front.get("/studies")).status == 200
    assert not waiting.done()
    slow.go_on.set()
    answer = await waiting
    assert answer.status == 200
    assert len(answer.body) == len(expected)


async def test_an_answer_that_is_given_up_lets_its_reads_end(front, slow, ct):
    await front.stow([ct(frames=[bytes([n]) * (1 << 19) for n in range(16)])])
    slow.go_on.clear()
    waiting = asyncio.create_task(front.get(STUDY))
    assert await asyncio.to_thread(slow.reading.acquire, timeout=10)
    waiting.cancel()
    slow.go_on.set()
    while front.requests.under_way:
        await asyncio.sleep(0.01)
    assert (await front.get(STUDY)).status == 200
