"""Opening, refusing, growing, sharing between threads and processes, and being killed."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import lmdb
import msgspec
import pytest

from vna.errors import Busy, Full, Unavailable
from vna.index import Index
from vna.index.data_file import DataFile
from vna.testing.commits import consistent, plain_keyer, store, uid
from vna.types import Level

WRITER = """
import sys
from pathlib import Path
from vna.index import Index, IndexSettings
from vna.testing.commits import plain_keyer, store

path, lane, groups, size, map_size = sys.argv[1], *map(int, sys.argv[2:])
index = Index.open(IndexSettings(Path(path), map_size_bytes=map_size, sync=False), plain_keyer)
for group in range(groups):
    first = group * size
    index.apply(
        [
            store(lane + 2 * n, lane * 1_000_000 + n, series=n % 5, study=n % 3, patient=n % 2, pack=lane)
            for n in range(first, first + size)
        ],
        {lane: (first + size) * 100},
    )
    print(first + size, flush=True)
index.close()
"""


def start_writer(settings, lane, groups, size, map_size=64 << 20):
    arguments = [str(settings.path), *map(str, (lane, groups, size, map_size))]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True
    )


def test_opening_makes_the_folder_and_names_the_schema(settings, index):
    assert (settings.path / "data.mdb").exists()
    with index.read() as reader:
        assert reader.counts().instances == 0


def set_meta(settings, name, value):
    env = lmdb.open(str(settings.path), max_dbs=12, map_size=16 << 20)
    with env.begin(write=True) as txn:
        txn.put(name, msgspec.msgpack.encode(value), db=env.open_db(b"meta", txn=txn))
    env.close()


def test_another_schema_version_does_not_open(settings):
    Index.open(settings, plain_keyer).close()
    set_meta(settings, b"schema", 99)
    with pytest.raises(Unavailable, match=r"data\.mdb: has schema version 99, expected 2"):
        Index.open(settings, plain_keyer)


def test_another_archive_does_not_open(settings):
    Index.open(replace(settings, archive_uuid="one"), plain_keyer).close()
    with pytest.raises(Unavailable, match=r"data\.mdb: belongs to archive 'one', expected 'two'"):
        Index.open(replace(settings, archive_uuid="two"), plain_keyer)
    Index.open(replace(settings, archive_uuid="one"), plain_keyer).close()


def test_a_file_that_is_no_index_does_not_open(settings):
    settings.path.mkdir()
    (settings.path / "data.mdb").write_bytes(b"not LMDB " * 2000)
    with pytest.raises(Unavailable, match=r"data\.mdb: does not open"):
        Index.open(settings, plain_keyer)


def test_openers_of_one_path_in_one_process_share(settings):
    one, two = Index.open(settings, plain_keyer), Index.open(settings, plain_keyer)
    one.apply([store(1, 1)], {})
    one.close()
    one.close()
    with two.read() as reader:
        assert reader.counts().instances == 1
    with pytest.raises(Unavailable, match="other settings"):
        Index.open(replace(settings, max_readers=7), plain_keyer)
    two.close()
    Index.open(replace(settings, max_readers=7), plain_keyer).close()


def test_who_opens_while_the_last_one_closes_waits_for_that(settings, monkeypatch):
    """Closing the file would take LMDB's locks from the one that is opened beside it."""
    closing, go_on, events = threading.Event(), threading.Event(), []
    close, claim = DataFile.close, DataFile.claim

    def slow_close(file):
        closing.set()
        go_on.wait(1)
        close(file)
        events.append("closed")

    def noted_claim(file):
        events.append("opened")
        claim(file)

    index = Index.open(settings, plain_keyer)
    monkeypatch.setattr(DataFile, "close", slow_close)
    monkeypatch.setattr(DataFile, "claim", noted_claim)
    closer = threading.Thread(target=index.close)
    closer.start()
    assert closing.wait(60)
    opener = threading.Thread(target=lambda: Index.open(settings, plain_keyer).close())
    opener.start()
    opener.join(0.2)
    go_on.set()
    closer.join()
    opener.join()
    assert events == ["closed", "opened", "closed"]


def test_a_fork_must_not_use_it(index):
    child = os.fork()
    if not child:
        code = 1
        try:
            with index.read():
                pass
        except Unavailable:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_full_map_grows_while_threads_read(settings):
    index = Index.open(replace(settings, map_size_bytes=1 << 20), plain_keyer)
    stop, seen, problems = threading.Event(), [], []

    def read():
        try:
            while not stop.wait(0.01):  # readers that never pause leave the writer no interpreter
                with index.read() as reader:
                    count = reader.counts().instances
                    assert sum(1 for _ in reader.ids(Level.INSTANCE, b"", b"\xff")) == count
                    seen.append(count)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for group in range(30):
        index.apply([store(n, n) for n in range(group * 100, group * 100 + 100)], {})
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert index.map_size >= 4 << 20
    assert seen
    assert consistent(index) == 3000
    index.close()


def test_growth_ends_at_the_maximum_and_leaves_the_index_whole(settings):
    small = replace(settings, map_size_bytes=1 << 20, max_map_size_bytes=2 << 20)
    index = Index.open(small, plain_keyer)
    taken = 0

    def fill():
        nonlocal taken
        while True:
            index.apply([store(n, n) for n in range(taken, taken + 100)], {})
            taken += 100

    with pytest.raises(Full, match="maximum of 2097152 bytes"):
        fill()
    assert consistent(index) == taken > 0
    index.close()


def test_growth_gives_up_when_a_reader_stays(settings):
    index = Index.open(replace(settings, map_size_bytes=1 << 20, remap_wait_s=0.05), plain_keyer)

    def fill():
        for n in range(100):
            index.apply([store(100 * n + m, 100 * n + m) for m in range(100)], {})

    with index.read(), pytest.raises(Busy, match="1 transactions"):
        fill()
    before = consistent(index)
    index.apply([store(100_000 + m, 100_000 + m) for m in range(1000)], {})
    assert consistent(index) == before + 1000
    index.close()


def test_processes_write_and_read_one_index_and_follow_its_growth(settings):
    index = Index.open(replace(settings, map_size_bytes=1 << 20), plain_keyer)
    writers = [start_writer(settings, lane, 40, 25, 1 << 20) for lane in (1, 2)]
    counts = []
    while any(writer.poll() is None for writer in writers):
        with index.read() as reader:
            counts.append(reader.counts().instances)
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.stdout.close()
    assert counts == sorted(counts)
    with index.read():
        assert index.map_size > 1 << 20, "adopted"
    index.apply([store(9, 9)], {})
    assert consistent(index) == 2001
    with index.read() as reader:
        assert reader.marks() == {1: 100_000, 2: 100_000}
    index.close()


@pytest.mark.crash
def test_killed_writers_leave_whole_groups(settings):
    told = 0
    for round_ in range(6):
        writer = start_writer(settings, 1, 10_000, 20)
        for _ in range(3 + 7 * round_):
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        writer.wait()
        writer.stdout.close()
        lines = (line + rest).splitlines(keepends=True)
        told = max([told, *(int(line) for line in lines if line.endswith("\n"))])
        index = Index.open(replace(settings, map_size_bytes=64 << 20), plain_keyer)
        there = consistent(index)
        assert there >= told
        assert there % 20 == 0
        with index.read() as reader:
            assert reader.marks()[1] == there * 100
            assert reader.instance(uid(Level.INSTANCE, 1_000_000 + there - 1)) is not None
        index.close()
    assert told > 500


def test_a_slot_of_a_killed_reader_is_freed(settings):
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom vna.index import Index, IndexSettings\n"
        "s = IndexSettings(Path(sys.argv[1]), map_size_bytes=16 << 20, max_readers=2, sync=False)\n"
        "with Index.open(s, lambda level, attributes: ()).read():\n"
        "    print('reading', flush=True)\n    time.sleep(60)\n"
    )
    index = Index.open(replace(settings, max_readers=2), plain_keyer)
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(settings.path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "reading\n"
        child.kill()
        child.wait()
        child.stdout.close()
        with index.read() as one, index.read() as two:
            assert one.counts() == two.counts()
    with index.read(), index.read(), pytest.raises(Busy, match="reader slots"), index.read():
        pass
    index.close()


def test_writes_of_threads_take_turns(index):
    def write(lane):
        for n in range(20):
            index.apply([store(n, lane * 1000 + n, study=lane)], {})

    threads = [threading.Thread(target=write, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert consistent(index) == 80


def test_a_closed_index_refuses(index):
    index.apply([store(1, 1)], {})
    index.sync()
    index.close()
    with pytest.raises(Unavailable, match="closed"), index.read():
        pass


def test_the_generation_is_that_of_the_newest_snapshot_and_every_change_raises_it(index):
    seen = []
    for stamp in (1, 2):
        index.apply([store(stamp, stamp)], {})
        with index.read() as reader:
            assert reader.generation == index.generation
        seen.append(index.generation)
    assert seen[0] < seen[1]
    with index.read() as old:
        index.apply([store(3, 3)], {})
        assert old.generation == seen[1] < index.generation


def test_the_generation_is_told_without_waiting_for_a_remap(index):
    gate = index._environment._gate
    with gate.alone(1):
        assert index.generation is None
    assert index.generation is not None
