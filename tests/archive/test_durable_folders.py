"""A new archive's folders and index are durable before anything in them is."""

import os
import stat

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.errors import Invalid


def test_every_new_folder_is_durable_in_the_one_above_it(tmp_path, monkeypatch):
    synced = {}
    fsync = os.fsync

    def record(fd):
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            synced[status.st_ino] = set(os.listdir(fd))  # noqa: PTH208  of a descriptor
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    data = tmp_path / "new" / "deep" / "data"
    Archive.open(ArchiveSettings(data=data)).close()
    for folder in (data.parent.parent, data.parent, data, data / "packs", data / "index"):
        assert folder.name in synced[folder.parent.stat().st_ino], folder
    assert "archive.toml" in synced[data.stat().st_ino]
    assert "tier" in synced[(data / "packs").stat().st_ino]
    assert "data.mdb" in synced[(data / "index").stat().st_ino]
    left = {path.name for path in (data / "index").iterdir()}
    assert left == {"data.mdb", "lock.mdb", "checkpoint.lock", "open.lock"}


@pytest.mark.parametrize("node", [0, 1 << 24, -1])
def test_a_node_that_pack_names_have_no_room_for(data, node):
    data.mkdir()
    (data / "archive.toml").write_text(
        f'format = 1\narchive = "7e7e7e7e-7e7e-4e7e-8e7e-7e7e7e7e7e7e"\nnode = {node}\n'
    )
    with pytest.raises(Invalid, match="node must be a number from 1 to 16777215"):
        Archive.open(ArchiveSettings(data=data))
