"""The cache of far packs: what is found, what is not believed, who fetches, who leaves."""

import os
import threading

import pytest

from vna.folders import exclusive
from vna.observe import exposition, metrics
from vna.storage.eviction import Entry, Queues
from vna.storage.extents import ExtentCache
from vna.storage.tiers.cached import EXTENT, CachedTier
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.tiers.wrapping import MarkedTier, MeteredTier, QueuedTier, WrappedTier
from vna.testing.counting import CountingTier
from vna.testing.faulty import FaultyTier

PACK = 2 << 56 | 1 << 32 | 4
CONTENT = bytes(range(256)) * (3 * EXTENT // 256)


@pytest.fixture
def far(tmp_path):
    """A tier that counts what it is asked, with one pack."""
    tier = CountingTier(DirectoryTier(tmp_path / "far"))
    tier.put(PACK, [CONTENT])
    tier.asked.clear()
    return tier


@pytest.fixture
def make_cached(far, tmp_path):
    """Open the cache as a process does."""
    return lambda: CachedTier(far, ExtentCache(tmp_path / "cache", 64 << 20))


def reads(far):
    return far.asked["read"]


def test_a_range_is_asked_for_once(make_cached, far):
    reader = make_cached().open(PACK)
    for _ in range(3):
        assert reader.read(1000, 5000) == CONTENT[1000:6000]
        assert reader.read(1500, 100) == CONTENT[1500:1600]
    assert reads(far) == 1
    assert far.moved["read"] == 5000


def test_another_process_finds_it_too(make_cached, far):
    first, second = make_cached(), make_cached()
    assert second.cache.find(PACK, 0, 10) is None
    first.open(PACK).read(0, 5000)
    assert second.open(PACK).read(10, 100) == CONTENT[10:110]
    assert reads(far) == 1


def test_a_folder_that_has_not_changed_is_not_listed_again(make_cached, monkeypatch):
    first, second = make_cached(), make_cached()
    first.open(PACK).read(0, 100)
    listed = []
    whole = ExtentCache._listed
    monkeypatch.setattr(
        ExtentCache, "_listed", lambda self, pack: listed.append(pack) or whole(self, pack)
    )
    now = iter(range(100))
    monkeypatch.setattr("vna.storage.extents.time.monotonic", lambda: next(now))
    cache = second.cache
    assert cache.covers(PACK, 0, 100)
    assert not any(cache.covers(PACK, 200, 300) for _ in range(20))
    assert cache.find(PACK, 200, 300) is None
    assert len(listed) == 2, "once more, as the time of change is coarse"
    first.open(PACK).read(200, 100)
    assert cache.covers(PACK, 200, 300)
    first.cache.clear()
    assert not cache.covers(PACK, 0, 100)


def test_neighbours_and_overlaps_make_one_range(make_cached, far):
    reader = make_cached().open(PACK)
    for start, stop in ((0, 100), (100, 300), (250, 600), (260, 270)):
        reader.read(start, stop - start)
    asked = reads(far)
    assert reader.read(0, 600) == CONTENT[:600]
    assert reader.read(50, 500) == CONTENT[50:550]
    assert reads(far) == asked
    assert reader.read(590, 20) == CONTENT[590:610]
    assert reads(far) == asked + 1


def test_a_record_that_is_wanted_is_one_request(make_cached, far):
    reader = make_cached().open(PACK)
    reader.want(4096, 600_000)
    assert reader.read(4096, 16384) == CONTENT[4096 : 4096 + 16384]
    assert reader.read(30_000, 500_000) == CONTENT[30_000:530_000]
    assert reads(far) == 1


def test_a_long_stream_is_one_request_and_stays(make_cached, far):
    reader = make_cached().open(PACK)
    stop = 2 * EXTENT + 77
    assert b"".join(reader.stream(5, stop - 5)) == CONTENT[5:stop]
    assert reads(far) == 1
    assert b"".join(reader.stream(5, stop - 5)) == CONTENT[5:stop]
    assert reader.read(EXTENT - 3, 20) == CONTENT[EXTENT - 3 : EXTENT + 17]
    assert reads(far) == 1


def test_who_asks_meanwhile_waits_along(tmp_path, far):
    started, go_on = threading.Event(), threading.Event()

    class Slow(WrappedTier):
        def open(self, pack):
            reader = super().open(pack)
            read = reader.read

            def slowly(offset, length):
                started.set()
                assert go_on.wait(10)
                return read(offset, length)

            reader.read = slowly
            return reader

    cached = CachedTier(Slow(far), ExtentCache(tmp_path / "cache", 1 << 20))
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(cached.open(PACK).read(0, 1000)))
        for _ in range(4)
    ]
    threads[0].start()
    assert started.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert answers == [CONTENT[:1000]] * 4
    assert reads(far) == 1


def test_a_failure_reaches_all_and_is_not_kept(tmp_path):
    class Away(DirectoryTier):
        away = True

        def open(self, pack):
            if self.away:
                raise ConnectionError("the store is away")
            return super().open(pack)

    far = Away(tmp_path / "far")
    far.put(PACK, [b"content"])
    cached = CachedTier(far, ExtentCache(tmp_path / "cache", 1 << 20))
    with pytest.raises(ConnectionError):
        cached.open(PACK)
    far.away = False
    assert cached.open(PACK).read(0, 7) == b"content"


def test_a_shortened_or_vanished_extent_is_a_miss(make_cached, far, tmp_path):
    reader = make_cached().open(PACK)
    reader.read(0, 5000)
    (extent,) = (tmp_path / "cache").glob("*/0*")
    os.truncate(extent, 100)
    assert reader.read(0, 5000) == CONTENT[:5000]
    (extent,) = (tmp_path / "cache").glob("*/0*")
    extent.unlink()
    assert reader.read(0, 5000) == CONTENT[:5000]
    assert reads(far) == 3


def test_a_torn_extent_hides_nothing(make_cached, far, tmp_path):
    reader = make_cached().open(PACK)
    reader.read(0, 100_000)
    (extent,) = (tmp_path / "cache").glob("*/0*")
    os.truncate(extent, 0)
    cached = make_cached()
    assert not cached.cache.covers(PACK, 0, 100_000)
    reader = cached.open(PACK)
    for _ in range(3):
        assert reader.read(1000, 5000) == CONTENT[1000:6000]
    assert reads(far) == 2


def test_what_was_dropped_is_fetched_again(make_cached, far):
    reader = make_cached().open(PACK)
    reader.read(0, 5000)
    reader.drop(100, 1)
    assert reader.read(0, 5000) == CONTENT[:5000]
    assert reads(far) == 2


def test_the_cache_stays_within_its_limit(far, tmp_path):
    cache = ExtentCache(tmp_path / "cache", 1 << 20)
    reader = CachedTier(far, cache).open(PACK)
    for number in range(200):
        reader.read(number * 40_000, 40_000)
    assert cache.size() <= (1 << 20) * 1.1
    assert cache.clear() > 0
    assert cache.size() == 0
    assert reader.read(0, 10) == CONTENT[:10]


def test_packs_of_which_nothing_is_left_leave_no_folder(far, tmp_path):
    cache = ExtentCache(tmp_path / "cache", 1 << 20)
    tier = CachedTier(far, cache)
    packs = range(PACK + 1, PACK + 40)
    for pack in packs:
        tier.put(pack, [CONTENT[:50_000]])
        assert tier.open(pack).read(0, 50_000) == CONTENT[:50_000]
    held = [entry for entry in (tmp_path / "cache").iterdir() if entry.is_dir()]
    assert len(held) <= cache.limit // 50_000 + 1
    cache.clear()
    assert not any(entry.is_dir() for entry in (tmp_path / "cache").iterdir())
    assert tier.open(PACK + 1).read(0, 10) == CONTENT[:10]
    assert cache.size() == 10


def test_a_folder_that_goes_while_it_is_looked_for_is_no_failure(make_cached, monkeypatch):
    cached = make_cached()
    cached.open(PACK).read(0, 5000)
    scandir = os.scandir

    def scan(path):
        found = list(scandir(path))
        monkeypatch.undo()
        cached.cache.clear()
        return found

    monkeypatch.setattr(os, "scandir", scan)
    assert cached.cache.size() == 0


def test_a_cache_is_emptied_though_another_looks_through_it(make_cached, tmp_path):
    cached = make_cached()
    cached.open(PACK).read(0, 5000)
    held, let_go = threading.Event(), threading.Event()

    def look_through():
        with exclusive(tmp_path / "cache/queues.lock", wait=True):
            held.set()
            let_go.wait(0.3)

    looking = threading.Thread(target=look_through)
    looking.start()
    held.wait()
    assert cached.cache.clear() == 5000
    looking.join()


def test_a_pass_over_everything_leaves_what_is_in_use(far, tmp_path):
    cache = ExtentCache(tmp_path / "cache", 1 << 20)
    reader = CachedTier(far, cache).open(PACK)
    used = range(5)
    for _ in range(2):
        for number in used:
            reader.read(number * 10_000, 10_000)
    for number in range(20, 400):  # 3.8 MB, each once
        reader.read(number * 10_000, 10_000)
        if number % 20 == 0:
            for one in used:
                reader.read(one * 10_000, 10_000)
    asked = reads(far)
    for number in used:
        reader.read(number * 10_000, 10_000)
    assert reads(far) == asked


def test_what_was_fetched_by_choice_is_not_the_first_to_go(far, tmp_path):
    cache = ExtentCache(tmp_path / "cache", 1 << 20)
    tier = CachedTier(far, cache)
    reader = tier.open(PACK)
    for _ in range(2):
        for number in range(80):  # in use, nearly all that there is room for
            reader.read(number * 10_000, 10_000)
    prior = tier.begin(PACK, 2_000_000, 2_200_000)
    prior.fly(threading.Event())
    prior.favour()
    for number in range(300, 400):  # 1 MB, each once
        reader.read(number * 10_000, 10_000)
    assert cache.covers(PACK, prior.start, prior.stop)


def test_a_cache_that_cannot_be_written_is_no_failure(make_cached, far, tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28)))
    reader = make_cached().open(PACK)
    assert reader.read(0, 5000) == CONTENT[:5000]
    assert reader.read(0, 5000) == CONTENT[:5000]


def test_a_cache_that_is_gone_is_no_failure(make_cached, far, tmp_path):
    reader = make_cached().open(PACK)
    (tmp_path / "cache").rename(tmp_path / "unmounted")
    for _ in range(2):
        assert reader.read(0, 5000) == CONTENT[:5000]
    assert reads(far) == 2


def entries(*names, read=()):
    return [Entry(name, 10, came, name in read) for came, name in enumerate(names)]


def test_eviction_takes_the_oldest_that_nobody_read():
    queues = Queues()
    assert queues.evict(entries("a", "b", "c"), 20) == ["a"]
    assert queues.ghosts == ["a"]


def test_eviction_gives_what_was_read_another_turn():
    queues = Queues()
    assert queues.evict(entries("a", "b", "c", read="a"), 20) == ["b"]
    assert queues.main == ["a"]
    # its second turn is over, nobody read it
    assert queues.evict(entries("a", "d"), 0) == ["d", "a"]


def test_what_comes_back_goes_to_the_main_queue():
    queues = Queues()
    queues.evict(entries("a", "b"), 10)
    assert queues.ghosts == ["a"]
    assert queues.evict(entries("b", "a", "c"), 20) == ["b"]
    assert queues.main == ["a"]


def test_queues_forget_what_is_gone():
    queues = Queues(main=["x", "a"], ghosts=["g"] * 100)
    queues.evict(entries("a"), 100)
    assert queues.main == ["a"]
    assert len(queues.ghosts) <= 1


def test_another_disk_in_the_place_of_a_tier_is_not_touched(tmp_path):
    remembered = []
    tier = MarkedTier(lambda: DirectoryTier(tmp_path / "disk"), "", remembered.append)
    tier.put(PACK, [b"content"])
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    again = MarkedTier(lambda: DirectoryTier(tmp_path / "disk"), remembered[0], print)
    with pytest.raises(ConnectionError, match="is in its place"):
        again.put(PACK + 1, [b"content"])
    with pytest.raises(ConnectionError):
        again.open(PACK)
    assert DirectoryTier(tmp_path / "disk").list() == []
    assert len(remembered) == 1


def test_a_disk_that_is_not_mounted_is_not_written(tmp_path):
    with pytest.raises(ConnectionError, match="mounted"):
        DirectoryTier(tmp_path / "disk", new=False)
    assert not (tmp_path / "disk").exists()


@pytest.fixture
def unmounted(tmp_path):
    """Give where a disk was mounted, and its tier, which has shown itself and holds a pack."""
    place = tmp_path / "disk"
    identity = DirectoryTier(place).identity
    tier = MarkedTier(lambda: DirectoryTier(place, new=False), identity, print)
    tier.put(PACK, [b"content"])
    place.rename(tmp_path / "unmounted")
    return place, tier


def test_a_disk_that_comes_back_is_used_again(unmounted, tmp_path):
    place, tier = unmounted
    with pytest.raises(OSError, match="No such file"):
        tier.open(PACK)
    with pytest.raises(ConnectionError):
        tier.put(PACK + 1, [b"content"])
    (tmp_path / "unmounted").rename(place)
    assert tier.open(PACK).read(0, 7) == b"content"


def test_the_folder_that_a_disk_was_mounted_on_takes_no_packs(unmounted, tmp_path):
    place, tier = unmounted
    place.mkdir()
    with pytest.raises(ConnectionError, match="mounted"):
        tier.put(PACK + 1, [b"content"])
    assert list(place.iterdir()) == []
    for ask in (tier.list, lambda: tier.remove(PACK)):
        with pytest.raises(ConnectionError):
            ask()
    place.rmdir()
    (tmp_path / "unmounted").rename(place)
    assert tier.list() == [(PACK, 7)]


def test_who_waits_for_a_tier_to_show_itself_fails_as_it_does():
    opened, failed = [], []
    wait, all_wait = threading.Event(), threading.Barrier(9)

    def hanging():
        opened.append(1)
        wait.wait(20)
        raise TimeoutError("no answer in time")

    tier = MarkedTier(hanging, "known", print)

    def ask():
        all_wait.wait()
        with pytest.raises(TimeoutError, match="no answer"):
            tier.open(PACK)
        failed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    all_wait.wait()
    threading.Event().wait(0.3)
    wait.set()
    for thread in threads:
        thread.join()
    assert (len(failed), len(opened)) == (8, 1)
    with pytest.raises(TimeoutError):
        tier.open(PACK)
    assert len(opened) == 2, "who comes later asks anew"


def test_few_at_once(tmp_path):
    inside, most = 0, 0
    lock = threading.Lock()

    class Counting(DirectoryTier):
        def list(self):
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.01)
            with lock:
                inside -= 1
            return super().list()

    tier = QueuedTier(Counting(tmp_path), 2)
    threads = [threading.Thread(target=tier.list) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_who_takes_his_time_with_a_stream_keeps_nobody_from_reading(tmp_path):
    tier = QueuedTier(DirectoryTier(tmp_path), 1)
    content = bytes(9 << 20)
    tier.put(PACK, [content])
    pieces = tier.open(PACK).stream(0, len(content))
    first = next(pieces)
    found = []
    reading = threading.Thread(target=lambda: found.append(tier.open(PACK).read(0, 7)), daemon=True)
    reading.start()
    reading.join(10)
    assert found == [bytes(7)]
    assert len(first) + sum(map(len, pieces)) == len(content)


def counted(line):
    """Return what a metric stands at."""
    text = exposition(metrics.REGISTRY, {})
    return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))


def test_traffic_is_counted(tmp_path):
    lines = [
        'vna_tier_operations_total{verb="put",end="answered"}',
        'vna_tier_operations_total{verb="open",end="answered"}',
        'vna_tier_operations_total{verb="read",end="failed"}',
        'vna_tier_bytes_total{verb="read"}',
    ]
    before = [counted(line) for line in lines]
    faulty = FaultyTier(DirectoryTier(tmp_path))
    tier = MeteredTier(faulty)
    tier.put(PACK, [b"1234"])
    with pytest.raises(FileNotFoundError):
        tier.open(PACK + 1)
    reader = tier.open(PACK)
    reader.read(0, 2)
    faulty.fail("read")
    with pytest.raises(OSError, match="Input/output"):
        reader.read(0, 2)
    after = [counted(line) for line in lines]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 1, 2]


def test_look_ups_are_counted(make_cached):
    hit, miss = (f'vna_cache_lookups_total{{found="{found}"}}' for found in ("hit", "miss"))
    before = counted(hit), counted(miss)
    reader = make_cached().open(PACK)
    for _ in range(3):
        reader.read(0, 100)
    assert (counted(hit) - before[0], counted(miss) - before[1]) == (2, 1)
