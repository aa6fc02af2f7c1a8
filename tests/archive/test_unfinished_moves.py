"""What a move left on a tier when it ended amid a pack is removed, and nothing that is another's."""

import json
import shutil
from contextlib import closing

import pytest
from tiered import Life

from vna.archive import Archive, restore_backup
from vna.errors import Unavailable
from vna.storage import DirectoryTier


@pytest.fixture
def life(folder):
    opened = Life(folder)
    yield opened
    opened.archive.close()


def pulled(*_):
    raise Unavailable("pulled")


async def test_a_pack_that_was_not_finished_is_removed(life, monkeypatch):
    await life.fill()
    monkeypatch.setattr("vna.archive.movement.Mover._switch", pulled)
    with pytest.raises(Unavailable):
        life.archive.move("cold")
    monkeypatch.undo()
    (left,) = life.packs("cold")
    assert json.loads((life.settings.data / "moving.json").read_bytes())["pack"]
    life.again()
    life.must_be_whole()
    life.archive.move("cold", "1.2.0")
    assert left not in life.packs("cold")
    assert not (life.settings.data / "moving.json").exists()
    life.must_be_whole()


async def test_what_is_left_on_a_tier_that_is_away_holds_up_no_other(life, monkeypatch):
    await life.fill()
    note = life.settings.data / "moving.json"
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("vna.archive.movement.Mover._switch", pulled)
            with pytest.raises(Unavailable, match="pulled"):
                life.archive.move("cold")
    (left,) = life.packs("cold")
    (life.folder / "cold").rename(life.folder / "unplugged")
    archive = life.again()
    assert archive.move("warm", "1.2.0").blobs == 6
    assert archive.move("hot", "1.2.0").blobs == 6
    assert note.exists()
    with pytest.raises(Unavailable):
        archive.move("cold", "1.2.0")
    life.must_be_whole()
    (life.folder / "unplugged").rename(life.folder / "cold")
    archive = life.again()
    assert archive.move("warm", "1.2.1").blobs == 6
    assert life.packs("cold") == []
    assert not left.exists()
    assert not note.exists()
    life.must_be_whole()


@pytest.mark.parametrize("of_before", [False, True])
async def test_what_was_written_of_a_pack_by_one_who_was_killed_is_removed(
    life, monkeypatch, of_before
):
    await life.fill()

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("os.link", killed)
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            life.archive.move("cold")
    (draft,) = (life.folder / "cold").glob(".*.draft")
    if of_before:  # an older program named it by its process
        draft.rename(draft.with_suffix(".4711"))
    life.again().move("cold", "1.2.0")
    (pack,) = life.packs("cold")
    assert {each.name for each in (life.folder / "cold").iterdir()} == {"tier", pack.name}
    life.must_be_whole()


async def test_what_another_left_unfinished_amid_a_move_is_removed(life, monkeypatch):
    await life.fill()
    other = Archive.open(life.settings)
    left = []

    def pace(size):
        if size == 0 and not left:  # between two series others may move
            with monkeypatch.context() as patch:
                patch.setattr("vna.archive.movement.Mover._switch", pulled)
                with pytest.raises(Unavailable):
                    other.move("cold", "1.2.1")
            left.extend(life.packs("cold"))

    with closing(other), closing(life.archive._mover(2, None, pace)) as mover:
        mover.move([("1.2.0", "1.2.0.0"), ("1.2.0", "1.2.0.1")])
    assert len(left) == 1
    assert len(life.packs("cold")) == 1
    assert left != life.packs("cold")
    assert not (life.settings.data / "moving.json").exists()
    life.must_be_whole()


async def test_a_tier_that_gives_back_other_bytes_is_not_believed(life, monkeypatch):
    await life.fill()
    put = DirectoryTier.put

    def lying(self, pack, pieces):
        return put(self, pack, (bytes(len(piece)) for piece in pieces))

    monkeypatch.setattr(DirectoryTier, "put", lying)
    with pytest.raises(Exception, match="comes back from its tier other than it was put"):
        life.archive.move("cold")
    monkeypatch.undo()
    assert life.packs("cold") == []
    life.must_be_whole()


async def test_an_older_backup_leaves_the_packs_that_it_does_not_name(life):
    await life.fill(range(2))
    life.again().move("cold")
    life.archive.backup(life.folder / "backup")
    for number in range(2, 5):
        await life.fill([number])
        life.again().move("cold")
    later = {path: path.read_bytes() for path in life.packs("cold")}
    life.archive.close()
    shutil.rmtree(life.settings.data)
    restore_backup(life.folder / "backup", life.settings.data)
    life.archive = Archive.open(life.settings)
    life.files = {number: life.files[number] for number in range(2)}
    await life.fill(range(6, 8))
    life.again()
    assert life.archive.move("cold").packs == 1
    await life.fill(range(8, 10))
    assert life.archive.move("cold").packs == 1
    assert len(life.packs("cold")) == len(later) + 2
    assert all(path.read_bytes() == content for path, content in later.items())
    life.must_be_whole()


async def test_a_name_that_is_taken_meanwhile_is_passed_over(life, monkeypatch):
    await life.fill()
    put = DirectoryTier.put
    taken = []

    def late(self, pack, pieces):
        if not taken:
            taken.append(self.file(pack))
            taken[0].write_bytes(b"of another")
        return put(self, pack, pieces)

    monkeypatch.setattr(DirectoryTier, "put", late)
    assert life.archive.move("cold").packs == 1
    assert taken[0].read_bytes() == b"of another"
    assert not (life.settings.data / "moving.json").exists()
    life.must_be_whole()
