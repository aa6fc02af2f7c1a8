"""Power loss at every sync of restores, of what is recorded of damage, and of its repair."""

import asyncio
import random
import shutil

import pytest
from mutations import LARGE, content, image, rebuilt
from test_power_loss import opened, sibling

from vna.archive import ArchiveSettings
from vna.errors import Corrupt
from vna.testing.power import memory_folder, write_image
from vna.types import Level

DAMAGED = "damaged"
FIRST, TWIN, LARGE_ONE = image(1, 1, 1), image(1, 2, 1), image(2, 1, 3, LARGE)
"""Two objects with the same pixels, and one that goes to a pack of its own."""
SECOND = image(1, 1, 2)
"""Another content of the first."""


def pixels(archive, made):
    """Return digest and place of an object's pixels."""
    (stored,) = archive.objects(made.study, None, made.sop)
    digest = stored.version.holes[-1].blob
    with archive._index.read() as reader:
        return digest, reader.blob(digest)


async def condemn(archive, made):
    digest, place = pixels(archive, made)
    await archive.run(archive._quarantine._record, digest, place, "the test says so")


async def acquit(archive, made):
    """Find what was condemned sound, as the scrub does that begins a pass."""
    await archive.run(archive._quarantine.look_again)


async def store(archive, made):
    await archive.store(made.file, source="test")


async def delete(archive, made):
    await archive.delete(Level.INSTANCE, made.sop, "test")


async def delete_study(archive, made):
    await archive.delete(Level.STUDY, made.study, "test")


async def restore(archive, made):
    assert (await archive.restore(made.sop)).instances == 1


async def restore_study(archive, made):
    assert (await archive.restore(made.study)).instances == 2


async def restore_first_version(archive, made):
    (history,) = archive.histories(made.sop)
    stamp = min(version.stamp for version in history.versions)
    assert (await archive.restore(made.sop, version=stamp)).instances == 1


SCRIPT = [
    (store, FIRST, {FIRST: FIRST}),
    (store, TWIN, {TWIN: TWIN}),
    (store, LARGE_ONE, {LARGE_ONE: LARGE_ONE}),
    (delete, FIRST, {FIRST: None}),
    (restore, FIRST, {FIRST: FIRST}),
    (delete_study, FIRST, {FIRST: None, TWIN: None}),
    (restore_study, FIRST, {FIRST: FIRST, TWIN: TWIN}),
    (condemn, FIRST, {FIRST: DAMAGED, TWIN: DAMAGED}),
    (store, TWIN, {FIRST: FIRST, TWIN: TWIN}),
    (store, SECOND, {FIRST: SECOND}),
    (restore_first_version, FIRST, {FIRST: FIRST}),
    (condemn, LARGE_ONE, {LARGE_ONE: DAMAGED}),
    (store, LARGE_ONE, {LARGE_ONE: LARGE_ONE}),
    (condemn, LARGE_ONE, {LARGE_ONE: DAMAGED}),
    (acquit, LARGE_ONE, {LARGE_ONE: LARGE_ONE}),
]
"""What is done, to which object, and what of objects is another then."""
OBJECTS = [FIRST, TWIN, LARGE_ONE]


def states():
    """Return what objects hold before the script, and after each of its steps."""
    found = [dict.fromkeys(made.sop for made in OBJECTS)]
    for _, _, changed in SCRIPT:
        news = {
            made.sop: now if now in (None, DAMAGED) else now.file for made, now in changed.items()
        }
        found.append(found[-1] | news)
    return found


def held(archive, made):
    try:
        return content(archive, made.study, made.sop)
    except Corrupt:
        return DAMAGED


async def play(archive, disk):
    for number, (do, made, _) in enumerate(SCRIPT):
        disk.note(("sent", number))
        await do(archive, made)
        disk.note(("answered", number))
        look(archive, disk.notes(len(disk.events)))


def look(archive, notes):
    """See that objects are as after the last step that was answered, or as after the next one."""
    sent = sum(kind == "sent" for kind, _ in notes)
    done = sum(kind == "answered" for kind, _ in notes)
    every = states()
    found = {made.sop: held(archive, made) for made in OBJECTS}
    for sop, now in found.items():
        assert now in (every[done][sop], every[sent][sop]), f"{sop} after step {done}"
    alive = sum(now is not None for now in found.values())
    assert archive.stats().counts.instances == alive
    # Damage of a version that is not the current one, or deleted, is named too.
    named = {damage.sop_uid for damage in archive.check().damage}
    assert {sop for sop, now in found.items() if now == DAMAGED} <= named
    if DAMAGED not in (*every[done].values(), *every[sent].values()):
        assert named == set()


@pytest.mark.crash
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))]
)
def test_power_loss_at_every_sync_of_restores_damage_and_repair(seed):
    chance = random.Random(seed)
    with memory_folder() as memory:
        settings = ArchiveSettings(
            data=memory / "live",
            stream_threshold_bytes=40_000,
            pack_size_bytes=30_000,
            index_map_bytes=1 << 20,
            threads=2,
        )
        archive, disk = opened(settings)
        try:
            asyncio.run(play(archive, disk))
        finally:
            archive.close()
        for moment in disk.moments():
            case = sibling(settings, moment)
            write_image(disk.fall(moment, chance), case.data)
            archive, _ = opened(case)
            try:
                archive.recover()
                look(archive, disk.notes(moment))
                assert list(archive._index.dump()) == rebuilt(case, case.data / "rebuilt")
                for made in OBJECTS:  # what comes again is whole, whatever it was
                    asyncio.run(archive.store(made.file, source="after"))
                    assert content(archive, made.study, made.sop) == made.file
                assert archive.lost() == []
            except BaseException as error:
                error.add_note(f"seed {seed}, moment {moment}")
                raise
            finally:
                archive.close()
            shutil.rmtree(case.data)
