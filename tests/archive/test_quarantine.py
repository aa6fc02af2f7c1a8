"""Damaged blobs: named, not served, replaced when the object comes again, remembered for good."""

import os
import random
import shutil

import pytest

from vna.archive import Archive, ArchiveSettings, Outcome
from vna.errors import Corrupt, Unavailable
from vna.testing.images import ct_image

EXPLICIT = "1.2.840.10008.1.2.1"


def reopened(archive: Archive, data) -> Archive:
    archive.close()
    again = Archive.open(ArchiveSettings(data=data))
    again.recover()
    return again


@pytest.fixture
def large(ct):
    """An object whose pixels are a blob of their own."""
    return ct(Rows=100, Columns=50, PixelData=random.Random(1).randbytes(10_000))


def place_of(archive, which: str):
    (stored,) = archive.objects("1.2.3")
    version = stored.version
    with archive._index.read() as reader:
        return reader.blob(version.header if which == "header" else version.holes[0].blob)


def flip(data, place) -> None:
    name = f"{place.pack >> 32:08x}-{place.pack & 0xFFFFFFFF:08x}.pack"
    with (data / "packs" / name).open("r+b") as file:
        at = place.offset + place.size // 2
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)


def whole(archive) -> bytes:
    (stored,) = archive.objects("1.2.3")
    return b"".join(archive.file(stored, "TEST")[1])


@pytest.mark.parametrize("which", ["header", "bulk"])
async def test_damage_is_remembered_and_ends_when_the_object_comes_again(data, large, which):
    archive = Archive.open(ArchiveSettings(data=data))
    await archive.store(large, source="test")
    place = place_of(archive, which)
    flip(data, place)
    assert (await archive.store(large, source="test")).outcome is Outcome.DUPLICATE, "not known yet"
    (damage,) = archive.check().damage
    assert (damage.sop_uid, f"at {place.offset}" in damage.reason) == ("1.2.3.4", True)
    archive = reopened(archive, data)
    try:
        assert [lost.reason for lost in archive.lost()] == [damage.reason]
        assert archive.check().damage == [damage]
        with pytest.raises(Corrupt, match="has no undamaged copy"):
            whole(archive)
        before = archive.stats().pack_bytes
        assert (await archive.store(large, source="test")).outcome is Outcome.REPAIRED
        assert archive.stats().pack_bytes > before
        assert whole(archive) == large
        assert (archive.lost(), archive.check().damage) == ([], [])
        assert (await archive.store(large, source="test")).outcome is Outcome.DUPLICATE
        dump = list(archive._index.dump())
        archive.close()
        shutil.rmtree(data / "index")
        archive = Archive.open(ArchiveSettings(data=data))
        archive.recover()
        assert whole(archive) == large, "a rebuilt index does not go back to the damaged copy"
        assert list(archive._index.dump()) == dump
    finally:
        archive.close()


async def test_a_damaged_header_is_replaced_by_the_object_in_another_wrapping(
    archive, data, large, dataset_of
):
    await archive.store(large, source="test")
    flip(data, place_of(archive, "header"))
    assert len(archive.check().damage) == 1
    ingest = archive.ingest(form="dataset", source="A", transfer_syntax=EXPLICIT)
    await ingest.write(dataset_of(large))
    assert (await ingest.commit()).outcome is Outcome.REPLACED
    (stored,) = archive.objects("1.2.3")
    assert b"".join(archive.dataset(stored)) == dataset_of(large)
    assert archive.lost(), "the first version stays damaged"


async def test_another_object_with_the_same_pixels_repairs_both(archive, data, large, ct):
    await archive.store(large, source="test")
    flip(data, place_of(archive, "bulk"))
    assert len(archive.check().damage) == 1
    other = ct("1.2.3.5", Rows=100, Columns=50, PixelData=random.Random(1).randbytes(10_000))
    assert (await archive.store(other, source="test")).outcome is Outcome.STORED
    assert (archive.lost(), archive.check().damage) == ([], [])


async def test_a_pack_that_was_put_back_is_believed_again(archive, data, large):
    await archive.store(large, source="test")
    place = place_of(archive, "bulk")
    flip(data, place)
    assert len(archive.check().damage) == 1
    flip(data, place)
    with pytest.raises(Corrupt):
        whole(archive)
    archive._quarantine.look_again()
    assert archive.lost() == []
    assert whole(archive) == large


async def test_a_pack_that_was_removed_is_not_believed_though_it_is_open_here(archive, data, large):
    await archive.store(large, source="test")
    place = place_of(archive, "bulk")
    flip(data, place)
    assert len(archive.check().damage) == 1
    flip(data, place)
    for pack in (data / "packs").glob(
        "*.pack"
    ):  # another process compacts, and did not wait for us
        pack.unlink()
    archive._quarantine.look_again()
    assert archive.lost()


async def test_what_is_gone_with_its_pack_is_stored_when_it_comes_again(data, large, ct):
    """The index still names the pack: neither it nor another object with the same pixels counts on that."""
    archive = Archive.open(ArchiveSettings(data=data))
    await archive.store(large, source="test")
    archive.close()
    for pack in (data / "packs").glob("*.pack"):
        pack.unlink()
    archive = Archive.open(ArchiveSettings(data=data))
    try:
        with pytest.raises(Unavailable, match="is missing"):
            whole(archive)
        other = ct("1.9", Rows=100, Columns=50, PixelData=random.Random(1).randbytes(10_000))
        await archive.store(other, source="test")
        await archive.store(large, source="test")
        found = {stored.sop_uid: stored for stored in archive.objects("1.2.3")}
        for sop_uid, file in (("1.2.3.4", large), ("1.9", other)):
            assert b"".join(archive.file(found[sop_uid], "TEST")[1]) == file
    finally:
        archive.close()


async def test_what_was_stored_again_is_not_compacted_away_for_a_lost_pack(data):
    """Each of its blobs has two places, and the one that is served first is gone."""
    settings = ArchiveSettings(data=data)
    files = {
        f"1.9.{n}": ct_image(f"1.9.{n}", PixelData=random.Random(n).randbytes(512))
        for n in range(1, 9)
    }
    archive = Archive.open(settings)
    for file in files.values():
        await archive.store(file, source="test")
    archive.close()
    for pack in (data / "packs").glob("*.pack"):
        pack.unlink()
    archive = Archive.open(settings)
    for file in files.values():
        await archive.store(file, source="test")
    await archive.erase("1.9.1", "test")
    archive.close()
    archive = Archive.open(settings)
    try:
        for _ in range(2):
            archive.compact(1)
        found = {stored.sop_uid: stored for stored in archive.objects("1.2.3")}
        assert len(found) == 7
        for sop_uid, stored in found.items():
            assert b"".join(archive.file(stored, "TEST")[1]) == files[sop_uid]
    finally:
        archive.close()
