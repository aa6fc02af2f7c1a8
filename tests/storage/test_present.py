"""Reads that never wait: all that is in memory, checked like any other read, or WouldWait."""

import pytest

from vna._native import read_present
from vna.errors import Corrupt, Unavailable, WouldWait
from vna.storage.decoded import DecodedChunks
from vna.types import BlobPlace

STRIDE = 65536


@pytest.fixture
def put(store, blob):
    """Store a blob; return its place. The store has its pack open for reading."""
    with_writer = store.writer()

    def put(data, *, codec="raw", chunk_length=STRIDE):
        (place,), _ = with_writer.append(
            [blob(data, codec=codec, chunk_length=chunk_length)], b"commit"
        )
        with_writer.sync()
        store.read(place, 0, 0)
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


def test_of_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"0123456789" * 10_000)
    with file.open("rb") as opened:
        number = opened.fileno()
        assert read_present(number, 5, 10) == b"5678901234"
        assert read_present(number, 5, 90_000) == b"5678901234" * 9_000
        assert read_present(number, 99_995, 10) is None
        assert read_present(number, 1 << 40, 1) is None
        assert read_present(number, 0, 0) is None
        assert read_present(number, 0, 17 << 20) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_present(number, 0, 1)


def test_a_decoded_chunk_is_kept_and_read_without_waiting(store, put, noise):
    data = bytes(200_000) + noise(3 * 200_000)
    place = put(data, codec="zstd", chunk_length=200_000)
    with pytest.raises(WouldWait):
        store.present.read(place, 10, 150_000)
    assert store.read(place, 10, 150_000) == data[10:150_000]
    for start, stop in [(0, 200_000), (199_999, 200_000), (7, 7)]:
        assert store.present.read(place, start, stop) == data[start:stop]
    for start, stop in [(0, 200_001), (150_000, 300_000)]:
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
