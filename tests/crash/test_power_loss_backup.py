"""Power loss at every sync of a backup, of a restore from one, and of a rebuild of the index."""

import random
import shutil

import pytest

from vna.archive import Archive, ArchiveSettings, rebuild, rebuild_index, restore_backup
from vna.errors import Conflict, NotFound
from vna.index import Index
from vna.testing.images import ct_image
from vna.testing.power import memory_folder, write_image
from vna.testing.synced import SyncedFolder
from vna.types import Level

pytestmark = pytest.mark.crash
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 20))]


def settings_of(data):
    return ArchiveSettings(data=data, pack_size_bytes=20_000, index_map_bytes=1 << 20, threads=2)


@pytest.fixture
def memory():
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def archive(memory):
    opened = Archive.open(settings_of(memory / "data"))
    yield opened
    opened.close()


async def fill(archive, numbers):
    for number in numbers:
        pixels = random.Random(number).randbytes(4000)
        file = ct_image(f"1.2.3.{number}", Rows=50, Columns=40, PixelData=pixels)
        await archive.store(file, source="test")


def everything(archive):
    with archive._index.read() as reader:
        studies = [study.uid for study in reader.studies()]
    return {
        stored.sop_uid: b"".join(archive.dataset(stored))
        for study in studies
        for stored in archive.objects(study)
    }


def opened_and_read(data):
    """Return what an archive holds once it has recovered; nothing of it may be damaged."""
    archive = Archive.open(settings_of(data))
    try:
        archive.recover()
        assert archive.check().damage == []
        return everything(archive)
    finally:
        archive.close()


def restored(folder, data):
    assert restore_backup(folder, data).damage == []
    try:
        return opened_and_read(data)
    finally:
        shutil.rmtree(data)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_backup_that_was_cut_short_loses_nothing_and_is_taken_up(archive, memory, seed):
    chance = random.Random(seed)
    folder, fallen = memory / "backup", memory / "fallen"
    done = [None]
    for numbers in (range(6), range(6, 9)):
        await fill(archive, numbers)
        if len(done) > 1:
            await archive.delete(Level.INSTANCE, "1.2.3.2", "test")
        now = everything(archive)
        disk = SyncedFolder(memory)
        falls = []
        with disk.watched(lambda: falls.append(disk.fall(folder, chance))):  # noqa: B023
            assert archive.backup(folder).damage == []
        assert len(falls) > 10
        after = disk.fall(folder, chance)
        for number, files in enumerate([*falls, after]):
            write_image(files, fallen)
            try:
                try:
                    found = restored(fallen, memory / "restored")
                except NotFound:
                    found = None
                assert found in ([now] if files is after else [done[-1], now])
                assert archive.backup(fallen).damage == []
                assert restored(fallen, memory / "restored") == now
            except BaseException as error:
                error.add_note(f"seed {seed}, backup {len(done)}, moment {number}")
                raise
            shutil.rmtree(fallen)
        done.append(now)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_restore_from_a_backup_that_was_cut_short_is_done_again(archive, memory, seed):
    chance = random.Random(seed)
    await fill(archive, range(8))
    now = everything(archive)
    archive.backup(memory / "backup")
    new, fallen = memory / "new", memory / "fallen"
    disk = SyncedFolder(memory)
    falls = []
    with disk.watched(lambda: falls.append(disk.fall(new, chance))):
        restore_backup(memory / "backup", new)
    after = disk.fall(new, chance)
    assert len(falls) > 10
    for number, files in enumerate([*falls, after]):
        write_image(files, fallen)
        try:
            try:
                assert restore_backup(memory / "backup", fallen).damage == []
            except Conflict:  # it is whole already
                assert "restoring" not in files
            assert opened_and_read(fallen) == now
        except BaseException as error:
            error.add_note(f"seed {seed}, moment {number}")
            raise
        shutil.rmtree(fallen)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_rebuild_of_the_index_that_was_cut_short_leaves_a_whole_one(
    memory, seed, monkeypatch
):
    chance = random.Random(seed)
    data, fallen = memory / "data", memory / "fallen"
    archive = Archive.open(settings_of(data))
    try:
        await fill(archive, range(8))
        await archive.delete(Level.INSTANCE, "1.2.3.2", "test")
        now = everything(archive)
    finally:
        archive.close()
    disk = SyncedFolder(data)
    falls = []
    sync = Index.sync

    def watched(index):  # LMDB syncs by itself
        falls.append(disk.fall(data, chance))
        sync(index)
        disk.settle(data / "index.new" / "data.mdb")
        falls.append(disk.fall(data, chance))

    with (
        monkeypatch.context() as patch,
        disk.watched(lambda: falls.append(disk.fall(data, chance))),
    ):
        patch.setattr(Index, "sync", watched)
        assert rebuild_index(settings_of(data)).different == 0
    after = disk.fall(data, chance)
    assert len(falls) > 5
    for number, files in enumerate([*falls, after]):
        boot = memory / "boot_id"
        boot.write_text(f"after power loss {number}\n")
        monkeypatch.setattr(rebuild, "_BOOT", boot)
        write_image(files, fallen)
        try:
            assert opened_and_read(fallen) == now
            rebuilt = rebuild_index(settings_of(fallen))
            assert (rebuilt.different, rebuilt.uncompared) == (0, "")
            assert opened_and_read(fallen) == now
        except BaseException as error:
            error.add_note(f"seed {seed}, moment {number}")
            raise
        shutil.rmtree(fallen)
