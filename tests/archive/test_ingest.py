"""Objects in, by any door's form, whole or in pieces; and refusals that leave nothing behind."""

import io
from dataclasses import replace

import pytest
from pydicom import dcmread

from vna.archive import Archive, ArchiveSettings, Outcome
from vna.errors import Conflict, Deleted, Invalid, NotFound
from vna.types import Level

EXPLICIT = "1.2.840.10008.1.2.1"


def whole(archive: Archive, sop: str = "1.2.3.4") -> bytes:
    (stored,) = archive.objects("1.2.3", None, sop)
    length, pieces = archive.file(stored, "TEST")
    data = b"".join(pieces)
    assert len(data) == length
    return data


async def test_a_file_comes_back_byte_for_byte(archive, ct):
    file = ct()
    stored = await archive.store(file, source="test")
    assert (stored.outcome, stored.warning) == (Outcome.STORED, "")
    assert stored.identity.sop_uid == "1.2.3.4"
    assert whole(archive) == file


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
async def test_pieces_of_any_size_make_the_same_object(archive, ct, size):
    file = ct()
    ingest = archive.ingest(form="part10", source="test")
    for at in range(0, len(file), size):
        await ingest.write(file[at : at + size])
    await ingest.commit()
    assert whole(archive) == file


async def test_a_bare_data_set_gets_a_part_10_wrapping_on_its_way_out(archive, ct, dataset_of):
    dataset = dataset_of(ct())
    ingest = archive.ingest(form="dataset", source="MODALITY", transfer_syntax=EXPLICIT)
    await ingest.write(dataset)
    await ingest.commit()
    (stored,) = archive.objects("1.2.3")
    assert b"".join(archive.dataset(stored)) == dataset
    assert dataset_of(whole(archive)) == dataset


async def test_raw_is_the_default_and_reads_what_was_stored_compressed(data, ct):
    file = ct(Rows=64, Columns=64, PixelData=bytes(8192))
    later = ct("1.2.3.5", Rows=64, Columns=64, PixelData=bytes([1]) * 8192)
    compressing = Archive.open(ArchiveSettings(data=data, codec="zstd"))
    try:
        await compressing.store(file, source="test")
        assert compressing.stats().pack_bytes < len(file)
    finally:
        compressing.close()
    archive = Archive.open(ArchiveSettings(data=data))
    try:
        before = archive.stats().pack_bytes
        await archive.store(later, source="test")
        assert archive.stats().pack_bytes - before > 8192
        assert whole(archive) == file
        assert whole(archive, "1.2.3.5") == later
    finally:
        archive.close()


async def test_the_same_bytes_again_store_nothing(archive, ct):
    await archive.store(ct(), source="test")
    before = archive.stats()
    again = await archive.store(ct(), source="other")
    assert again.outcome is Outcome.DUPLICATE
    assert archive.stats() == before


async def test_other_bytes_replace_and_keep_the_old_version(archive, ct):
    await archive.store(ct(), source="test")
    changed = ct(SeriesDescription="second")
    assert (await archive.store(changed, source="test")).outcome is Outcome.REPLACED
    assert whole(archive) == changed
    assert archive.stats().counts.instances == 1
    assert archive.check().damage == []


@pytest.mark.parametrize(("policy", "outcome"), [("keep", Outcome.KEPT), ("reject", None)])
async def test_policies_that_leave_the_first_alone(data, ct, policy, outcome):
    archive = Archive.open(ArchiveSettings(data=data, duplicates=policy))
    try:
        first = ct()
        await archive.store(first, source="test")
        if outcome is None:
            with pytest.raises(Conflict, match=r"1\.2\.3\.4 is stored already"):
                await archive.store(ct(Modality="MR"), source="test")
        else:
            assert (await archive.store(ct(Modality="MR"), source="test")).outcome is outcome
        assert whole(archive) == first
    finally:
        archive.close()


async def test_bulk_shared_by_two_headers_is_stored_once(archive, ct):
    pixels = bytes(i * 7 % 251 for i in range(512 * 512 * 2))
    same = {"Rows": 512, "Columns": 512, "PixelData": pixels}
    await archive.store(ct("1.2.3.4", **same), source="test")
    before = archive.stats().pack_bytes
    await archive.store(ct("1.2.3.5", **same), source="test")
    assert archive.stats().pack_bytes - before < len(pixels) / 10
    assert whole(archive, "1.2.3.5") == ct("1.2.3.5", **same)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SOPInstanceUID": None}, r"0008,0018"),
        ({"StudyInstanceUID": None}, r"0020,000D"),
        ({"SeriesInstanceUID": ""}, r"0020,000E"),
        ({"SOPClassUID": None}, r"0008,0016"),
    ],
)
async def test_an_object_that_cannot_be_filed_is_refused_by_name(archive, ct, changes, named):
    ds = dcmread(io.BytesIO(ct()))  # the writer insists on UIDs: they are taken out afterwards
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=False)
    with pytest.raises(Invalid, match=named):
        await archive.store(out.getvalue(), source="test")
    assert archive.stats().counts.instances == 0


async def test_an_object_other_than_announced_is_refused(archive, ct, dataset_of):
    ingest = archive.ingest(
        form="dataset", source="A", transfer_syntax=EXPLICIT, sop_uid="1.2.3.99"
    )
    await ingest.write(dataset_of(ct()))
    with pytest.raises(Conflict, match=r"1\.2\.3\.99"):
        await ingest.commit()
    assert archive.stats().counts.instances == 0


async def test_garbage_is_refused(archive):
    with pytest.raises(Invalid):
        await archive.store(b"this is not DICOM" * 100, source="test")


async def test_a_truncated_data_set_is_kept_with_a_warning(archive, ct):
    file = ct()[:-100]
    stored = await archive.store(file, source="test")
    assert stored.warning
    assert whole(archive) == file


async def test_a_large_object_streams_into_a_pack_of_its_own(data, ct):
    archive = Archive.open(ArchiveSettings(data=data, stream_threshold_bytes=100_000))
    try:
        pixels = bytes(i * 31 % 253 for i in range(1024)) * 2048
        file = ct(Rows=1024, Columns=1024, PixelData=pixels)
        ingest = archive.ingest(form="part10", source="test")
        for at in range(0, len(file), 10_000):
            await ingest.write(file[at : at + 10_000])
        await ingest.commit()
        assert whole(archive) == file
        assert archive.stats().packs == 2
        ingest = archive.ingest(form="part10", source="test")
        for at in range(0, len(file) // 2, 10_000):
            await ingest.write(file[at : at + 10_000])
        ingest.abort()
        assert archive.stats().packs == 2, "an aborted stream leaves no pack"
        again = archive.ingest(form="part10", source="test")
        await again.write(ct("1.2.3.5", Rows=1024, Columns=1024, PixelData=pixels))
        await again.commit()
        assert archive.stats().packs == 2, "a streamed value that is known leaves no pack"
        assert archive.check().damage == []
    finally:
        archive.close()


async def test_deleted_objects_are_gone_and_may_come_back(archive, ct):
    await archive.store(ct(), source="test")
    await archive.store(ct("1.2.3.5"), source="test")
    assert await archive.delete(Level.INSTANCE, "1.2.3.4", "test") == 1
    with pytest.raises(Deleted):
        archive.objects("1.2.3", "1.2.3.1", "1.2.3.4")
    assert [o.sop_uid for o in archive.objects("1.2.3")] == ["1.2.3.5"]
    assert await archive.delete(Level.STUDY, "1.2.3", "test") == 1
    with pytest.raises(Deleted):
        archive.objects("1.2.3")
    with pytest.raises(NotFound):
        await archive.delete(Level.STUDY, "9.9", "test")
    assert (await archive.store(ct(), source="test")).outcome is Outcome.STORED
    assert whole(archive) == ct()


async def test_the_feed_tells_every_change_without_gaps(archive, ct):
    await archive.store(ct(), source="test")
    await archive.store(ct(SeriesDescription="x"), source="test")
    await archive.delete(Level.INSTANCE, "1.2.3.4", "test")
    changes = archive.changes(0, 100)
    assert [c.seq for c in changes] == [1, 2, 3]
    assert archive.changes(2, 100) == changes[2:]


async def test_identity_survives_reopening(data, ct):
    first = Archive.open(ArchiveSettings(data=data))
    await first.store(ct(), source="test")
    first.close()
    second = Archive.open(ArchiveSettings(data=data))
    try:
        assert second.identity == replace(first.identity)
        assert whole(second) == ct()
    finally:
        second.close()
