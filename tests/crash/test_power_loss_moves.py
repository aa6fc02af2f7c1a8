"""Power loss at every sync of movements between tiers: all is readable, and the next run goes on."""

import asyncio
import random
import shutil
from dataclasses import replace

import pytest
from mutations import rebuilt

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.archive.intent import FILE, Intent
from vna.storage import DirectoryTier, tier_of
from vna.testing.images import ct_image
from vna.testing.power import (
    Disk,
    FolderSynced,
    Made,
    PowerTier,
    Removed,
    memory_folder,
    watch_index,
    write_image,
)

COUNT = 4
LOWER = ("warm", "cold")
LARGE = 8 << 20


@pytest.fixture
def memory():
    with memory_folder() as folder:
        yield folder


@pytest.fixture(autouse=True)
def watched_notes(monkeypatch):
    """Have the note of the pack that is about to be put in the journal, as it is made durable."""
    begin, end = Intent.begin, Intent.end

    def begun(self, pack):
        begin(self, pack)
        if isinstance(self._store._tier, PowerTier):
            note = Made(FILE, self._path.read_bytes())
            self._store._tier.disk.events += [note, FolderSynced(".")]

    def ended(self):
        there = self._path.exists()
        end(self)
        if there:
            self._store._tier.disk.events += [Removed(FILE), FolderSynced(".")]

    monkeypatch.setattr(Intent, "begin", begun)
    monkeypatch.setattr(Intent, "end", ended)


def settings(data):
    tiers = (
        TierSettings("hot", path=data / "packs"),
        *(TierSettings(name, path=data / name) for name in LOWER),
    )
    return ArchiveSettings(
        data=data,
        stream_threshold_bytes=40_000,
        pack_size_bytes=30_000,
        index_map_bytes=1 << 20,
        min_free_bytes=0,
        threads=2,
        tiers=tiers,
    )


def opened(settings):
    """Open an archive whose disk keeps a journal, of the tiers below the hot one too."""
    disk = Disk(settings.data)
    archive = Archive.open(settings, tier=PowerTier(DirectoryTier(settings.data / "packs"), disk))
    for number, name in enumerate(LOWER, 1):
        assert archive._store.lower_packs(number) is not None  # it is known from now on
        inner = DirectoryTier(settings.data / name)
        archive._store.tiers.lower[number] = PowerTier(inner, disk, name)
    disk.begin()
    watch_index(archive._index, disk)
    return archive, disk


def image(number):
    """Two studies; one object of each is large."""
    size = 50_000 if number // 2 == 1 else 4000
    return ct_image(
        f"1.2.3.{number}",
        StudyInstanceUID=f"1.2.{number % 2}",
        SeriesInstanceUID=f"1.2.{number % 2}.1",
        Rows=1,
        Columns=size // 2,
        PixelData=random.Random(number).randbytes(size // 2) + bytes(size // 2),
    )


def look(archive, files):
    """See that each object is there as it was, and nothing is damaged."""
    for number, file in files.items():
        (stored,) = archive.objects(f"1.2.{number % 2}", None, f"1.2.3.{number}")
        assert b"".join(archive.file(stored, "TEST")[1]) == file
    assert archive.check().damage == []


MOVES = {
    "down in steps": [("move", "warm"), ("move", "cold", "1.2.0"), ("reclaim",), ("move", "cold")],
    "down and up": [("move", "cold"), ("compact", 1), ("move", "hot", "1.2.1"), ("move", "cold")],
}
"""What is done to the archive, and what may be interrupted of it."""


def work(archive, steps):
    for verb, *arguments in steps:
        getattr(archive, verb)(*arguments)


def survive(settings, files, image, chance, depth=0):
    """Start on what a power loss left: all is there, the moves go on, no pack is left behind."""
    write_image(image, settings.data)
    archive, disk = opened(settings)
    try:
        archive.recover()
        assert archive.recover().packs == 0, "what was settled stays settled"
        look(archive, files)
        assert list(archive._index.dump()) == rebuilt(settings, settings.data / "rebuilt")
        work(archive, [("move", "cold"), ("reclaim",), ("compact", 1)])
        look(archive, files)
        assert archive.tier_states()["cold"].objects == len(files)
        assert not (settings.data / FILE).exists()
        with archive._index.read() as reader:
            named = {
                pack for pack, use in reader.packs().items() if tier_of(pack) and not use.dropped
            }
        there = {pack.id for number in (1, 2) for pack in archive._store.lower_packs(number)}
        assert there == named, "packs without a name are left, or named ones are gone"
        moment = chance.randrange(len(disk.events) + 1)
    finally:
        archive.close()
    if depth == 0 and chance.random() < 0.3:  # power fails again, at some point of all that
        again = {
            name: data for name, data in disk.fall(moment, chance).items() if "rebuilt" not in name
        }
        survive(sibling(settings, "again"), files, again, chance, depth + 1)


def sibling(settings, name):
    """Return the settings of another archive of the same kind."""
    data = settings.data.with_name(f"{settings.data.name}-{name}")
    tiers = tuple(replace(tier, path=data / tier.path.name) for tier in settings.tiers)
    return replace(settings, data=data, tiers=tiers)


def lose_power(memory, steps, seed):
    """Have an archive move, and power lost at every sync of that."""
    chance = random.Random(seed)
    live = settings(memory / "live")
    files = {number: image(number) for number in range(COUNT)}
    archive, disk = opened(live)
    try:
        for file in files.values():
            asyncio.run(archive.store(file, source="test"))
        archive._index.sync()
        disk.begin()
        work(archive, steps)
        look(archive, files)
    finally:
        archive.close()
    for moment in disk.moments():
        case = sibling(live, moment)
        try:
            survive(case, files, disk.fall(moment, chance), chance)
        except BaseException as error:
            error.add_note(f"seed {seed}, moment {moment}")
            raise
        shutil.rmtree(case.data)
        shutil.rmtree(sibling(case, "again").data, ignore_errors=True)
    return len(disk.moments())


@pytest.mark.crash
@pytest.mark.parametrize("steps", MOVES)
def test_power_loss_at_every_sync_of_moves(memory, steps):
    assert lose_power(memory, MOVES[steps], 1) > 10


@pytest.mark.long
@pytest.mark.crash
@pytest.mark.parametrize("steps", MOVES)
@pytest.mark.parametrize("seed", range(2, 20))
def test_power_loss_at_every_sync_of_moves_by_other_chances(memory, steps, seed):
    lose_power(memory, MOVES[steps], seed)
