"""What goes in comes out: whole, in ranges, in pieces, by every way of writing."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vna.errors import Corrupt, Invalid, Unavailable
from vna.storage import BlobRecord, CommitRecord, digest_of, encode_blob
from vna.types import BlobKind, BlobPlace

FIXTURES_ARE_SHARED = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@st.composite
def contents(draw):
    """Blobs of runs that compress and runs that do not, up to a few chunks long."""
    data = b""
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(1, 60_000))
        if draw(st.booleans()):
            data += draw(st.randoms(use_true_random=False)).randbytes(size)
        else:
            data += draw(st.binary(min_size=1, max_size=4)) * size
    return data


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("way", ["append", "stream"])
@FIXTURES_ARE_SHARED
@given(data=contents(), rng=st.randoms(use_true_random=False))
def test_ranges_and_pieces(store, way, codec, data, rng):
    chunk_length = rng.randint(1, 90_000)
    digest = digest_of(data)
    cuts = sorted({0, len(data), *(rng.randint(0, len(data)) for _ in range(4))})
    parts = [memoryview(data)[low:high] for low, high in pairwise(cuts)]
    if way == "append":
        writer = store.writer()
        record = encode_blob(BlobKind.BULK, digest, parts, chunk_length, codec)
        (place,), mark = writer.append([record], b"commit")
        assert place.size == record.size
        assert mark.pack == place.pack
        assert mark.end > place.offset + place.size
        writer.close()
    else:
        stream = store.stream(chunk_length, codec=codec)
        for part in parts:
            stream.write(part)
        place = stream.finish(digest)
    assert place.length == len(data)
    assert place.offset % 8 == place.size % 8 == 0
    assert store.read(place) == data
    store.verify(place, digest)
    for _ in range(5):
        start = rng.randint(0, len(data))
        stop = rng.randint(start, len(data))
        assert store.read(place, start, stop) == data[start:stop]
        size = rng.randint(1, 50_000)
        pieces = [bytes(piece) for piece in store.pieces(place, start, stop, size)]
        assert b"".join(pieces) == data[start:stop]
        assert all(0 < len(piece) <= size for piece in pieces)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("way", ["append", "stream"])
def test_every_range_around_chunk_borders(store, blob, noise, codec, way):
    stride = 40_000
    data = noise(stride) + bytes(stride) + noise(stride, 1) + b"abc" * 5000
    if way == "append":
        writer = store.writer()
        (place,), _ = writer.append([blob(data, chunk_length=stride, codec=codec)], b"c")
        writer.sync()
    else:
        stream = store.stream(stride, codec=codec)
        stream.write(data)
        place = stream.finish(digest_of(data))
    edges = [edge + step for edge in range(0, len(data), stride) for step in (-1, 0, 1)]
    edges = [edge for edge in [*edges, len(data)] if 0 <= edge <= len(data)]
    for start in edges:
        for stop in edges:
            if start <= stop:
                assert store.read(place, start, stop) == data[start:stop]


def test_a_raw_frame_is_one_read_and_no_copy(open_store, faulty, blob, noise):
    store = open_store(faulty)
    frame = 512 << 10
    data = noise(4 * frame)
    writer = store.writer()
    (place,), _ = writer.append([blob(data, chunk_length=frame, codec="raw")], b"c")
    writer.sync()
    store.read(place, 0, 10)
    before = faulty.calls["read"]
    assert store.read(place, frame, 3 * frame) == data[frame : 3 * frame]
    assert faulty.calls["read"] - before == 2, "header and table, then both frames at once"


def test_a_frame_costs_the_same_in_a_large_blob(open_store, faulty, noise):
    """Entries beyond the head of the record are read alone, not with the whole table."""
    store = open_store(faulty)
    chunk = noise(32 << 10)
    for chunks in (2000, 20):
        stream = store.stream(len(chunk), codec="raw")
        for _ in range(chunks):
            stream.write(chunk)
        place = stream.finish(digest_of(chunk * chunks))
        before = faulty.calls["read"]
        assert store.read(place, 15 * len(chunk), 16 * len(chunk)) == chunk
        assert faulty.calls["read"] - before == 3


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (0, 6), (6, 6)])
def test_a_range_outside_the_blob_is_a_bug_of_the_caller(store, blob, start, stop):
    (place,), _ = store.writer().append([blob(b"12345")], b"c")
    with pytest.raises(ValueError, match="of a blob of 5"):
        store.read(place, start, stop)
    with pytest.raises(ValueError, match="of a blob of 5"):
        store.pieces(place, start, stop)


def test_records_are_walked_in_order(store, blob):
    writer = store.writer()
    kinds = [BlobKind.HEADER, BlobKind.BULK, BlobKind.TABLE]
    first = [blob(b"head", kinds[0]), blob(b"pixels", kinds[1]), blob(b"", kinds[2])]
    places, mark = writer.append(first, b"commit one")
    (shared,), end = writer.append([blob(b"more")], b"commit two")
    writer.sync()
    found = list(store.records(mark.pack))
    assert found == [
        *(BlobRecord(b.digest, k, p) for b, k, p in zip(first, kinds, places, strict=True)),
        CommitRecord(b"commit one", places[-1].offset + places[-1].size, mark.end),
        BlobRecord(digest_of(b"more"), BlobKind.BULK, shared),
        CommitRecord(b"commit two", shared.offset + shared.size, end.end),
    ]
    walk = store.records(mark.pack, mark.end)
    assert list(walk) == found[-2:]
    assert walk.finished
    assert walk.valid_end == end.end
    assert not walk.sealed
    writer.close()
    walk = store.records(mark.pack)
    assert list(walk) == found
    assert walk.sealed


def test_a_commit_alone(store):
    writer = store.writer()
    places, mark = writer.append([], b"nothing but a commit")
    assert places == []
    writer.sync()
    assert [record.payload for record in store.records(mark.pack)] == [b"nothing but a commit"]
    with pytest.raises(Invalid, match="this one 0"):
        writer.append([], b"")


def test_packs_roll_over(open_store, blob, noise):
    store = open_store(pack_size_bytes=100_000)
    writer = store.writer()
    marks = []
    for number in range(8):
        (place,), mark = writer.append([blob(noise(30_000, number))], b"c%d" % number)
        assert place.pack == mark.pack, "a commit is in the pack of its blobs"
        marks.append(mark.pack)
    (_,), large = writer.append([blob(noise(300_000))], b"larger than a pack")
    writer.close()
    assert marks == [marks[0]] * 3 + [marks[0] + 1] * 3 + [marks[0] + 2] * 2
    assert large.pack == marks[0] + 3
    for pack in store.packs():
        walk = store.records(pack.id)
        assert sum(isinstance(record, CommitRecord) for record in walk) in (1, 2, 3)
        assert walk.sealed
        assert walk.valid_end == pack.size
        assert pack.size < 100_200 or pack.id == large.pack


def test_a_missing_pack_is_named(store):
    with pytest.raises(Unavailable, match="pack 00000001-00000063 is missing"):
        store.read(BlobPlace(1 << 32 | 99, 64, 128, 1))


def test_a_place_that_lies(store, blob):
    (place,), _ = store.writer().append([blob(b"12345")], b"c")
    for wrong in (
        BlobPlace(place.pack, place.offset + 8, place.size, place.length),
        BlobPlace(place.pack, place.offset, place.size - 8, place.length),
        BlobPlace(place.pack, place.offset, place.size + 8, place.length),
        BlobPlace(place.pack, place.offset, place.size, place.length + 1),
        BlobPlace(place.pack, 1 << 40, place.size, place.length),
        BlobPlace(place.pack, place.offset, 0, place.length),
    ):
        with pytest.raises(Corrupt, match="pack 00000001-00000001 at"):
            store.read(wrong)


def test_an_aborted_stream_leaves_nothing(store, noise):
    stream = store.stream(65536)
    stream.write(noise(500_000))
    stream.abort()
    stream.abort()
    assert store.packs() == []
    with pytest.raises(Unavailable):
        stream.write(b"more")
    with pytest.raises(Unavailable):
        stream.finish(bytes(32))


def test_abort_after_finish_keeps_the_blob(store):
    stream = store.stream(65536)
    stream.write(b"kept")
    place = stream.finish(digest_of(b"kept"))
    stream.abort()
    assert store.read(place) == b"kept"
