"""What was appended last is read from memory by all workers, and only as it is on the disk."""

import os
import random
import tempfile
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna._native import Fresh, RawChunks, crc32c, send_now
from vna.storage.tiers.directory import DirectoryTier

TRAY = 128 << 10
LARGE = 2 << 20
"""A tray of a large page, which leaves as it is; smaller ones never do."""


@pytest.fixture
def share():
    """Make memory of some trays for workers, and return what gives it to one of them."""
    opened = []

    def make(trays, workers=2, tray=TRAY):
        """Return it for memory whose descriptor is the last of `make.opened`."""
        descriptor = Fresh.create(trays * tray, workers, tray)
        opened.append(descriptor)
        return lambda worker=0: Fresh(descriptor, worker)

    make.opened = opened
    yield make
    for descriptor in opened:
        os.close(descriptor)


def tier(folder, fresh):
    return DirectoryTier(folder, direct=True, fresh=fresh)


def forget(folder):
    """Have the page cache hold nothing of the packs."""
    for pack in folder.glob("*.pack"):
        with pack.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Writer:
    """Appends to a pack of its own, and remembers what."""

    def __init__(self, tier):
        self.pack = tier.reserve(1)
        self.file = tier.create(self.pack)
        self.held = b""
        self.file.write([self.held], 0)

    def append(self, *parts):
        self.file.append(parts, len(self.held))
        self.held += b"".join(parts)

    def store(self, *parts):
        self.append(*parts)
        self.file.sync()
        return len(self.held)


def test_each_worker_reads_what_one_has_written(tmp_path, share, noise):
    memory = share(8)
    writer = Writer(tier(tmp_path, memory(0)))
    writer.store(noise(100), noise(90_000), noise(7))
    forget(tmp_path)
    for worker in (0, 1):
        with closing(tier(tmp_path, memory(worker)).open(writer.pack)) as reader:
            for start, stop in [(0, 100), (100, 90_100), (90_099, 90_107), (3, 90_107)]:
                assert reader.read_present(start, stop - start) == writer.held[start:stop]
            assert reader.read_present(0, 90_108) is None
            assert reader.read_present(1 << 60, 9) is None
    with closing(tier(tmp_path, None).open(writer.pack)) as reader:
        assert reader.read_present(100, 90_000) is None, "the page cache has none of it"
    writer.file.close()


def test_what_is_not_synced_is_not_there(tmp_path, share, noise):
    memory = share(8)
    writer = Writer(tier(tmp_path, memory()))
    end = writer.store(noise(5000))
    writer.append(noise(3000))
    with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
        forget(tmp_path)
        assert reader.read_present(0, end) == writer.held[:end]
        assert reader.read_present(end - 1, 2) is None
        writer.file.truncate(end)
        assert reader.read_present(end - 1, 2) is None
    writer.file.close()


def test_a_view_stays_as_it_is_while_the_writer_goes_on(tmp_path, share, noise):
    memory = share(8)
    writer = Writer(tier(tmp_path, memory()))
    writer.store(noise(70_000))
    with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
        view = reader.read_present(0, 70_000)
        for _ in range(40):
            writer.store(noise(70_000))
        forget(tmp_path)
        assert view == writer.held[:70_000]
        assert reader.read_present(0, 70_000) == view
        assert reader.read_present(70_000, 70_000) is None, "what came after it is gone"
        assert reader.read_present(40 * 70_000, 70_000) == writer.held[-70_000:]
        del view
        for _ in range(8):
            writer.store(noise(70_000))
        forget(tmp_path)
        assert reader.read_present(0, 70_000) is None
    writer.file.close()


def test_where_all_memory_is_read_the_writer_goes_on_without(tmp_path, share, noise):
    memory = share(4)
    writer = Writer(tier(tmp_path, memory()))
    with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
        views = []
        for n in range(6):
            writer.store(noise(100_000))
            forget(tmp_path)
            views.append(reader.read_present(n * 100_000, 100_000))
        assert [view is None for view in views] == [False, False, True, True, True, True]
        assert views[0] == writer.held[:100_000]
        (pack,) = tmp_path.glob("*.pack")
        assert pack.read_bytes()[: len(writer.held)] == writer.held
        views.clear()
        writer.store(noise(100_000))
        forget(tmp_path)
        assert reader.read_present(600_000, 100_000) == writer.held[600_000:]
    writer.file.close()


def test_a_worker_in_the_place_of_a_dead_one_lets_its_readers_go(tmp_path, share, noise):
    memory = share(4)
    writer = Writer(tier(tmp_path, memory()))
    dead = tier(tmp_path, memory(1)).open(writer.pack)
    views = []
    for n in range(2):
        writer.store(noise(100_000))
        views.append(dead.read_present(n * 100_000, 100_000))
    memory(1)
    writer.store(noise(100_000))
    forget(tmp_path)
    with closing(tier(tmp_path, memory(0)).open(writer.pack)) as reader:
        assert reader.read_present(200_000, 100_000) == writer.held[200_000:]
    for file in (dead, writer.file):
        file.close()


def take_all(connection, count):
    """Return what a connection has received, `count` bytes."""
    connection.settimeout(10)
    parts = []
    while count:
        parts.append(connection.recv(count))
        assert parts[-1], "the connection has ended"
        count -= len(parts[-1])
    return b"".join(parts)


def wear(out, peer, view, count=2 * LARGE):
    """Send a view until `count` bytes went: those of a tray leave as they are then."""
    while count > 0:
        sent = send_now(out.fileno(), [view])
        take_all(peer, sent)
        count -= sent


@pytest.mark.parametrize("tray", [TRAY, LARGE])
def test_pages_leave_as_they_are_from_trays_that_share_no_page(
    tmp_path, share, noise, connected, tray
):
    """A page that is partly given up is filled anew under the socket that holds it."""
    out, peer = connected
    writer = Writer(tier(tmp_path, share(2, workers=1, tray=tray)()))
    writer.store(noise(100_000))
    view = writer.file.read_present(0, 100_000)
    wear(out, peer, view)
    before = bytes(view)
    assert send_now(out.fileno(), [view]) == 100_000
    damage(share.opened[-1], before)
    assert (take_all(peer, 100_000) == before) is (tray < LARGE)
    del view
    writer.file.close()


def test_what_a_socket_holds_stays_as_it_is_when_its_memory_is_filled_anew(
    tmp_path, share, noise, connected
):
    """Sent often enough, pages leave themselves, and wait where the peer does not read."""
    out, peer = connected
    memory = share(6, tray=LARGE)
    writer = Writer(tier(tmp_path, memory(0)))
    for turn in range(4):  # the memory is used again, which has other pages then
        start = len(writer.held)
        writer.store(noise(100_000, turn))
        with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
            sent = []
            wear(out, peer, reader.read_present(start, 100_000))
            for length in (100_000, 65_536, 100_000, 99_999, 100_000):
                view = reader.read_present(start, 100_000)[:length]
                assert send_now(out.fileno(), [b"begin", view, b"end"]) == length + 8
                sent += [b"begin", bytes(view), b"end"]
                del view
        for _ in range(8):
            writer.store(noise(LARGE // 2))
        writer.store(noise(70_000))
        forget(tmp_path)
        with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
            assert reader.read_present(start, 100_000) is None, "it was filled anew"
            last = len(writer.held) - 70_000
            assert reader.read_present(last, 70_000) == writer.held[last:]
        assert take_all(peer, sum(map(len, sent))) == b"".join(sent)
    writer.file.close()


def damage(descriptor, data):
    """Change a byte of `data` where memory has it."""
    held = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    os.pwrite(descriptor, bytes([data[500] ^ 1]), held.index(data) + 500)


def test_each_chunk_is_checked_by_its_first_reader(tmp_path, share, noise):
    memory = share(4)
    writer = Writer(tier(tmp_path, memory()))
    with closing(tier(tmp_path, memory(1)).open(writer.pack)) as reader:
        for number in range(4):  # trays are filled anew meanwhile
            start = len(writer.held)
            whole = noise(99_000, number)
            front, data = whole[:66_000], whole[66_000:]
            writer.store(whole)
            sums = [(0, crc32c(part, 0)) for part in (front, data)]
            chunks = RawChunks(start, 66_000, 99_000, sums)
            forget(tmp_path)
            assert chunks.read(reader.read_present, 3, 70, 1 << 20) == front[3:70]
            damage(share.opened[-1], data)
            with pytest.raises(ValueError, match="chunk 1: checksum mismatch"):
                chunks.read(reader.read_present, 0, 99_000, 1 << 20)
            with pytest.raises(ValueError, match="chunk 1: checksum mismatch"):
                chunks.read(reader.read_present, 80_000, 80_001, 1 << 20)
            damage(share.opened[-1], front)
            assert len(chunks.read(reader.read_present, 0, 66_000, 1 << 20)) == 66_000, "checked"
    writer.file.close()


def test_a_look_at_the_disk_does_not_see_memory(tmp_path, share, noise):
    writer = Writer(tier(tmp_path, share(4)()))
    writer.store(noise(90_000))
    damage(share.opened[-1], writer.held)
    assert writer.file.read_present(0, 90_000) != writer.held
    assert writer.file.read(0, 90_000) == writer.held
    writer.file.close()


def test_memory_is_had_ahead_in_parts(tmp_path, share, noise):
    memory = share(17, workers=3)
    writer = Writer(tier(tmp_path, memory(2)))
    writer.store(noise(5000))
    worker = memory(1)
    assert [worker.populate() for _ in range(3)] == [True, False, False]
    assert memory(2).populate()
    with closing(tier(tmp_path, worker).open(writer.pack)) as reader:
        assert reader.read_present(0, 5000) == writer.held, "no byte of it has changed"
    writer.file.close()


def test_memory_of_less_than_a_tray_for_each_is_none(tmp_path, share, noise):
    writer = Writer(tier(tmp_path, share(1)(0)))
    writer.store(noise(100_000))
    forget(tmp_path)
    assert writer.file.read_present(0, 100_000) is None
    writer.file.close()


def test_of_another_kind():
    with pytest.raises(ValueError, match="not of pages"):
        Fresh.create(1 << 20, 1, 5000)
    descriptor = Fresh.create(1 << 20, 2, TRAY)
    try:
        with pytest.raises(OSError, match=r"[Ii]nvalid"):
            Fresh(descriptor, 2)
        length = os.pread(descriptor, 8, 24)
        os.pwrite(descriptor, b"another version's labels"[:8], 24)
        with pytest.raises(OSError, match=r"[Ii]nvalid"):
            Fresh(descriptor, 0)
        os.pwrite(descriptor, length, 24)
        Fresh(descriptor, 0)
        os.ftruncate(descriptor, 1 << 20)
        with pytest.raises(OSError, match=r"[Ii]nvalid"):
            Fresh(descriptor, 0)
    finally:
        os.close(descriptor)


sizes = st.one_of(st.integers(1, 300), st.integers(4090, 4100), st.integers(1, 3 * TRAY))


@given(
    steps=st.lists(st.tuples(st.booleans(), st.lists(sizes, min_size=1, max_size=3)), max_size=15),
    trays=st.integers(0, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_whatever_is_appended_is_there_as_it_is_in_the_file_or_not_at_all(steps, trays, seed):
    noise = random.Random(seed)
    descriptor = Fresh.create(trays * TRAY, 2, TRAY)
    with tempfile.TemporaryDirectory() as folder:
        writers = [Writer(tier(Path(folder), Fresh(descriptor, worker))) for worker in (0, 1)]
        parts = [[], []]
        for second, lengths in steps:
            writer = writers[second]
            start = len(writer.held)
            writer.store(*map(noise.randbytes, lengths))
            parts[second] += zip(accumulate(lengths, initial=start), lengths, strict=False)
            for number, each in enumerate(writers):
                for at, length in parts[number]:
                    found = each.file.read_present(at, length)
                    assert found is None or found == each.held[at : at + length]
        for writer in writers:
            assert writer.file.read(0, len(writer.held) + 1)[: len(writer.held)] == writer.held
            writer.file.close()
    os.close(descriptor)
