"""Reads that never wait: all that is in memory, checked like any other read, or WouldWait."""

import os
import resource

import pytest

from vna._native import CachedFile
from vna.errors import Corrupt, Unavailable, WouldWait
from vna.storage import digest_of
from vna.storage.decoded import DecodedChunks
from vna.types import BlobPlace

STRIDE = 65536


@pytest.fixture
def put(store, blob):
    """Store a blob; return its place. It is in memory, and its pack open for reading."""
    with_writer = store.writer()

    def put(data, *, codec="raw", chunk_length=STRIDE):
        (place,), _ = with_writer.append(
            [blob(data, codec=codec, chunk_length=chunk_length)], b"commit"
        )
        with_writer.sync()
        store.verify(place, digest_of(data))
        return place

    return put


def test_what_is_present_is_what_is_stored(store, put, noise):
    data = noise(5 * STRIDE + 17)
    place = put(data)
    present = store.present
    assert present.read(place) == data
    for start, stop in [(0, 1), (STRIDE - 1, STRIDE + 1), (3 * STRIDE, len(data)), (7, 7)]:
        assert present.read(place, start, stop) == data[start:stop]


def test_long_spans_come_in_whole_chunks(store, put, noise):
    data = noise(5 << 20)
    place = put(data, chunk_length=3 * STRIDE)
    at, taken = 100, []
    while at < len(data) - 3:
        taken.append(store.present.read_some(place, at, len(data) - 3))
        at += len(taken[-1])
    assert b"".join(taken) == data[100:-3]
    assert max(map(len, taken)) <= 1 << 20
    assert all((100 + len(b"".join(taken[:n]))) % (3 * STRIDE) == 0 for n in range(1, len(taken)))


def test_a_pack_that_is_not_open_must_wait(open_store, put):
    place = put(b"bytes" * 100)
    other = open_store()
    with pytest.raises(WouldWait):
        other.present.read(place)
    other.read(place)
    assert other.present.read(place) == b"bytes" * 100


def test_large_chunks_and_decoding_are_work_for_threads(store, put, noise):
    with pytest.raises(WouldWait):
        store.present.read(put(noise(3 << 20), chunk_length=3 << 20), 0, 10)
    with pytest.raises(WouldWait):
        store.present.read_some(put(noise(3 << 20), chunk_length=3 << 20), 0, 3 << 20)
    with pytest.raises(WouldWait):
        store.present.read(put(bytes(1 << 20), codec="zstd", chunk_length=1 << 20), 0, 10)
    assert store.present.read(put(bytes(5000), codec="zstd")) == bytes(5000)


def test_damage_is_never_served(store, put, packs, noise):
    data = noise(2 * STRIDE)
    place = put(data)
    (file,) = packs.glob("*.pack")
    with file.open("r+b") as pack:
        pack.seek(place.offset + place.size - 100)
        pack.write(b"damage")
    assert store.present.read(place, 0, 10) == data[:10]
    with pytest.raises(Corrupt, match="checksum"):
        store.present.read(place)


def test_several_are_read_when_they_are_asked_for(store, put, packs, noise):
    data = noise(2 * STRIDE)
    places = [put(data), put(data[::-1])]
    assert [store.present.read(place) for place in places] == [data, data[::-1]]
    each = store.present.each((place, 0, place.length) for place in places)
    assert next(each) == data
    (file,) = packs.glob("*.pack")
    with file.open("r+b") as pack:
        pack.seek(places[1].offset + places[1].size - 100)
        pack.write(b"damage")
    with pytest.raises(Corrupt, match="checksum"):
        next(each)


def test_what_is_known_of_a_blob_does_not_outlive_its_bytes(store, put, packs, noise):
    data = noise(STRIDE)
    place = put(data)
    assert store.present.read(place) == data
    (file,) = packs.glob("*.pack")
    with file.open("r+b") as pack:
        pack.seek(place.offset + place.size - 100)
        pack.write(b"damage")
    with pytest.raises(Corrupt, match="checksum"):
        store.present.read(place)


def test_errors_of_the_disk_are_told(open_store, faulty, blob):
    store = open_store(faulty)
    writer = store.writer()
    (place,), _ = writer.append([blob(b"x" * 5000, codec="raw")], b"commit")
    writer.sync()
    store.read(place)
    faulty.fail("read")
    with pytest.raises(Unavailable, match="cannot be read"):
        store.present.read(place)
    faulty.heal()
    assert store.present.read(place) == b"x" * 5000
    faulty.fail("read")  # now it is known where the blob's chunks are
    with pytest.raises(Unavailable, match="cannot be read"):
        store.present.read(place)


def test_a_known_blob_must_wait_once_its_pack_was_closed(store, put, packs, noise):
    place = put(noise(STRIDE))
    store.present.read(place)
    (file,) = packs.glob("*.pack")
    file.rename(file.with_suffix(".away"))
    store.let_go()
    with pytest.raises(WouldWait):
        store.present.read(place)


def test_of_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"0123456789" * 10_000)
    with file.open("rb") as opened:
        cached = CachedFile(opened.fileno())
        assert cached.present(5, 10) == b"5678901234"
        assert cached.present(5, 90_000) == b"5678901234" * 9_000
        assert cached.present(99_995, 10) is None
        assert cached.present(1 << 40, 1) is None
        assert cached.present(0, 0) is None
        assert cached.present(0, 17 << 20) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        cached.present(0, 1)


MANY = (24 << 20) + 12_345
"""Bytes of a file that the page cache keeps in several runs, of which the last is left alone."""


@pytest.fixture
def long_file(tmp_path, noise):
    path = tmp_path / "long"
    path.write_bytes(noise(MANY))
    with path.open("r+b", buffering=0) as opened:
        yield opened


def test_much_of_a_file_is_a_view_of_the_page_cache(long_file):
    number = long_file.fileno()
    cached = CachedFile(number)
    held = os.pread(number, MANY, 0)
    cached.present(MANY - 1, 1)
    for offset, length in [(0, 1 << 16), (4095, 3 << 20), (1 << 20, 1 << 20)]:
        view = cached.present(offset, length)
        assert view == held[offset : offset + length]
        assert view.readonly
        os.pwrite(number, bytes([view[7] ^ 1]), offset + 7)
        assert view[7] == held[offset + 7] ^ 1
        os.pwrite(number, held[offset + 7 : offset + 8], offset + 7)
    long_file.close()
    assert view == held[offset : offset + length]
    with pytest.raises(OSError, match="Bad file descriptor"):
        cached.present(0, 1 << 16)


def test_the_end_of_a_file_is_not_mapped(long_file):
    number = long_file.fileno()
    cached = CachedFile(number)
    copies = [cached.present(0, 1 << 20), cached.present(MANY - (1 << 20), 1 << 20)]
    held = list(map(bytes, copies))
    os.pwrite(number, bytes(MANY), 0)
    assert copies == held


def test_a_file_that_grows_is_mapped_anew(long_file):
    number = long_file.fileno()
    cached = CachedFile(number)
    cached.present(MANY - 1, 1)
    early = cached.present(0, 1 << 16)
    os.ftruncate(number, (1 << 30) + MANY)
    os.pwrite(number, b"later" * 20_000, 1 << 30)
    os.pwrite(number, b"end", (1 << 30) + MANY - 3)
    assert cached.present((1 << 30) + MANY - 3, 3) == b"end"
    assert cached.present((1 << 30), 100_000) == b"later" * 20_000
    assert early == os.pread(number, 1 << 16, 0)
    assert cached.present((1 << 30) + MANY - 70_000, 70_001) is None


def test_what_the_page_cache_does_not_have_is_not_touched(long_file):
    number = long_file.fileno()
    cached = CachedFile(number)
    cached.present(MANY - 1, 1)
    os.fsync(number)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_RANDOM)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
    assert cached.present(1 << 20, 1 << 20) is None
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_majflt == before
    held = os.pread(number, 1 << 20, 1 << 20)
    assert cached.present(1 << 20, 1 << 20) == held
    assert cached.present((1 << 20) - 1, 1 << 20) is None


@pytest.mark.parametrize("offset", [0, 4096, 70_001])
def test_the_first_read_leaves_the_page_cache_alone_and_the_second_fills_it(long_file, offset):
    number = long_file.fileno()
    cached = CachedFile(number)
    os.fsync(number)
    held = os.pread(number, 100_000, offset)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    assert cached.read(offset, 100_000) == held
    assert cached.present(offset, 100_000) is None
    assert cached.read(offset, 100_000) == held
    assert cached.present(offset, 100_000) == held
    assert cached.read(offset, 100_000) == held


def test_reads_at_the_end_of_a_file(long_file):
    number = long_file.fileno()
    os.fsync(number)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    cached = CachedFile(number)
    for _ in range(2):
        assert cached.read(MANY - 65_000, 65_001) is None
        assert cached.read(MANY - 65_537, 65_537) == os.pread(number, 65_537, MANY - 65_537)
        assert cached.read(1 << 40, 1 << 16) is None
        assert cached.read(0, 65_535) is None, "as little as that is read by who wants it"
    with pytest.raises(OSError, match="Bad file descriptor"):
        CachedFile(-1).read(0, 1 << 16)


def test_damage_is_not_served_from_the_page_cache_either(store, put, packs, noise):
    data = noise(1 << 20)
    places = [put(data[n:] + data[:n], chunk_length=1 << 18) for n in range(24)]
    (file,) = packs.glob("*.pack")
    present = store.present
    for place in places[:2] * 2:  # so that the page cache has them, whatever it has lost since
        store.read(place)
    present.read(places[-1], 0, 10)
    sound = present.read(places[1])
    assert sound == data[1:] + data[:1]
    with file.open("r+b") as pack:
        pack.seek(places[0].offset + places[0].size - 100)
        pack.write(b"damage")
    assert present.read(places[0], 0, 10) == data[:10]
    with pytest.raises(Corrupt, match="chunk 3: checksum"):
        present.read(places[0])
    assert sound == data[1:] + data[:1]


@pytest.mark.parametrize(("length", "waits"), [(200_000, False), (800_000, True)])
def test_a_decoded_chunk_is_kept_and_read_without_waiting(
    store, put, noise, monkeypatch, length, waits
):
    decoded = []
    keep = DecodedChunks.keep

    def noted(kept, place, stride, chunk, raw):
        decoded.append(chunk)
        keep(kept, place, stride, chunk, raw)

    monkeypatch.setattr(DecodedChunks, "keep", noted)
    data = bytes(length) + noise(3 * length)
    place = put(data, codec="zstd", chunk_length=length)
    for _ in range(2):  # what is read again comes into memory
        assert store.read(place, 0, len(data)) == data
    if waits:
        with pytest.raises(WouldWait):
            store.present.read(place, 10, 150_000)
    read = store.read if waits else store.present.read
    assert read(place, 10, 150_000) == data[10:150_000]
    for start, stop in [(0, length), (length - 1, length), (7, 7)]:
        assert store.present.read(place, start, stop) == data[start:stop]
    assert decoded == [0]
    for start, stop in [(0, length + 1), (150_000, length + 100_000)]:
        assert store.read(place, start, stop) == data[start:stop]


def test_decoded_chunks_that_were_not_read_for_longest_make_room():
    kept = DecodedChunks(1000)
    places = [BlobPlace(1, at, 50, 100) for at in range(11)]
    for place in places[:10]:
        kept.keep(place, 100, 0, bytes([place.offset]) * 100)
    assert kept.read(places[0], 3, 5) == bytes(2)
    kept.keep(places[10], 100, 0, bytes(100))
    assert kept.read(places[1], 0, 1) is None
    assert [kept.read(place, 99, 100) is not None for place in places].count(True) == 10
    kept.keep(places[1], 100, 0, bytes(126))  # more than its share
    assert kept.read(places[1], 0, 1) is None
    assert DecodedChunks(0).read(places[0], 0, 1) is None
