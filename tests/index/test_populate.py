"""What memory has of the index is mapped ahead: no page of it is a fault any more when first looked at."""

import os
import threading
from dataclasses import replace

import psutil
import pytest

from vna._native import populate
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


@pytest.mark.parametrize(("address", "length"), [(0, 1 << 20), (PAGE + 1, PAGE), (1 << 62, PAGE)])
def test_what_is_no_memory_of_the_process_is_left_alone(address, length):
    assert populate(address, length) == 0
