"""The index at hand: held in memory up to a limit, and mapped ahead, so that looks are no faults."""

import errno
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from vna import machine
from vna._native import hold, populate
from vna.index import Index
from vna.index import populate as population
from vna.testing.commits import consistent, plain_keyer, store

PAGE = 4096


def size(settings):
    return (settings.path / "data.mdb").stat().st_size


def mapped(settings):
    """Return the bytes of the index that this process need not fault in."""
    maps = psutil.Process().memory_maps(grouped=True)
    return sum(each.rss for each in maps if each.path == str(settings.path / "data.mdb"))


def locked(settings):
    """Return the bytes of the index that this process holds in memory."""
    maps, name = Path("/proc/self/smaps").read_text(), str(settings.path / "data.mdb")
    files = re.findall(r"^\w+-\w+ .*? (/.*|)\n((?:\w+: .*\n)+)", maps, re.MULTILINE)
    told = [
        re.search(r"^Locked: +(\d+) kB", facts, re.MULTILINE)
        for file, facts in files
        if file == name
    ]
    return sum(int(each[1]) << 10 for each in told if each)


def fill(index):
    parts = 1
    while index.populate():
        parts += 1
    return parts


def add(index, first, count):
    for start in range(first, first + count, 500):
        index.apply([store(n, n) for n in range(start, start + 500)], {})


@pytest.fixture
def filled(settings):
    """An index of some megabytes that nobody has open, in memory."""
    with_content = Index.open(settings, plain_keyer)
    add(with_content, 0, 3000)
    with_content.sync()
    with_content.close()
    assert size(settings) > 2 << 20
    return settings


def test_what_is_in_memory_is_mapped_before_it_is_looked_at(filled):
    index = Index.open(filled, plain_keyer)
    assert mapped(filled) < size(filled) // 2  # the kernel maps some pages around each fault
    assert fill(index) == 1
    assert mapped(filled) == size(filled)
    index.close()
    assert mapped(filled) == 0


def test_it_is_done_in_parts_from_the_begin_to_the_end(filled, monkeypatch):
    monkeypatch.setattr(population, "PART", 256 << 10)
    index = Index.open(filled, plain_keyer)
    index.populate()
    some = mapped(filled)
    assert some < size(filled)
    assert fill(index) == -(-size(filled) // (256 << 10)) - 1
    assert mapped(filled) == size(filled) > some
    index.close()


def test_what_grows_is_mapped_with_the_next_call(filled):
    index = Index.open(filled, plain_keyer)
    fill(index)
    before = size(filled)
    add(index, 3000, 2000)
    assert size(filled) > before
    fill(index)
    assert mapped(filled) == size(filled)
    index.close()


def test_a_map_that_was_made_anew_is_filled_anew(filled):
    index = Index.open(replace(filled, map_size_bytes=6 << 20), plain_keyer)
    first = index.map_size
    fill(index)
    add(index, 3000, 4000)
    assert index.map_size > first
    assert fill(index) == 1
    assert mapped(filled) == size(filled)
    index.close()


def test_nothing_is_read_from_the_disk_for_it(filled):
    with (filled.path / "data.mdb").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    index = Index.open(filled, plain_keyer)
    before = mapped(filled)
    if before > size(filled) // 2:
        pytest.skip("this file system keeps all in memory")
    fill(index)
    assert mapped(filled) < size(filled) // 2
    assert consistent(index) == 3000
    index.close()


def test_it_goes_on_beside_a_map_that_grows(settings):
    index = Index.open(replace(settings, map_size_bytes=1 << 20), plain_keyer)
    stop, problems = threading.Event(), []

    def keep_filling():
        try:
            while not stop.wait(0.001):
                index.populate()
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    thread = threading.Thread(target=keep_filling)
    thread.start()
    add(index, 0, 3000)
    stop.set()
    thread.join()
    assert problems == []
    assert index.map_size > 1 << 20
    fill(index)
    assert mapped(settings) == size(settings)
    assert consistent(index) == 3000
    index.close()


def test_where_nobody_tells_what_is_mapped_nothing_is_done(filled, monkeypatch, tmp_path):
    monkeypatch.setattr(population, "MAPS", tmp_path / "none")
    index = Index.open(filled, plain_keyer)
    before = mapped(filled)
    assert not index.populate()
    assert mapped(filled) == before
    index.close()


def test_its_begin_is_read_in_and_held_up_to_a_limit(filled, caplog):
    with (filled.path / "data.mdb").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    index = Index.open(replace(filled, memory_bytes=(1 << 20) + 5), plain_keyer)
    assert fill(index) == 2  # what is held, and what is not
    assert locked(filled) == 1 << 20
    assert mapped(filled) >= 1 << 20
    assert consistent(index) == 3000
    index.close()
    assert locked(filled) == 0
    assert not caplog.records


def test_all_of_it_is_held_where_the_limit_is_higher_also_as_it_grows(filled):
    index = Index.open(replace(filled, memory_bytes=1 << 30, map_size_bytes=6 << 20), plain_keyer)
    fill(index)
    assert locked(filled) == mapped(filled) == size(filled)
    first = index.map_size
    add(index, 3000, 4000)
    fill(index)
    assert index.map_size > first
    assert locked(filled) == mapped(filled) == size(filled)
    index.close()


def test_where_holding_is_not_granted_it_is_said_once_and_mapped_as_before(
    filled, monkeypatch, caplog
):
    def refused(address, length):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(population, "hold", refused)
    monkeypatch.setattr(population, "PART", 256 << 10)
    caplog.set_level("INFO", population.__name__)
    index = Index.open(replace(filled, memory_bytes=1 << 30), plain_keyer)
    fill(index)
    assert mapped(filled) == size(filled)
    assert locked(filled) == 0
    assert [each.getMessage() for each in caplog.records] == [
        "the index is not held in memory: [Errno 12] Cannot allocate memory"
    ]
    index.close()


def test_no_more_is_held_than_half_of_what_the_control_group_may_have(
    filled, monkeypatch, tmp_path
):
    group = tmp_path / "groups" / "vna.slice" / "vna.service"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text(f"{1 << 20}\n")
    (tmp_path / "own").write_text("1:cpu:/\n0::/vna.slice/vna.service\n")
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "OWN_GROUP", tmp_path / "own")
    assert machine.memory_bytes() == 1 << 20
    index = Index.open(replace(filled, memory_bytes=1 << 30), plain_keyer)
    fill(index)
    assert locked(filled) == 1 << 19
    index.close()


def test_what_is_no_memory_of_the_process_cannot_be_held():
    with pytest.raises(OSError, match="Cannot allocate memory"):
        hold(0, PAGE)


@pytest.mark.parametrize(("address", "length"), [(0, 1 << 20), (PAGE + 1, PAGE), (1 << 62, PAGE)])
def test_what_is_no_memory_of_the_process_is_left_alone(address, length):
    assert populate(address, length) == 0
