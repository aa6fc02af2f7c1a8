"""A move that is killed at each of its steps: nothing is lost, and the next run finishes it."""

import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.errors import Busy
from vna.storage import tier_of
from vna.testing.images import ct_image
from vna.testing.power import memory_folder

KILLED = 9
MOVE = """
import os, sys
from pathlib import Path
from vna.archive import Archive
import vna.archive.intent, vna.archive.movement, vna.index, vna.storage
sys.path.insert(0, sys.argv[1])
from test_move_kill import settings

module, owner, name, when = sys.argv[3:7]
kind = getattr(sys.modules[module], owner)
step = getattr(kind, name)

def killed(*args, **others):
    if when == "before":
        os._exit(9)
    step(*args, **others)
    os._exit(9)

archive = Archive.open(settings(Path(sys.argv[2])))
setattr(kind, name, killed)
archive.move("cold")
"""
STEPS = [
    ("vna.archive.intent", "Intent", "begin", "before"),
    ("vna.archive.intent", "Intent", "begin", "after"),
    ("vna.storage", "BlobStore", "keep", "after"),
    ("vna.storage", "PackWriter", "append_records", "after"),
    ("vna.storage", "PackWriter", "sync", "after"),
    ("vna.index", "Index", "apply", "after"),
    ("vna.archive.intent", "Intent", "end", "before"),
]


def settings(folder):
    tiers = (
        TierSettings("hot", path=folder / "data/packs"),
        TierSettings("cold", path=folder / "cold", codec="zstd"),
    )
    return ArchiveSettings(
        data=folder / "data", index_map_bytes=1 << 20, min_free_bytes=0, tiers=tiers
    )


def image(number, size=6000):
    return ct_image(
        f"1.2.3.{number}",
        Rows=size // 6000,
        Columns=3000,
        PixelData=random.Random(number).randbytes(size),
    )


def move_until_killed(here, folder, step):
    command = [sys.executable, "-c", MOVE, here, folder, *step]
    ended = subprocess.run(command, check=False, capture_output=True, timeout=120)
    assert ended.returncode == KILLED, ended.stderr


def content(archive, number):
    (stored,) = archive.objects("1.2.3", None, f"1.2.3.{number}")
    return b"".join(archive.file(stored, "TEST")[1])


def must_be_moved(archive, files, folder):
    """All is on the cold tier, in one pack, and there is no other."""
    assert archive.tier_states()["cold"].objects == len(files)
    assert all(content(archive, number) == file for number, file in files.items())
    with archive._index.read() as reader:
        named = [pack for pack in reader.packs() if tier_of(pack)]
    assert len(list((folder / "cold").glob("*.pack"))) == len(named) == 1
    assert not (folder / "data/moving.json").exists()
    assert archive.check().damage == []


async def filled(folder):
    """Have an archive with ten images there, and return them."""
    archive = Archive.open(settings(folder))
    files = {number: image(number) for number in range(10)}
    for file in files.values():
        await archive.store(file, source="test")
    archive.close()
    return files


@pytest.mark.parametrize("step", STEPS, ids=lambda step: "-".join(step[1:]))
async def test_a_killed_move_loses_nothing_and_is_finished(step, tmp_path, request):
    with memory_folder() as folder:
        files = await filled(folder)
        move_until_killed(request.path.parent, folder, step)
        archive = Archive.open(settings(folder))
        try:
            archive.recover()
            assert all(content(archive, number) == file for number, file in files.items())
            assert archive.check().damage == []
            archive.move("cold")
            must_be_moved(archive, files, folder)
        finally:
            archive.close()


async def test_what_another_process_settles_may_name_the_pack(tmp_path, request):
    with memory_folder() as folder:
        files = await filled(folder)
        synced = ("vna.storage", "PackWriter", "sync", "after")
        move_until_killed(request.path.parent, folder, synced)
        archive = Archive.open(settings(folder))
        try:
            with archive._store.claim(max(pack.id for pack in archive._store.packs())):
                with pytest.raises(Busy):
                    archive.move("cold")
                assert (folder / "data/moving.json").exists()
            archive.recover()
            archive.move("cold")
            must_be_moved(archive, files, folder)
        finally:
            archive.close()


CONFIG = """
[archive]
data = "{folder}/data"
min_free_bytes = 0
[[tier]]
name = "hot"
path = "packs"
[[tier]]
name = "cold"
path = "{folder}/cold"
codec = "zstd"
"""
VNA = Path(sys.executable).with_name("vna")


def begin_move(folder):
    (folder / "vna.toml").write_text(CONFIG.format(folder=folder))
    command = [VNA, "tier", "move", "--to", "cold", "--all", "--config", folder / "vna.toml"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_somewhere(move, folder, chance):
    """Kill a move a moment after it has begun to put a pack; it may have ended by then."""
    while move.poll() is None and not (folder / "data/moving.json").exists():
        time.sleep(0.001)
    with suppress(subprocess.TimeoutExpired):
        move.wait(chance.random() * 0.1)
    move.kill()
    move.wait()


async def killed_again_and_again(folder, seed, times):
    """Kill the same move at moments of chance; it is finished by the last one."""
    chance = random.Random(seed)
    files = {number: image(number, 600_000) for number in range(10)}
    archive = Archive.open(settings(folder))
    try:
        for file in files.values():
            await archive.store(file, source="test")
    finally:
        archive.close()
    for _ in range(times):
        kill_somewhere(begin_move(folder), folder, chance)
        archive = Archive.open(settings(folder))
        try:
            archive.recover()
            assert all(content(archive, number) == file for number, file in files.items())
        finally:
            archive.close()
    assert begin_move(folder).wait() == 0
    archive = Archive.open(settings(folder))
    try:
        must_be_moved(archive, files, folder)
    finally:
        archive.close()


@pytest.mark.crash
async def test_a_move_that_is_killed_while_it_puts_a_pack():
    with memory_folder() as folder:
        await killed_again_and_again(folder, 1, 2)


@pytest.mark.long
@pytest.mark.crash
@pytest.mark.parametrize("seed", range(2, 12))
async def test_moves_that_are_killed_while_they_put_a_pack(seed):
    with memory_folder() as folder:
        await killed_again_and_again(folder, seed, 5)
