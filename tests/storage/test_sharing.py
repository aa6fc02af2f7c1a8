"""Many threads, and other processes, on the same packs."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vna.errors import Unavailable
from vna.storage import digest_of

HOLDER = """
import sys
from pathlib import Path
from vna.storage import BlobStore, StorageSettings
store = BlobStore(StorageSettings(path=Path(sys.argv[1])))
writer = store.writer()
for number in range(int(sys.argv[2])):
    if number:
        writer.close()
        writer = store.writer()
    _, mark = writer.append([], b"commit of another process")
    writer.sync()
    print(mark.pack, flush=True)
sys.stdin.read()
"""


def other_process(packs, count=1):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(packs), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_threads_read_while_one_writes(open_store, blob, noise):
    store = open_store(pack_size_bytes=50_000, open_packs=2)
    writer = store.writer()
    written, appended = [], []
    done = threading.Event()

    def read():
        reads = 0
        while not (done.is_set() and reads):
            for data, place in list(written)[-20:]:
                middle = len(data) // 3
                assert store.read(place) == data
                assert store.read(place, middle) == data[middle:]
                assert b"".join(store.pieces(place, 0, middle, 3000)) == data[:middle]
                reads += 1
        return reads

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(8)]
        try:
            for number in range(150):
                data = noise(number * 17, number) + bytes(number * 100)
                (place,), _ = writer.append([blob(data, chunk_length=9000)], b"c")
                appended.append((data, place))
                if number % 10 == 0:
                    writer.sync()
                    written += appended
                    appended.clear()
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert len(store.packs()) > 2
    assert len(store._packs) <= 2


def test_open_packs_are_bounded(open_store, packs, blob):
    store = open_store(pack_size_bytes=300, open_packs=3)
    writer = store.writer()
    places = [writer.append([blob(b"%d" % n)], b"c")[0][0] for n in range(20)]
    writer.sync()
    writer.let_go()

    def descriptors():
        return sum(str(packs) in str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir())

    held = [store.pieces(place, piece_length=1) for place in places[:8]]
    for pieces in held:
        next(pieces)
    assert len(store._packs) == 8, "what is in use stays open"
    for pieces in held:
        pieces.close()
    assert len(store._packs) == 3
    for number, place in enumerate(places):
        assert store.read(place) == b"%d" % number
    assert descriptors() == 3 + 1, "three for reading, one for writing"
    store.close()
    writer.close()
    assert descriptors() == 0


def test_a_removed_pack_reads_on_where_it_is_held(store, packs, noise):
    data = noise(300_000)
    stream = store.stream(65536)
    stream.write(data)
    place = stream.finish(digest_of(data))
    pieces = store.pieces(place, piece_length=65536)
    first = bytes(next(pieces))
    next(packs.glob("*.pack")).unlink()
    assert first + b"".join(pieces) == data


def test_abort_from_another_thread_waits_for_nobody(open_store, faulty, noise, monkeypatch):
    """The pack is removed by the thread that is at work in it, after its write."""
    store = open_store(faulty)
    stream = store.stream(32 << 10, codec="raw")
    inside, go_on = threading.Event(), threading.Event()
    allowed = faulty._allowed

    def slow(size, growth):
        inside.set()
        assert go_on.wait(20)
        return allowed(size, growth)

    monkeypatch.setattr(faulty, "_allowed", slow)
    with ThreadPoolExecutor(1) as pool:
        write = pool.submit(stream.write, noise(40_000))
        assert inside.wait(20)
        stream.abort()
        assert len(store.packs()) == 1
        go_on.set()
        write.result()
    assert store.packs() == []
    with pytest.raises(Unavailable):
        stream.write(b"x")


def test_a_pack_of_a_living_process_is_not_claimed(store, packs):
    other = other_process(packs)
    try:
        pack = int(other.stdout.readline())
        with store.claim(pack) as orphan:
            assert orphan is None
        assert len(list(store.records(pack))) == 1, "reading is free"
        other.kill()
        other.wait()
        with store.claim(pack) as orphan:
            assert orphan is not None
            assert not orphan.sealed
            with store.claim(pack) as second:
                assert second is None, "nor is one that is being recovered"
            assert len(list(orphan.records())) == 1
            orphan.truncate_torn_tail()
            orphan.seal()
        with store.claim(pack) as orphan:
            assert orphan.sealed
    finally:
        other.kill()
        other.communicate()


def test_our_own_active_pack_is_not_claimed(store):
    writer = store.writer()
    _, mark = writer.append([], b"c")
    with store.claim(mark.pack) as orphan:
        assert orphan is None
    writer.close()


def test_processes_never_share_a_name(packs, store):
    others = [other_process(packs, 20) for _ in range(3)]
    try:
        names = [int(other.stdout.readline()) for other in others for _ in range(20)]
    finally:
        for other in others:
            other.communicate("")
    assert len(set(names)) == 60
    assert {info.id for info in store.packs()} == set(names)


def test_a_name_is_never_used_again(store):
    stream = store.stream(4096)
    (first,) = store.packs()
    stream.abort()
    assert store.packs() == []
    _, mark = store.writer().append([], b"c")
    assert mark.pack > first.id
