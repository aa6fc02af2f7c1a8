"""A pack that is full in the middle of a group: nobody else judges what the group has not."""

import asyncio
import random
import threading

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.archive.commit import Proposal
from vna.errors import Conflict
from vna.types import DeleteCommit, Level


@pytest.mark.parametrize("policy", ["reject", "keep"])
async def test_recovery_beside_a_group_that_fills_packs_leaves_its_policy_alone(data, ct, policy):
    settings = ArchiveSettings(data=data, duplicates=policy, pack_size_bytes=20_000)
    archive, other = Archive.open(settings), Archive.open(settings)
    begun, go_on = threading.Event(), threading.Event()

    def hold(stamp):
        begun.set()
        go_on.wait()
        return DeleteCommit(stamp, Level.INSTANCE, "9.9", "nothing has this UID")

    def made(sop, seed, size):
        pixels = random.Random(seed).randbytes(size)
        return ct(sop, Rows=1, Columns=size // 2, PixelData=pixels)

    apply = archive._index.apply

    def recover_first(*arguments, **options):
        other.recover()  # as the supervisor does when another worker has died
        return apply(*arguments, **options)

    archive._index.apply = recover_first
    files = [made("1.1", 1, 4000), made("1.1", 2, 4000), made("1.2", 3, 18_000)]
    try:
        archive._committer.submit(Proposal(hold))
        begun.wait()
        stores = []
        for number, file in enumerate(files, 1):  # one group, in this order, over two packs
            stores.append(asyncio.create_task(archive.store(file, source="test")))
            while archive.load().queue < number:
                await asyncio.sleep(0.01)
        go_on.set()
        first, second, third = await asyncio.gather(*stores, return_exceptions=True)
        assert len(archive._store.packs()) == 2
        assert (first.outcome.value, third.outcome.value) == ("stored", "stored")
        if policy == "reject":
            assert isinstance(second, Conflict)
        else:
            assert second.outcome.value == "kept"
        (stored,) = archive.objects("1.2.3", None, "1.1")
        assert b"".join(archive.file(stored, "TEST")[1]) == files[0]
    finally:
        go_on.set()
        archive.close()
        other.close()
