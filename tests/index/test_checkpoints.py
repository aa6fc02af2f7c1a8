"""Checkpoints: what is left of an index whose pages were not synced, and of one that failed to be."""

import errno
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from vna.errors import Unavailable
from vna.index import Index
from vna.index.data_file import MAGIC, SLOT_AT, DataFile
from vna.testing.commits import consistent, plain_keyer, store

pytestmark = pytest.mark.crash

PAGE = 4096

# Each line in is a number of groups to apply; a line out says that they are.
WRITER = """
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from vna.index import Index, IndexSettings, checkpoints
from vna.testing.commits import plain_keyer, store

checkpoints.INTERVAL_S = 3600
path, lane = sys.argv[1], int(sys.argv[2])
index = Index.open(IndexSettings(Path(path), map_size_bytes=64 << 20), plain_keyer)
done = 0
for line in sys.stdin:
    for _ in range(int(line)):
        group = range(20 * done, 20 * done + 20)
        index.apply([store(n, lane * 10**6 + n, series=n % 5, pack=lane) for n in group], {})
        done += 1
    index.sync() if line == "0\\n" else None
    print(done, flush=True)
"""


class Writer:
    def __init__(self, settings, lane):
        command = [sys.executable, "-c", WRITER, str(settings.path), str(lane)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def apply(self, groups):
        self.process.stdin.write(f"{groups}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline()

    def checkpoint(self):
        self.apply(0)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def kept(settings):
    return replace(settings, map_size_bytes=64 << 20, sync=True)


def opened(settings):
    """Open and close an index; return how many instances it has."""
    index = Index.open(settings, plain_keyer)
    try:
        return consistent(index)
    finally:
        index.close()


def test_killed_writers_leave_the_checkpoint_and_the_feed_leaps(kept):
    writer = Writer(kept, 1)
    writer.apply(3)
    writer.checkpoint()
    writer.apply(5)
    writer.kill()
    index = Index.open(kept, plain_keyer)
    assert consistent(index) == 60
    index.apply([store(10**6, 7)], {})
    with index.read() as reader:
        seqs = [change.seq for change in reader.changes(0, 1000)]
        assert seqs == [*range(1, 61), (1 << 32) + 1], "61 to 160 were told, of other changes"
    index.close()


def test_a_closed_index_goes_on_where_it_was(kept):
    for number in range(3):
        index = Index.open(kept, plain_keyer)
        index.apply([store(number, number)], {})
        assert consistent(index) == number + 1
        index.close()


def test_a_killed_writer_takes_nothing_from_those_who_have_the_index_open(kept):
    index = Index.open(kept, plain_keyer)
    writer = Writer(kept, 1)
    writer.apply(4)
    writer.kill()
    assert consistent(index) == 80
    other = Writer(kept, 2)
    other.apply(1)
    other.kill()
    assert consistent(index) == 100
    index.close()
    assert opened(kept) == 100


@pytest.mark.parametrize("seed", range(4))
def test_a_writer_protects_the_checkpoint_of_another_that_died(kept, seed, tmp_path):
    """Of the pages written after a checkpoint any may be on disk, whoever wrote them."""
    chance = random.Random(seed)
    one, other = Writer(kept, 1), Writer(kept, 2)
    for _ in range(3):  # pages are freed and used again
        one.apply(4)
        one.checkpoint()
    other.apply(4)
    other.checkpoint()
    one.apply(2)
    other.checkpoint()
    other.kill()
    file = kept.path / "data.mdb"
    durable = file.read_bytes()
    watcher = Index.open(kept, plain_keyer)  # frees the reader slots of the dead
    one.apply(30)
    written = file.read_bytes()
    one.kill()
    watcher.close()
    fallen = bytearray(durable)
    for at in range(0, len(written), PAGE):
        if chance.random() < 0.7:
            end = at + (512 if at < 2 * PAGE else PAGE)  # the meta pages, not the checkpoint
            fallen.extend(bytes(max(0, end - len(fallen))))
            fallen[at:end] = written[at:end]
    left = replace(kept, path=tmp_path / "left")
    left.path.mkdir()
    (left.path / "data.mdb").write_bytes(fallen)
    index = Index.open(left, plain_keyer)
    assert consistent(index) == (3 * 4 + 4 + 2) * 20
    index.close()


def test_power_fails_again_while_the_index_goes_back(kept, tmp_path, monkeypatch):
    writer = Writer(kept, 1)
    writer.apply(3)
    writer.checkpoint()
    writer.apply(30)
    writer.kill()
    file = kept.path / "data.mdb"
    durable, images, chance = file.read_bytes(), [], random.Random(1)
    put, sync = DataFile.put, DataFile.sync

    def torn_put(self, data, offset):
        ends = [0, chance.randrange(len(data)), len(data)]
        images.extend(durable[:offset] + data[:end] + durable[offset + end :] for end in ends)
        put(self, data, offset)

    def noted_sync(self):
        nonlocal durable
        sync(self)
        durable = file.read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(DataFile, "put", torn_put)
        patch.setattr(DataFile, "sync", noted_sync)
        assert opened(kept) == 60
    for number, image in enumerate([*images, durable]):
        left = replace(kept, path=tmp_path / f"left{number}")
        left.path.mkdir()
        (left.path / "data.mdb").write_bytes(image)
        index = Index.open(left, plain_keyer)
        index.apply([store(10**6, 7)], {})
        with index.read() as reader:
            assert reader.last_change() > 1 << 32
        assert consistent(index) == 61
        index.close()


def test_after_a_failed_sync_nobody_writes_until_the_index_went_back(kept, monkeypatch):
    index = Index.open(kept, plain_keyer)
    index.apply([store(1, 1)], {})
    index.sync()
    index.apply([store(2, 2)], {})

    def fail(_):
        raise OSError(errno.EIO, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(DataFile, "sync", fail)
        with pytest.raises(Unavailable, match="cannot be synced"):
            index.sync()
    with pytest.raises(Unavailable, match="a sync has failed"):
        index.apply([store(3, 3)], {})
    assert not index.usable
    assert consistent(index) == 2, "reading goes on"
    code = (
        "import sys; from pathlib import Path; from vna.index import Index, IndexSettings\n"
        "Index.open(IndexSettings(Path(sys.argv[1])), lambda *_: ())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(kept.path)], capture_output=True, text=True, check=False
    )
    assert "others still have it open" in other.stderr
    index.close()
    index = Index.open(kept, plain_keyer)
    assert consistent(index) == 1
    index.apply([store(3, 3)], {})
    index.close()
    assert opened(kept) == 2


def test_a_damaged_checkpoint_is_named(kept):
    Index.open(kept, plain_keyer).close()
    index = Index.open(kept, plain_keyer)
    index.apply([store(1, 1)], {})
    index.close()
    with (kept.path / "data.mdb").open("r+b") as file:
        for at in SLOT_AT:
            file.seek(at + len(MAGIC))
            file.write(b"damage")
    with pytest.raises(Unavailable, match="checkpoint is damaged; `vna rebuild-index`"):
        Index.open(kept, plain_keyer)


DIES = """
import os, sys, time
from pathlib import Path
from vna.index import Index, IndexSettings
from vna.index.data_file import DataFile
from vna.testing.commits import plain_keyer

def die(self):
    print("first", flush=True)
    sys.stdin.readline()
    os._exit(9)

DataFile._return = die
Index.open(IndexSettings(Path(sys.argv[1]), map_size_bytes=64 << 20), plain_keyer)
"""


def test_who_waited_for_one_that_died_as_it_went_back_goes_back(kept):
    writer = Writer(kept, 1)
    writer.apply(3)
    writer.checkpoint()
    writer.apply(5)
    writer.kill()
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", DIES, str(kept.path)]
    first = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert first.stdout.readline() == "first\n"
    with ThreadPoolExecutor() as threads:
        second = threads.submit(opened, kept)
        time.sleep(0.2)
        assert not second.done()
        first.communicate("die\n")
        assert second.result() == 60
