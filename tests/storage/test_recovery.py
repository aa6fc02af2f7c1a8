"""Orphaned packs: torn tails at every byte, power loss, and what recovery must never do."""

import os
import random

import pytest

from vna.errors import Corrupt, Unavailable
from vna.storage import (
    BlobRecord,
    BlobStore,
    CommitRecord,
    DamagedRecord,
    StorageSettings,
    digest_of,
)
from vna.storage.format import PACK_HEADER, pack_header
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.faulty import FaultyTier
from vna.testing.power import Disk, PowerTier, pack_path, write_image


def crash(writer):
    """Let go of the pack as a dying process does: no sync, no seal."""
    writer._active.close()


def journaled(data):
    """Return a disk that loses power at will, and the tier of packs on it."""
    inner = DirectoryTier(data / "packs")
    disk = Disk(data)
    return disk, PowerTier(inner, disk)


def recover(store, pack, start=0):
    """Return the records that recovery finds, and how many bytes it cut."""
    with store.claim(pack) as orphan:
        found = list(orphan.records(start))
        cut = orphan.truncate_torn_tail()
        end = orphan.seal()
    sizes = {info.id: info.size for info in store.packs()}
    assert sizes.get(pack, 0) == end
    return found, cut


def test_a_tail_torn_at_every_byte(packs, store, blob, noise, monkeypatch):
    for sync in ("fsync", "fdatasync"):  # 900 recoveries; durability is not asked about here
        monkeypatch.setattr(os, sync, lambda _: None)
    writer = store.writer()
    (kept_place,), kept = writer.append([blob(b"kept")], b"kept")
    writer.sync()
    (torn_place,), torn = writer.append([blob(noise(30) + bytes(100))], b"torn away")
    writer.sync()
    crash(writer)
    path = packs / "00000001-00000001.pack"
    whole = path.read_bytes()
    assert len(whole) == torn.end
    filling = bytes(-torn.end % 4096)  # of direct writes
    expected = list(store.records(kept.pack))
    assert len(expected) == 4
    records = [
        (torn_place.offset, torn_place.size),
        (expected[3].offset, torn.end - expected[3].offset),
    ]
    for length in range(kept.end, torn.end + 1):
        for tail in (b"", bytes(torn.end - length), b"\xff" * (torn.end - length), filling):
            image = whole[:length] + tail
            path.write_bytes(image)
            found, cut = recover(store, kept.pack)
            survive = 2
            while survive < 4 and is_whole(image, whole, *records[survive - 2]):
                survive += 1
            assert found == expected[:survive], (length, tail[:1])
            assert cut == len(image) - found[-1].end
            again = store.records(kept.pack)
            assert list(again) == found
            assert again.sealed
    assert store.read(kept_place) == b"kept"


def is_whole(image, whole, offset, size):
    """A record counts if it lies within the file and all but its padding is as it was written."""
    padding = -int.from_bytes(whole[offset + 16 : offset + 24], "little") % 8
    end = offset + size
    return len(image) >= end and image[offset : end - padding] == whole[offset : end - padding]


@pytest.mark.parametrize("size", [0, 1, 63, 64])
def test_a_pack_without_records_is_removed(packs, store, size):
    store.packs()
    (packs / "00000001-00000009.pack").write_bytes(pack_header(1 << 32 | 9, 1)[:size])
    found, _ = recover(store, 1 << 32 | 9)
    assert found == []
    assert store.packs() == []


def test_an_unfinished_stream_is_removed(store, noise):
    stream = store.stream(65536, codec="raw")
    stream.write(noise(200_000))
    (info,) = store.packs()
    with store.claim(info.id) as orphan:
        assert orphan is None, "it is locked while it is written"
    stream._pack.close()
    found, cut = recover(store, info.id)
    assert found == []
    assert cut > 190_000
    assert store.packs() == []


def test_records_behind_a_damaged_header_are_recovered(packs, store, blob, flip):
    writer = store.writer()
    writer.append([blob(b"x")], b"c")
    writer.sync()
    crash(writer)
    (info,) = store.packs()
    flip(packs / "00000001-00000001.pack", 20)
    found, cut = recover(store, info.id)
    assert found[0] == DamagedRecord(0, 64)
    assert (len(found), found[2].payload, cut) == (3, b"c", info.size - found[2].end)


def test_a_pack_that_nothing_proves_to_be_this_one_is_never_touched(packs, store, blob):
    writer = store.writer()
    writer.append([blob(b"x")], b"c")
    writer.close()
    (packs / "00000001-00000001.pack").rename(packs / "00000001-00000007.pack")
    (info,) = store.packs()
    with store.claim(info.id) as orphan:
        with pytest.raises(Corrupt):
            list(orphan.records())
        with pytest.raises(RuntimeError, match="after its records were walked"):
            orphan.truncate_torn_tail()
        with pytest.raises(RuntimeError):
            orphan.seal()
    assert store.packs() == [info]


def test_damage_is_never_cut_as_a_torn_tail(packs, store, blob, flip):
    """Records that were durable once are behind it, and their headers say so."""
    writer = store.writer()
    ends = []
    for number in range(4):
        _, mark = writer.append([blob(b"%d" % number)], b"commit %d" % number)
        ends.append(mark.end)
        writer.sync()
    crash(writer)
    (info,) = store.packs()
    whole = list(store.records(info.id))
    flip(packs / "00000001-00000001.pack", whole[2].place.offset + 40)
    found, cut = recover(store, info.id)
    assert cut == info.size - ends[-1]
    damage = DamagedRecord(ends[0], whole[3].offset)
    assert found == [*whole[:2], damage, *whole[3:]]


def test_a_reordered_unsynced_write_does_not_pass_for_damage(packs, store, blob):
    """The later record of an unsynced group got to the disk, the earlier one did not."""
    writer = store.writer()
    _, kept = writer.append([blob(b"kept")], b"kept")
    writer.sync()
    _, lost = writer.append([blob(b"lost")], b"lost")
    writer.append([blob(b"survived by chance")], b"never acknowledged")
    writer.sync()
    crash(writer)
    path = packs / "00000001-00000001.pack"
    with path.open("r+b") as file:
        file.seek(kept.end)
        file.write(bytes(lost.end - kept.end))
    found, cut = recover(store, kept.pack)
    assert [r.payload for r in found if isinstance(r, CommitRecord)] == [b"kept"]
    assert cut > lost.end - kept.end
    assert [info.size for info in store.packs()] == [kept.end + 96], "cut, then sealed"


def test_recovery_begins_at_the_mark(store, blob):
    writer = store.writer()
    _, first = writer.append([blob(b"one")], b"one")
    _, second = writer.append([blob(b"two")], b"two")
    writer.sync()
    crash(writer)
    found, _ = recover(store, first.pack, first.end)
    assert [r.payload for r in found if isinstance(r, CommitRecord)] == [b"two"]
    found, cut = recover(store, first.pack, second.end)
    assert (found, cut) == ([], 0), "only the seal is there"


def test_a_sealed_pack_is_left_as_it_is(store, blob, packs):
    writer = store.writer()
    _, mark = writer.append([blob(b"x")], b"c")
    writer.close()
    before = (packs / "00000001-00000001.pack").read_bytes()
    with store.claim(mark.pack) as orphan:
        assert orphan.sealed
    found, cut = recover(store, mark.pack)
    assert (len(found), cut) == (2, 0)
    assert (packs / "00000001-00000001.pack").read_bytes() == before


def test_a_pack_that_is_gone_is_not_claimed(store):
    with store.claim(1 << 32 | 77) as orphan:
        assert orphan is None


@pytest.mark.parametrize("seed", range(25))
def test_power_loss_keeps_what_was_synced(tmp_path, blob, noise, seed):
    """Unsynced writes are lost, torn or reordered by chance, at a random point of the work."""
    rng = random.Random(seed)
    disk, tier = journaled(tmp_path / "before")
    store = BlobStore(StorageSettings(path=tmp_path, pack_size_bytes=60_000), tier)
    writer = store.writer()
    appended, synced = {}, {}
    for number in range(rng.randint(1, 30)):
        data = noise(rng.randint(0, 9000), seed * 1000 + number)
        (place,), _ = writer.append([blob(data)], b"%d" % number)
        appended[b"%d" % number] = (data, place)
        if rng.random() < 0.4:
            writer.sync()
            synced = dict(appended)
        if rng.random() < 0.1:
            stream = store.stream(4096)
            stream.write(data)
            streamed = stream.finish(digest_of(data))
            synced[b"s%d" % number] = appended[b"s%d" % number] = (data, streamed)
    tier.off()
    store.close()
    write_image(disk.fall(len(disk.events), rng), tmp_path / "after")
    store = BlobStore(StorageSettings(path=tmp_path / "after/packs"))
    blobs, commits = {}, []
    for info in store.packs():
        for record in recover(store, info.id)[0]:
            assert not isinstance(record, DamagedRecord)
            if isinstance(record, BlobRecord):
                blobs[record.place] = record.digest
            else:
                commits.append(record.payload)
    assert {name for name in synced if not name.startswith(b"s")} <= set(commits)
    for name, (data, place) in synced.items():
        assert store.read(place) == data, name
    for name in commits:
        data, place = appended[name]
        assert blobs[place] == digest_of(data), "a commit that survives has its blobs"
        store.verify(place, digest_of(data))
    for info in store.packs():
        walk = store.records(info.id)
        assert len(list(walk)) > 0
        assert walk.sealed
    store.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_pack_is_durable_with_its_name_before_its_first_record(tmp_path, open_store, blob, seed):
    disk, tier = journaled(tmp_path / "before")
    (_,), mark = open_store(tier).writer().append([blob(b"never synced")], b"c")
    tier.off()
    fallen = disk.fall(len(disk.events), random.Random(seed))
    header = (tmp_path / "before" / pack_path(mark.pack)).read_bytes()[: PACK_HEADER.size]
    assert fallen[pack_path(mark.pack)].startswith(header)


@pytest.mark.parametrize("seed", range(10))
def test_what_recovery_finds_is_durable_before_it_is_applied(tmp_path, open_store, blob, seed):
    """A process dies, its writes stay in memory; power is lost after the walk, before the seal."""
    faulty = FaultyTier(DirectoryTier(tmp_path / "before/packs"))
    disk = Disk(tmp_path / "before")
    tier = PowerTier(faulty, disk)
    store = open_store(tier)
    writer = store.writer()
    (place,), mark = writer.append([blob(b"in memory only")], b"c")
    faulty.fail("sync")
    faulty.fail("truncate")
    with pytest.raises(Unavailable):
        writer.sync()
    crash(writer)
    with store.claim(mark.pack) as orphan:
        found = list(orphan.records())
    assert len(found) == 2
    tier.off()
    write_image(disk.fall(len(disk.events), random.Random(seed)), tmp_path / "after")
    store = BlobStore(StorageSettings(path=tmp_path / "after/packs"))
    assert recover(store, mark.pack)[0] == found
    assert store.read(place) == b"in memory only"
    store.close()


@pytest.mark.parametrize("operation", ["sync", "truncate", "write"])
def test_a_recovery_that_fails_can_be_tried_again(faulty, open_store, blob, packs, operation):
    store = open_store(faulty)
    writer = store.writer()
    _, mark = writer.append([blob(b"x")], b"c")
    writer.sync()
    crash(writer)
    with (packs / "00000001-00000001.pack").open("ab") as file:
        file.write(b"torn")
    faulty.fail(operation)
    with pytest.raises(Unavailable, match="00000001-00000001 cannot be recovered"):
        recover(store, mark.pack)
    found, _ = recover(store, mark.pack)
    assert len(found) == 2
