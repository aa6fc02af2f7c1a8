"""Deleted objects and replaced versions come back, and stay back when the index is made again."""

import asyncio
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.errors import Conflict, Deleted, NotFound
from vna.types import Level

STUDY, SERIES = "1.2.3", "1.2.3.1"


def bytes_of(archive: Archive, sop: str) -> bytes:
    [stored] = archive.objects(STUDY, sop_uid=sop)
    return b"".join(archive.dataset(stored))


def alive(archive: Archive) -> set[str]:
    try:
        return {stored.sop_uid for stored in archive.objects(STUDY)}
    except Deleted:
        return set()


def versions_of(archive: Archive, sop: str) -> list[int]:
    [history] = archive.histories(sop)
    return [version.stamp for version in history.versions]


async def test_a_replaced_version_comes_back_byte_for_byte(archive, ct, dataset_of):
    old, new = ct("1.2.3.9", PatientName="Old"), ct("1.2.3.9", PatientName="New")
    for file in (old, new):
        await archive.store(file, source="test")
    newest, oldest = versions_of(archive, "1.2.3.9")
    assert bytes_of(archive, "1.2.3.9") == dataset_of(new)
    restored = await archive.restore("1.2.3.9", version=oldest)
    assert (restored.level, restored.instances, restored.failed) == (Level.INSTANCE, 1, [])
    assert bytes_of(archive, "1.2.3.9") == dataset_of(old)
    assert versions_of(archive, "1.2.3.9") == [oldest, newest]
    with pytest.raises(Conflict, match="is the current one"):
        await archive.restore("1.2.3.9", version=oldest)
    with pytest.raises(Conflict, match="name the version"):
        await archive.restore("1.2.3.9")
    with pytest.raises(NotFound, match="no version 17"):
        await archive.restore("1.2.3.9", version=17)
    assert [change.kind.name for change in archive.changes(0, 9)] == [
        "STORED",
        "UPDATED",
        "UPDATED",
    ]


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.INSTANCE])
async def test_what_a_delete_took_comes_back(archive, ct, level):
    uid = {Level.STUDY: STUDY, Level.SERIES: SERIES, Level.INSTANCE: "1.2.9.0"}[level]
    for number in range(3):
        await archive.store(ct(f"1.2.9.{number}"), source="test")
    before = list(archive._index.dump())
    count = await archive.delete(level, uid, "a mistake")
    history = next(h for h in archive.histories(uid) if h.deleted)
    assert (history.deleted, history.reason) == (level.name.lower(), "a mistake")
    restored = await archive.restore(uid)
    assert (restored.instances, restored.left) == (count, 0)
    assert alive(archive) == {"1.2.9.0", "1.2.9.1", "1.2.9.2"}
    after = list(archive._index.dump())
    # what stands is as before, but for the stamps of what came back, and the delete on record
    assert [line for line in after if line[0] in ("study", "series", "patient", "blob")] == [
        line for line in before if line[0] in ("study", "series", "patient", "blob")
    ]
    with pytest.raises(Conflict):
        await archive.restore(uid)
    assert archive.check().damage == []


async def test_what_was_deleted_on_its_own_stays_deleted(archive, ct):
    for number in range(3):
        await archive.store(ct(f"1.2.9.{number}"), source="test")
    await archive.delete(Level.INSTANCE, "1.2.9.1", "wrong patient")
    await archive.delete(Level.STUDY, STUDY, "expired")
    restored = await archive.restore(STUDY)
    assert (restored.instances, restored.left) == (2, 1)
    assert alive(archive) == {"1.2.9.0", "1.2.9.2"}
    assert (await archive.restore("1.2.9.1")).instances == 1
    await archive.delete(Level.STUDY, STUDY, "again")
    assert (await archive.restore(STUDY)).instances == 3, "the old delete no longer counts"


async def test_an_unknown_uid_is_not_found(archive, ct):
    await archive.store(ct(), source="test")
    with pytest.raises(NotFound, match=r"no study, series or instance 9\.9"):
        await archive.restore("9.9")
    with pytest.raises(NotFound):
        list(archive.histories("9.9"))
    with pytest.raises(Conflict, match="has no versions"):
        await archive.restore(STUDY, version=1)


async def test_a_restore_beats_a_delete_by_a_clock_that_is_ahead(data, ct):
    class Ahead:
        def stamp(self):
            return 1 << 62

        def monotonic(self):
            return 0.0

        token = staticmethod(os.urandom)

    here = Archive.open(ArchiveSettings(data=data))
    there = Archive.open(ArchiveSettings(data=data), clock=Ahead())
    try:
        await here.store(ct(), source="test")
        await there.delete(Level.STUDY, STUDY, "")
        assert (await here.restore(STUDY)).instances == 1
        assert alive(here) == {"1.2.3.4"}
    finally:
        here.close()
        there.close()


async def test_damaged_bytes_are_named_and_not_restored(data, archive, ct):
    for number in range(2):
        pixels = bytes([number]) * 8192
        file = ct(f"1.2.9.{number}", Rows=64, Columns=64, PixelData=pixels)
        await archive.store(file, source="test")
    [history] = archive.histories("1.2.9.1")
    with archive._index.read() as reader:
        place = reader.blob(history.versions[0].holes[0].blob)
    await archive.delete(Level.STUDY, STUDY, "")
    [pack] = data.glob("packs/*.pack")
    with pack.open("r+b") as file:
        at = place.offset + place.size // 2  # not in the last block, which is written again
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)
    restored = await archive.restore(STUDY)
    assert restored.instances == 1
    assert [failed.sop_uid for failed in restored.failed] == ["1.2.9.1"]
    assert alive(archive) == {"1.2.9.0"}


async def test_restores_are_in_the_packs(data, ct):
    settings = ArchiveSettings(data=data, pack_size_bytes=3000)
    archive = Archive.open(settings)
    for name in ("One", "Two", "Three"):
        await archive.store(ct(PatientName=name), source="test")
    await archive.delete(Level.STUDY, STUDY, "")
    await archive.restore(STUDY)
    await archive.restore("1.2.3.4", version=versions_of(archive, "1.2.3.4")[-1])
    dump, whole = list(archive._index.dump()), bytes_of(archive, "1.2.3.4")
    archive.close()
    assert len(list(data.glob("packs/*.pack"))) > 1
    shutil.rmtree(data / "index")
    again = Archive.open(settings)
    try:
        again.recover()
        assert list(again._index.dump()) == dump
        assert bytes_of(again, "1.2.3.4") == whole
    finally:
        again.close()


async def test_a_delete_while_a_restore_goes_on_stands(data, ct, monkeypatch):
    """Of another process, and acknowledged: what was restored is deleted again, the rest stays so."""
    monkeypatch.setattr("vna.archive.restore.AT_ONCE", 1)
    archive, other = (Archive.open(ArchiveSettings(data=data)) for _ in range(2))
    submit, submitted = archive._committer.submit, []

    def counted(proposal):
        submitted.append(proposal)
        if len(submitted) == 9:
            with ThreadPoolExecutor() as threads:
                threads.submit(asyncio.run, other.delete(Level.STUDY, STUDY, "again")).result()
        return submit(proposal)

    try:
        for number in range(30):
            await archive.store(ct(f"1.9.{number}"), source="test")
        await archive.delete(Level.STUDY, STUDY, "once")
        archive._committer.submit = counted
        restored = await archive.restore(STUDY)
        assert alive(archive) == set()
        assert (restored.instances, len(restored.failed)) == (8, 22)
        assert all(failed.reason.endswith("meanwhile") for failed in restored.failed)
    finally:
        archive.close()
        other.close()
