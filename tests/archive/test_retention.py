"""What is kept long enough is let go of; what is restored before that is kept whole."""

import asyncio

import pytest
from lives import Life, image

from vna.archive import RetentionSettings
from vna.archive.purge import purge_deleted
from vna.testing.clocks import SetClock
from vna.types import Level


async def test_what_is_kept_long_enough_is_let_go_of(folder):
    day = 86_400 * 10**9
    clock = SetClock(10**18)
    life = Life(folder, clock)
    try:
        archive = life.archive
        old = image(1, content=5)
        await archive.store(old, source="test")
        await archive.store(image(2), source="test")
        clock.now_ns += day
        new = image(1, content=6)
        await archive.store(new, source="test")
        await archive.delete(Level.INSTANCE, "1.2.3.2", "test")
        for_ever = archive.let_go_of(RetentionSettings())
        assert (for_ever.instances, for_ever.versions) == (0, 0)
        clock.now_ns += 9 * day
        ten = RetentionSettings(deleted_days=10, versions_days=10)
        assert archive.let_go_of(ten).versions == 0
        await archive.restore("1.2.3.2")
        await archive.delete(Level.INSTANCE, "1.2.3.2", "again")
        clock.now_ns += 2 * day
        purged = archive.let_go_of(ten)
        assert (purged.instances, purged.versions) == (1, 1), "the version; the delete is young"
        (history,) = archive.histories("1.2.3.1")
        assert history.purges[1].reason == "replaced for 10 days"
        clock.now_ns += 9 * day
        assert archive.let_go_of(ten).versions == 1
        (history,) = archive.histories("1.2.3.2")
        assert [purge.reason for purge in history.purges] == ["deleted for 10 days"]
        assert life.content(1) == new
        life.again().compact(1)
        assert life.content(1) == new
        life.must_be_whole()
    finally:
        life.archive.close()


def deleted_days(archive):
    return archive.let_go_of(RetentionSettings(deleted_days=1))


def versions_days(archive):
    return archive.let_go_of(RetentionSettings(versions_days=1))


def told_to(archive):
    return purge_deleted(archive._index, archive._committer, "1.2.1", "told to")


@pytest.mark.parametrize("purge", [deleted_days, versions_days, told_to])
async def test_what_is_restored_before_its_purge_is_kept_whole(folder, monkeypatch, purge):
    """A purge waits for others, and for the committer, after it has read what is deleted."""
    clock = SetClock(10**18)
    life = Life(folder, clock)
    archive = life.archive
    submit = archive._committer.submit

    def restore_first(proposal):
        monkeypatch.undo()
        asyncio.run(archive.restore("1.2.3.1"))
        return submit(proposal)

    try:
        for content in (5, 6):
            await archive.store(image(1, content=content), source="test")
            clock.now_ns += 1
        await archive.delete(Level.INSTANCE, "1.2.3.1", "test")
        clock.now_ns += 2 * 86_400 * 10**9
        monkeypatch.setattr(archive._committer, "submit", restore_first)
        purged = await archive.run(purge, archive)
        assert (purged.instances, purged.versions) == (0, 0)
        (history,) = archive.histories("1.2.3.1")
        assert (history.deleted, history.purges) == ("", [None, None])
        life.must_be_whole()
    finally:
        archive.close()
