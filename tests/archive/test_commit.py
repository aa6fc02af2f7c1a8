"""The commit protocol where it is under stress: clocks, refusals, disks that fail."""

import asyncio
import errno
import threading
import time

import pytest

from vna.archive import Archive, ArchiveSettings, Outcome, commit
from vna.clock import SystemClock
from vna.errors import Conflict, Deleted, Full, Invalid, Unavailable
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.clocks import SetClock
from vna.testing.faulty import FaultyTier
from vna.types import Level


def stored_file(archive, sop_uid="1.2.3.4"):
    (stored,) = archive.objects("1.2.3", "1.2.3.1", sop_uid)
    return b"".join(archive.file(stored, "TEST")[1])


async def test_what_comes_last_counts_though_the_clock_was_set_back(data, ct):
    settings = ArchiveSettings(data=data)
    early, late = SetClock(1_000), SetClock(2_000_000)
    first = Archive.open(settings, clock=late)
    await first.store(ct(), source="test")
    first.close()
    again = Archive.open(settings, clock=early)
    try:
        newer = ct(SeriesDescription="newer")
        assert (await again.store(newer, source="test")).outcome is Outcome.REPLACED
        assert stored_file(again) == newer
        assert await again.delete(Level.STUDY, "1.2.3", "test") == 1
        with pytest.raises(Deleted):
            again.objects("1.2.3")
        assert (await again.store(ct(), source="test")).outcome is Outcome.STORED
        assert stored_file(again) == ct()
    finally:
        again.close()


async def test_two_processes_with_different_clocks_agree_on_what_came_last(data, ct):
    settings = ArchiveSettings(data=data)
    ahead = Archive.open(settings, clock=SetClock(9_000_000))
    behind = Archive.open(settings, clock=SetClock(1_000))
    try:
        for number in range(4):
            file = ct(SeriesDescription=f"number {number}")
            await (ahead, behind)[number % 2].store(file, source="test")
            assert stored_file(ahead) == stored_file(behind) == file
    finally:
        ahead.close()
        behind.close()


async def test_a_refusal_that_was_not_told_yet_is_decided_by_recovery_for_good(
    data, ct, monkeypatch
):
    """The void of a refused store cannot be written: after a restart, index and packs agree."""
    settings = ArchiveSettings(data=data, duplicates="reject")
    tier = FaultyTier(DirectoryTier(data / "packs"))
    archive = Archive.open(settings, tier=tier)
    await archive.store(ct("1.9"), source="test")  # there is a pack now
    apply = archive._index.apply

    begun = threading.Event()

    def no_void(*args, **keywords):
        begun.set()
        while archive._committer.waiting < len(files):  # they form one group
            time.sleep(0.001)
        files.clear()
        results = apply(*args, **keywords)
        if any(result.outcome is Outcome.REJECTED for result in results):
            tier.fail("write")
        return results

    archive._index.apply = no_void
    # The second is refused by the index, though it is judged only after the first was stored.
    monkeypatch.setattr("vna.archive.prepare.standing", lambda *_: None)
    files = [ct(SeriesDescription=f"number {number}") for number in range(2)]
    first = asyncio.create_task(archive.store(ct("1.8"), source="test"))
    await asyncio.to_thread(begun.wait)  # its group is its own
    answers = await asyncio.gather(
        first,
        *(archive.store(file, source="test") for file in list(files)),
        return_exceptions=True,
    )
    assert any(isinstance(answer, Unavailable) for answer in answers)
    archive.close()
    live = Archive.open(settings)
    live.recover()
    dump = list(live._index.dump())
    live.close()
    for file in (data / "index").iterdir():
        file.unlink()
    rebuilt = Archive.open(settings)
    try:
        rebuilt.recover()
        assert list(rebuilt._index.dump()) == dump
    finally:
        rebuilt.close()


async def test_what_comes_while_a_group_gathers_is_judged_by_what_is_there_then(
    data, ct, monkeypatch
):
    """Another process deletes, and says so; then the object comes again. It is no duplicate any more."""
    settings, clock = ArchiveSettings(data=data), SystemClock()
    arriving = commit.Committer._arriving

    def of_two(committer, group, senders):
        return arriving(committer, group, 2 if committer._clock is clock else senders)

    monkeypatch.setattr(commit.Committer, "_arriving", of_two)
    archive, other = Archive.open(settings, clock=clock), Archive.open(settings)
    try:
        await archive.store(ct(), source="test")
        monkeypatch.setattr(commit, "GATHER_S", 60)
        judged = threading.Event()
        stands = archive._committer._stands
        archive._committer._stands = lambda each: (stands(each), judged.set())[0]
        first = asyncio.create_task(archive.store(ct("1.9"), source="test"))
        await asyncio.to_thread(judged.wait)
        assert await other.delete(Level.INSTANCE, "1.2.3.4", "test") == 1
        again = await archive.store(ct(), source="test")
        assert again.outcome is Outcome.STORED
        await first
        assert stored_file(other) == ct()
    finally:
        archive.close()
        other.close()


async def test_a_void_refuses_no_store_of_another_process_with_the_same_stamp(
    data, ct, monkeypatch
):
    settings = ArchiveSettings(data=data, duplicates="reject")
    ahead = Archive.open(settings, clock=SetClock(9_000_000))
    await ahead.store(ct("1.9"), source="test")
    ahead.close()
    # Both clocks are behind what was stored, so both give the stamp after that.
    refuses, takes = (Archive.open(settings, clock=SetClock(1_000)) for _ in range(2))
    await takes.store(ct("1.8"), source="test")  # its pack is the older one, and replayed last
    await refuses.store(ct("1.7"), source="test")
    apply = refuses._index.apply
    begun, taken = threading.Event(), threading.Event()

    def late(*args, **keywords):
        begun.set()
        taken.wait()
        return apply(*args, **keywords)

    refuses._index.apply = late
    try:
        refused = asyncio.create_task(refuses.store(ct(SeriesDescription="two"), source="test"))
        await asyncio.to_thread(begun.wait)
        await takes.store(ct(SeriesDescription="one"), source="test")
        taken.set()
        with pytest.raises(Conflict):
            await refused
        live = list(takes._index.dump())
        assert any(line[0] == "void" for line in live)
    finally:
        taken.set()
        refuses.close()
        takes.close()
    for file in (data / "index").iterdir():
        file.unlink()
    rebuilt = Archive.open(settings)
    try:
        rebuilt.recover()
        assert stored_file(rebuilt) == ct(SeriesDescription="one")
        assert list(rebuilt._index.dump()) == live
    finally:
        rebuilt.close()


async def test_a_group_waits_for_as_many_as_were_sending(data, ct, monkeypatch):
    monkeypatch.setattr(commit, "GATHER_S", 60)
    archive = Archive.open(ArchiveSettings(data=data))
    apply, groups = archive._index.apply, []
    begun = threading.Event()

    def slow(mutations, *args, **keywords):
        groups.append(len(mutations))
        begun.set()
        while len(groups) == 1 and archive._committer.waiting < 2:
            time.sleep(0.001)
        return apply(mutations, *args, **keywords)

    archive._index.apply = slow

    def store(number):
        return asyncio.create_task(archive.store(ct(f"1.{number}"), source="test"))

    try:
        first = store(1)
        await asyncio.to_thread(begun.wait)
        second, third = store(2), store(3)
        await first
        while archive._committer.waiting:
            await asyncio.sleep(0.001)
        await asyncio.gather(second, third, store(4))
        assert groups == [1, 3], "three were sending"
    finally:
        archive.close()


async def test_one_of_a_group_that_finds_no_space_moves_none_of_the_others(data, ct):
    """Nothing may be there to be written ahead then; what comes next has its own place all the same."""
    tier = FaultyTier(DirectoryTier(data / "packs"))
    archive = Archive.open(ArchiveSettings(data=data), tier=tier)
    kept = {"1.2.3.4": ct()}
    await archive.store(kept["1.2.3.4"], source="test")
    try:
        for round_ in range(1, 30):
            files = {uid: ct(uid) for uid in (f"1.9.{round_}.{number}" for number in range(1, 5))}
            tier.fail("write", errno.ENOSPC, after=round_ % 4)
            stores = (archive.store(file, source="test") for file in files.values())
            answers = await asyncio.gather(*stores, return_exceptions=True)
            full = [isinstance(answer, Full) for answer in answers]
            assert full.count(True) == 1
            kept |= {
                uid: files[uid] for uid, refused in zip(files, full, strict=True) if not refused
            }
        for uid, file in kept.items():
            assert stored_file(archive, uid) == file
        assert archive.check().damage == []
    finally:
        archive.close()


async def test_a_disk_that_fails_when_the_pack_is_closed_loses_nothing(data, ct, caplog):
    tier = FaultyTier(DirectoryTier(data / "packs"))
    archive = Archive.open(ArchiveSettings(data=data), tier=tier)
    await archive.store(ct(), source="test")
    archive._committer._writer.append((), b"not synced yet")
    tier.fail("sync")
    archive.close()
    assert "the pack was left unsealed" in caplog.text


async def test_nothing_is_visible_before_it_is_durable(data, ct):
    tier = FaultyTier(DirectoryTier(data / "packs"))
    archive = Archive.open(ArchiveSettings(data=data), tier=tier)
    await archive.store(ct("1.2.3.9"), source="test")
    seen = []
    sync = archive._committer._writer.sync

    def looked():
        seen.append(archive.stats().counts.instances)
        sync()
        seen.append(archive.stats().counts.instances)

    archive._committer._writer.sync = looked
    await archive.store(ct(), source="test")
    assert seen == [1, 1]
    assert archive.stats().counts.instances == 2
    archive.close()


async def test_a_commit_beyond_the_formats_limit_is_refused_alone(archive, ct, monkeypatch):
    monkeypatch.setattr("vna.storage.writer.MAX_COMMIT", 2000)
    with pytest.raises(Invalid, match="commit record"):
        await archive.store(ct(ImageType=["ORIGINAL"] * 400), source="test")
    await archive.store(ct(), source="test")
    assert stored_file(archive) == ct()


async def test_a_patient_is_not_deleted_as_a_whole(archive, ct):
    await archive.store(ct(), source="test")
    with pytest.raises(Invalid, match="study by study"):
        await archive.delete(Level.PATIENT, "1.2.3.4", "test")
    assert archive.health().state == "ready"
