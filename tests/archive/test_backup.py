"""Backups: taken beside stores, made incrementally, restored whole, and damaged."""

import asyncio
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings, restore_backup
from vna.archive.manifest import BACKUP_FORMAT, Copy, Manifest
from vna.archive.tiers import TIERS_FILE
from vna.errors import Busy, Conflict, Corrupt, Invalid, NotFound, Unavailable
from vna.index.apply import leap_feed
from vna.types import Level


def settings_of(data: Path) -> ArchiveSettings:
    return ArchiveSettings(data=data, pack_size_bytes=20_000, stream_threshold_bytes=60_000)


@pytest.fixture
def archive(data):
    opened = Archive.open(settings_of(data))
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backup"


def everything(archive: Archive) -> dict[str, bytes]:
    with archive._index.read() as reader:
        studies = [study.uid for study in reader.studies()]
    return {
        stored.sop_uid: b"".join(archive.dataset(stored))
        for study in studies
        for stored in archive.objects(study)
    }


def restored(folder: Path, new: Path) -> tuple[Archive, list[str]]:
    report = restore_backup(folder, new)
    return Archive.open(settings_of(new)), report.damage


async def fill(archive, ct, numbers) -> None:
    for number in numbers:
        pixels = random.Random(number).randbytes(4000)
        await archive.store(
            ct(f"1.2.3.{number}", Rows=50, Columns=40, PixelData=pixels), source="t"
        )


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()  # a link shares its bytes with the archive
    path.write_bytes(data)


async def test_a_backup_beside_stores_holds_all_that_was_acknowledged_before(
    archive, data, ct, folder, tmp_path
):
    second = Archive.open(settings_of(data))  # another process would be no different
    acknowledged: dict[str, int] = {}
    stop = asyncio.Event()

    async def sender(to: Archive, lane: int) -> None:
        number = 0
        while not stop.is_set():
            uid = f"1.2.3.{lane}.{number}"
            large = number % 40 == 7
            side = 200 if large else 16
            pixels = bytes([lane, number % 256]) * (side * side)
            await to.store(ct(uid, Rows=side, Columns=side, PixelData=pixels), source="t")
            acknowledged[uid] = number
            number += 1

    lanes = [asyncio.create_task(sender(to, lane)) for lane, to in enumerate([archive, second] * 2)]
    try:
        for round_ in range(3):
            while len(acknowledged) < 60 * (round_ + 1):
                await asyncio.sleep(0)
            before = set(acknowledged)
            report = await archive.run(archive.backup, folder)
            assert report.damage == []
            new = tmp_path / f"new{round_}"
            again, damage = await archive.run(restored, folder, new)
            assert damage == []
            assert again.recover().mutations == 0, "nothing later than the snapshot is in it"
            objects = everything(again)
            assert before <= objects.keys()
            assert report.change == len(again.changes(0, 1 << 20))
            checked = again.check()
            assert (checked.instances, checked.damage) == (len(objects), [])
            again.close()
    finally:
        stop.set()
        await asyncio.gather(*lanes)
        second.close()
    now = everything(archive)
    assert all(now[uid] == data for uid, data in objects.items())


async def test_a_second_backup_copies_only_what_is_new(archive, data, ct, folder, tmp_path):
    await fill(archive, ct, range(20))
    first = archive.backup(folder)
    assert (first.kept, first.copied) == (0, 1), "the active pack is copied"
    assert first.linked == first.packs - 1 > 2
    for copy in (folder / "packs").glob("*.pack"):
        same = copy.samefile(data / "packs" / copy.name)
        assert same or copy.stat().st_size < (data / "packs" / copy.name).stat().st_size + 1
    assert archive.backup(folder).kept == first.packs
    await fill(archive, ct, range(20, 26))
    await archive.delete(Level.INSTANCE, "1.2.3.3", "test")
    third = archive.backup(folder)
    assert third.kept == first.linked
    assert third.packs == third.kept + third.linked + third.copied
    assert third.bytes_copied < 30_000
    again, damage = restored(folder, tmp_path / "new")
    assert damage == []
    assert everything(again) == everything(archive)
    assert list(again._index.dump()) == list(archive._index.dump())
    again.recover()
    await fill(again, ct, range(26, 40))
    assert again.check().damage == []
    again.close()
    assert archive.check().damage == [], "the restored archive writes to no pack of the first"
    assert len(list((folder / "index").iterdir())) == 1


@pytest.fixture
def far(tmp_path):
    """A folder on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is only one file system here")
        yield Path(other, "backup")


async def test_another_file_system_gets_copies_once(archive, ct, far, tmp_path):
    await fill(archive, ct, range(20))
    first = archive.backup(far)
    assert first.linked == 0
    assert first.copied == first.packs
    assert archive.backup(far).bytes_copied == 0
    again, damage = restored(far, tmp_path / "new")
    assert damage == []
    assert everything(again) == everything(archive)
    again.close()


class InterruptionError(BaseException):
    pass


async def test_an_interrupted_backup_goes_on_and_harms_nothing(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(10))
    first = archive.backup(folder)
    then = everything(archive)
    await fill(archive, ct, range(10, 40))

    def stop_after(done: int, total: int) -> None:
        if done == total - 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        archive.backup(folder, stop_after)
    with (folder / "progress").open("ab") as file:
        file.write(b'\n{"name": "cut sho')
    again, damage = restored(folder, tmp_path / "new")
    assert damage == []
    assert everything(again) == then, "the backup before is still whole"
    again.close()
    second = archive.backup(folder)
    assert second.packs > first.packs + 2
    assert second.linked + second.copied == 2, "what was finished is not done again"
    assert not (folder / "progress").exists()
    again, damage = restored(folder, tmp_path / "newer")
    assert (damage, everything(again)) == ([], everything(archive))
    again.close()


async def test_interrupted_backups_leave_one_index_at_most(archive, ct, folder, tmp_path):
    """Each of those that find no space would take more of it from the next one."""

    def stop(done: int, total: int) -> None:
        raise InterruptionError

    await fill(archive, ct, range(3))
    for before in (0, 1):
        for _ in range(3):
            with pytest.raises(InterruptionError):
                archive.backup(folder, stop)
            assert len(list((folder / "index").iterdir())) == before + 1
        archive.backup(folder)
    again, damage = restored(folder, tmp_path / "new")
    assert (damage, everything(again)) == ([], everything(archive))
    again.close()


async def test_a_damaged_backup_is_named_and_the_rest_restored(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(20))
    archive.backup(folder)
    packs = sorted((folder / "packs").glob("*.pack"))
    flip(packs[0], 1000)
    packs[1].unlink()
    again, damage = restored(folder, tmp_path / "new")
    assert f"{packs[0].name} is not as it was when it was backed up" in damage[0]
    assert packs[0].stem in damage[1]
    assert f"{packs[1].name} is missing" in damage[2]
    assert len(damage) == 3
    named = {each.sop_uid for each in again.check().damage}
    assert 0 < len(named) < 20
    again.close()


@contextmanager
def read_only(folder: Path, here: Path) -> Iterator[None]:
    """Have a folder at `here` too, where nothing can be written."""
    here.mkdir()
    bound = subprocess.run(["mount", "--bind", folder, here], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", here], check=True)
        yield
    finally:
        subprocess.run(["umount", here], check=True)


async def test_a_backup_that_cannot_be_written_is_restored(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(20))
    archive.backup(folder)
    with read_only(folder, tmp_path / "here"):
        again, damage = restored(tmp_path / "here", tmp_path / "new")
    assert (damage, everything(again)) == ([], everything(archive))
    again.close()


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "backup/manifest").mkdir(parents=True)
    with pytest.raises(Unavailable, match="manifest cannot be read: Is a directory"):
        restore_backup(tmp_path / "backup", tmp_path / "new")


async def test_a_damaged_index_is_made_again_from_the_packs(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(20))
    archive.backup(folder)
    (index,) = (folder / "index").iterdir()
    flip(index, 5000)
    again, damage = restored(folder, tmp_path / "new")
    assert len(damage) == 1
    assert index.name in damage[0]
    again.recover()
    assert everything(again) == everything(archive)
    assert again.check().damage == []
    again.close()


async def test_a_damaged_manifest_stops_everything(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(3))
    archive.backup(folder)
    flip(folder / "manifest", 40)
    with pytest.raises(Corrupt, match="manifest is damaged"):
        restore_backup(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(Corrupt, match="manifest is damaged"):
        archive.backup(folder)
    with pytest.raises(NotFound, match="no backup"):
        restore_backup(tmp_path, tmp_path / "new")


async def test_damage_and_loss_in_the_archive_are_met_and_old_copies_kept(
    archive, data, ct, folder, tmp_path
):
    await fill(archive, ct, range(20))
    then = everything(archive)
    archive.backup(folder)
    first, second, *_ = sorted((data / "packs").glob("*.pack"))
    first.unlink()
    report = archive.backup(folder)
    assert report.damage == [f"pack {first.stem} is missing"]
    again, damage = restored(folder, tmp_path / "new")
    assert (damage, everything(again)) == ([], then)
    again.close()

    shutil.rmtree(folder)
    flip(second, 1000)
    report = archive.backup(folder)
    assert report.damage[0] == f"pack {first.stem} is missing"
    assert report.damage[1].startswith(f"pack {second.stem}: bytes ")
    assert len(report.damage) == 2
    assert report.packs == len(list((data / "packs").glob("*.pack")))


async def test_the_feed_of_a_restored_archive_is_above_all_that_was_told(
    archive, ct, folder, tmp_path
):
    await fill(archive, ct, range(3))
    archive.backup(folder)
    archive._index._environment.write(lambda txn: leap_feed(txn, 1))  # as after a power loss
    await fill(archive, ct, range(3, 6))
    told = archive.changes(0, 10)[-1].seq
    again, _ = restored(folder, tmp_path / "new")
    newest = again.last_change()
    assert newest is not None
    assert newest.seq == 3, "the numbers went on, the changes are those of the snapshot"
    assert again.changes(told, 10) == []
    await fill(again, ct, range(6, 8))
    after = again.changes(told, 10)
    assert [change.sop_uid for change in after] == ["1.2.3.6", "1.2.3.7"]
    again.close()
    once_more = Archive.open(settings_of(tmp_path / "new"))
    await fill(once_more, ct, range(8, 9))
    assert [change.seq - after[-1].seq for change in once_more.changes(after[-1].seq, 10)] == [1]
    once_more.close()


async def test_folders_that_are_something_else_are_refused(archive, data, ct, folder, tmp_path):
    await fill(archive, ct, range(3))
    with pytest.raises(Invalid, match="holds no backup"):
        archive.backup(data)
    archive.backup(folder)
    other = Archive.open(settings_of(tmp_path / "other"))
    with pytest.raises(Invalid, match="holds a backup of archive"):
        other.backup(folder)
    other.close()
    with pytest.raises(Conflict, match="is not empty"):
        restore_backup(folder, data)

    def again(done: int, total: int) -> None:
        with pytest.raises(Busy, match="is running"):
            archive.backup(folder)

    archive.backup(folder, again)


async def test_packs_that_the_first_tier_names_another_way_are_found(
    archive, ct, folder, tmp_path, monkeypatch
):
    await fill(archive, ct, range(3))
    archive.backup(folder)
    restore_backup(folder, tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    tiers = (TierSettings("hot", path=tmp_path / "new/packs"),)
    again = Archive.open(replace(settings_of(Path("new")), tiers=tiers))
    assert everything(again) == everything(archive)
    again.close()
    elsewhere = (TierSettings("hot", path=tmp_path / "ssd"),)
    with pytest.raises(Invalid, match="holds packs: name it as the path of the first tier"):
        Archive.open(replace(settings_of(Path("new")), tiers=elsewhere))


async def test_an_old_backup_that_names_the_hot_tier_is_restored(
    archive, data, ct, folder, tmp_path, monkeypatch
):
    await fill(archive, ct, range(3))
    monkeypatch.setattr("vna.archive.backup.lower_tiers", lambda _: (data / TIERS_FILE).read_text())
    archive.backup(folder)
    again, damage = restored(folder, tmp_path / "new")
    assert (damage, everything(again)) == ([], everything(archive))
    again.close()


async def test_a_restore_that_was_interrupted_is_given_again(archive, ct, folder, tmp_path):
    await fill(archive, ct, range(20))
    archive.backup(folder)
    new = tmp_path / "new"

    def stop_after(done: int, total: int) -> None:
        if done == 2:
            raise InterruptionError

    with pytest.raises(InterruptionError):
        restore_backup(folder, new, stop_after)
    with pytest.raises(Invalid, match=r"no archive\.toml"):
        Archive.open(settings_of(new))
    again, damage = restored(folder, new)
    assert (damage, everything(again)) == ([], everything(archive))
    again.close()
    with pytest.raises(Conflict, match="is not empty"):
        restore_backup(folder, new)


def test_page_is_the_code(root):
    page = (root / "docs/format/backup.md").read_text()
    tables = [
        [line.split("|")[1].strip(" `") for line in table.splitlines()[2:]]
        for table in page.split("\n\n")
        if table.startswith("| member")
    ]
    structs = [Manifest, Copy]
    assert tables == [[f.name for f in msgspec.structs.fields(each)] for each in structs]
    assert f"format version {BACKUP_FORMAT}\n" in page
