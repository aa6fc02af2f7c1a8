"""Damage: every flipped bit is found and named, and what is intact stays served."""

import pytest

from vna.errors import Corrupt
from vna.storage import (
    BlobRecord,
    BlobStore,
    CommitRecord,
    DamagedRecord,
    StorageSettings,
    digest_of,
)
from vna.storage.format import PACK_HEADER
from vna.types import BlobKind

STRIDE = 32 << 10


@pytest.fixture
def written(store, blob, noise, packs):
    """A sealed pack with a record of each kind; three groups, each synced. Named by kind."""
    writer = store.writer()
    data = {
        "header": b"a data set without its pixels" * 10,
        "bulk": noise(3000) + bytes(40_000),
        "raw": noise(70_001),
        "table": bytes(800),
        "small": noise(301),
    }
    places = {}
    for kind, name in (
        (BlobKind.HEADER, "header"),
        (BlobKind.BULK, "bulk"),
        (BlobKind.BULK, "raw"),
        (BlobKind.TABLE, "table"),
        (BlobKind.HEADER, "small"),
    ):
        (places[name],), mark = writer.append(
            [blob(data[name], kind, STRIDE)], b"commit of " + name.encode()
        )
        writer.sync()
    writer.close()
    return packs / "00000001-00000001.pack", places, data, mark.pack


def offsets(start, size):
    """All of a small record, and the front, the end and samples of a large one."""
    whole = range(start, start + size)
    return whole if size < 1000 else [*whole[:400], *whole[400:-400:397], *whole[-400:]]


@pytest.mark.parametrize("name", ["header", "bulk", "raw", "table", "small"])
def test_a_flipped_bit_in_a_blob_is_found_and_named(store, written, flip, name):
    path, places, data, _ = written
    place = places[name]
    where = f"pack 00000001-00000001 at {place.offset}: "
    for offset in offsets(place.offset, place.size):
        flip(path, offset, offset % 8)
        with pytest.raises(Corrupt, match=where):
            store.verify(place, digest_of(data[name]))
        for read in (store.read, lambda place: next(store.read_each([place]))):
            served = b""
            try:
                served = read(place)
            except Corrupt as error:
                reason = str(error)
            assert served == data[name] or where in reason, "no wrong byte is served"
        flip(path, offset, offset % 8)
    store.verify(place, digest_of(data[name]))


def test_blobs_read_one_after_the_other_are_what_each_is(store, written):
    _, places, data, _ = written
    named = [*places, *reversed(places)]
    assert list(store.read_each(places[name] for name in named)) == [data[name] for name in named]


def test_a_flipped_bit_in_a_streamed_blob_is_found(store, noise, flip, packs):
    data = bytes(100) + noise(2 * STRIDE)
    stream = store.stream(STRIDE)
    stream.write(data)
    place = stream.finish(digest_of(data))
    (path,) = packs.glob("*.pack")
    for offset in offsets(place.offset, place.size):
        flip(path, offset)
        with pytest.raises(Corrupt, match=f"at {place.offset}: "):
            store.verify(place, digest_of(data))
        flip(path, offset)


def test_an_undamaged_chunk_of_a_damaged_blob_is_served(store, written, flip):
    path, places, data, _ = written
    place = places["raw"]
    flip(path, place.offset + place.size - 1000)
    assert store.read(place, 0, 2 * STRIDE) == data["raw"][: 2 * STRIDE]
    with pytest.raises(Corrupt, match="chunk 2: checksum mismatch"):
        store.read(place, 2 * STRIDE)
    pieces = store.pieces(place, piece_length=STRIDE)
    assert bytes(next(pieces)) == data["raw"][:STRIDE]
    assert bytes(next(pieces)) == data["raw"][STRIDE : 2 * STRIDE]
    with pytest.raises(Corrupt):
        next(pieces)


def test_another_blob_s_record_does_not_verify(store, written):
    _, places, data, _ = written
    with pytest.raises(Corrupt, match="a record of another blob"):
        store.verify(places["raw"], digest_of(data["bulk"]))


@pytest.mark.parametrize("name", ["header", "raw"])
def test_a_walk_names_damage_and_goes_on(store, written, flip, name):
    path, places, _, pack = written
    intact = list(store.records(pack))
    place = places[name]
    for offset in range(place.offset, place.offset + 96):
        flip(path, offset)
        found = list(store.records(pack))
        lost = next(r for r in intact if isinstance(r, BlobRecord) and r.place == place)
        at = intact.index(lost)
        damage = DamagedRecord(place.offset, place.offset + place.size)
        assert found == [*intact[:at], damage, *intact[at + 1 :]]
        flip(path, offset)


def test_a_flipped_bit_in_a_commit_is_damage(store, written, flip):
    path, _, _, pack = written
    intact = list(store.records(pack))
    commits = [record for record in intact if isinstance(record, CommitRecord)]
    for commit in commits:
        for offset in range(commit.offset, commit.offset + 96 + 16 + len(commit.payload)):
            flip(path, offset, offset % 8)
            found = list(store.records(pack))
            at = intact.index(commit)
            assert found == [
                *intact[:at],
                DamagedRecord(commit.offset, commit.end),
                *intact[at + 1 :],
            ]
            flip(path, offset, offset % 8)


def test_a_damaged_seal_costs_nothing_but_the_seal(store, written, flip):
    path, _, _, pack = written
    intact = list(store.records(pack))
    flip(path, path.stat().st_size - 1)
    walk = store.records(pack)
    assert list(walk) == intact
    assert not walk.sealed


def test_a_damaged_pack_header_is_named_and_survived(store, written, flip):
    path, places, data, pack = written
    intact = list(store.records(pack))
    for offset in range(PACK_HEADER.size):
        flip(path, offset)
        assert list(store.records(pack)) == [DamagedRecord(0, PACK_HEADER.size), *intact]
        flip(path, offset)
    flip(path, 3)
    for name, place in places.items():
        store.verify(place, digest_of(data[name]))


def test_a_pack_under_another_name_is_found(store, written):
    path, places, _, pack = written
    path.rename(path.with_name("00000001-00000002.pack"))
    with pytest.raises(Corrupt, match="is that of 00000001-00000001"):
        list(store.records(pack + 1))
    moved = type(places["raw"])(pack + 1, places["raw"].offset, places["raw"].size, 70_001)
    with pytest.raises(Corrupt, match="no valid record header"):
        store.read(moved)


@pytest.mark.parametrize("left", [0, 63, 64, 100, 5000])
def test_a_truncated_pack_is_named(packs, written, left):
    path, places, _, pack = written
    with path.open("r+b") as file:
        file.truncate(left)
    store = BlobStore(StorageSettings(path=packs))
    with pytest.raises(Corrupt, match="pack 00000001-00000001 at"):
        store.read(places["raw"])
    with pytest.raises(Corrupt, match="ends at"):
        list(store.records(pack, places["table"].offset))
    store.close()


def test_a_pack_inside_a_blob_is_not_walked_into(store, written, blob, flip, packs):
    """Its records are not valid where they are now, so a search for the next one passes them."""
    path, _, _, _ = written
    inner = path.read_bytes()
    writer = store.writer()
    (place,), mark = writer.append([blob(inner, codec="raw")], b"a pack in a pack")
    writer.close()
    flip(packs / "00000001-00000002.pack", place.offset)
    assert list(store.records(mark.pack)) == [
        DamagedRecord(place.offset, place.offset + place.size),
        CommitRecord(b"a pack in a pack", place.offset + place.size, mark.end),
    ]
