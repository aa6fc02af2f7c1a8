"""The access log: what is noted of reads, and that it stays within its limit."""

import json

import pytest

from vna.archive import Archive, ArchiveSettings, Retrieval, TierSettings
from vna.archive.access import Accesses, AccessLog
from vna.errors import Unavailable
from vna.testing.clocks import SetClock

DAY_NS = 86_400 * 10**9
NOON = 1_767_268_800 * 10**9
"""2026-01-01 12:00."""
NAMES = {0: "hot", 1: "cold"}


@pytest.fixture
def clock():
    return SetClock(NOON)


def lines(data):
    days = sorted((data / "access").glob("2*.jsonl"))
    return [json.loads(line) for day in days for line in day.read_text().splitlines()]


async def test_reads_are_noted_with_their_series_kind_and_tier(folder, ct, clock):
    tiers = (TierSettings("hot"), TierSettings("cold", path=folder / "cold"))
    settings = ArchiveSettings(
        data=folder / "data", index_map_bytes=4 << 20, min_free_bytes=0, tiers=tiers
    )
    archive = Archive.open(settings, clock=clock)
    file = ct()
    await archive.store(file, source="test")
    (found,) = archive.series_facts()
    (stored,) = archive.objects(found.study_uid)
    assert found.accessed == found.received
    assert b"".join(archive.file(stored, "TEST")[1]) == file
    clock.now_ns += DAY_NS + 60 * 10**9
    pixels = len(archive.frame(stored, 1))
    archive.move("cold", found.study_uid)
    archive.compact(1)
    archive.frame(stored, 1)
    archive.frame(stored, 1)
    archive.metadata(stored, "")
    noted = [
        (each.time, each.kind, each.tier, each.reads, each.bytes) for each in archive.accesses()
    ]
    assert noted == [
        ("2026-01-01T12:00:00Z", "dataset", "hot", 1, len(file)),
        ("2026-01-02T12:01:00Z", "frame", "hot", 1, pixels),
        ("2026-01-02T12:01:00Z", "frame", "cold", 2, 2 * pixels),
    ]
    assert {(each.study, each.series) for each in archive.accesses()} == {
        (found.study_uid, found.series_uid)
    }
    (found,) = archive.series_facts()
    assert found.accessed == NOON + DAY_NS + 60 * 10**9
    states = archive.tier_states()
    assert [(each.reads, each.bytes_read_s) for each in states.values()] == [
        (1, pixels / 86_400),
        (2, 2 * pixels / 86_400),
    ], "of the last day"
    archive.close()


async def test_instances_that_are_read_together_count_each(data, ct):
    archive = Archive.open(ArchiveSettings(data=data))
    series = ["1.2.3.1", "1.2.3.2", "1.2.3.1"]
    files = {
        f"1.2.3.4.{at}": ct(f"1.2.3.4.{at}", SeriesInstanceUID=uid) for at, uid in enumerate(series)
    }
    for file in files.values():
        await archive.store(file, source="test")
    objects = archive.objects("1.2.3")
    found = await archive.soon(Retrieval.files, objects, "TEST")
    runs = [b"".join(await archive.read(items)) for items in found]
    archive.close()
    assert runs == [files[stored.sop_uid] for stored in objects]
    noted = {each["series"]: (each["reads"], each["bytes"]) for each in lines(data)}
    sizes = [len(file) for file in files.values()]
    assert noted == {"1.2.3.1": (2, sizes[0] + sizes[2]), "1.2.3.2": (1, sizes[1])}


async def test_of_those_at_hand_the_ones_that_were_read_count(data, ct):
    archive = Archive.open(ArchiveSettings(data=data))
    for at in range(3):
        await archive.store(ct(f"1.2.3.4.{at}"), source="test")
    objects = archive.objects("1.2.3")
    whole = [b"".join(archive.dataset(stored)) for stored in objects]
    runs = archive.datasets_at_hand(objects)
    assert [b"".join(next(runs)) for _ in range(2)] == whole[:2]
    runs.close()
    assert [b"".join(run) for run in archive.datasets_at_hand(objects)] == whole
    archive.close()
    sizes = [len(each) for each in whole]
    noted = [(each["reads"], each["bytes"]) for each in lines(data)]
    assert [sum(each) for each in zip(*noted, strict=True)] == [8, 3 * sum(sizes) - sizes[2]]


async def test_what_a_web_reader_gets_is_noted_too_and_nothing_when_there_is_no_log(data, ct):
    archive = Archive.open(ArchiveSettings(data=data, access_log_bytes=0))
    await archive.store(ct(), source="test")
    (stored,) = archive.objects("1.2.3")
    assert sum([len(piece) async for run in archive.dataset_runs(stored) for piece in run])
    archive.close()
    assert not (data / "access").exists()
    archive = Archive.open(ArchiveSettings(data=data))
    (stored,) = archive.objects("1.2.3")
    size = sum([len(piece) async for run in archive.dataset_runs(stored) for piece in run])
    archive.close()
    assert [(each["kind"], each["bytes"]) for each in lines(data)] == [("dataset", size)]


def test_the_oldest_days_leave_and_what_was_read_last_stays(tmp_path, clock):
    log = AccessLog(tmp_path, NAMES, clock, 2500)
    for day in range(10):
        for study in range(10):
            log.note(f"1.2.{study}.{day // 5}", "1.2.3", "frame", 0, 1000)
        log.flush()
        clock.now_ns += DAY_NS
    log.close()
    names = sorted(path.name for path in (tmp_path / "access").glob("*.jsonl"))
    assert names == ["2026-01-09.jsonl", "2026-01-10.jsonl", "last.jsonl"]
    last = Accesses(tmp_path).last()
    assert last == {
        f"1.2.{study}.{half}": NOON + (4 + 5 * half) * DAY_NS
        for study in range(10)
        for half in (0, 1)
    }


def test_what_is_written_later_is_seen_and_what_was_torn_is_passed_over(tmp_path, clock):
    first, second = (AccessLog(tmp_path, NAMES, clock, 1 << 20) for _ in range(2))
    seen = Accesses(tmp_path)
    assert seen.last() == {}
    first.note("1.2.1", "1.2.3", "frame", 0, 10)
    first.note("1.2.1", "1.2.3", "frame", 0, 10)
    first.flush()
    assert seen.last() == {"1.2.1": NOON}
    path = tmp_path / "access/2026-01-01.jsonl"
    with path.open("a") as file:
        file.write('{"time":"2026-01-01T12')
    assert seen.last() == {"1.2.1": NOON}
    second.note("1.2.2", "1.2.3", "bulk", 1, 10)
    second.close()
    clock.now_ns += 3 * 10**9
    first.note("1.2.1", "1.2.3", "frame", 1, 10)
    first.close()
    assert seen.last() == {"1.2.1": NOON + 3 * 10**9}, "the line that follows a torn one is lost"
    assert {name: (each.reads, each.bytes) for name, each in seen.by_tier(NOON).items()} == {
        "hot": (2, 20),
        "cold": (1, 10),
    }
    assert [each.tier for each in seen.since(NOON + 10**9)] == ["cold"]


def test_a_folder_that_cannot_be_written_costs_the_log_alone(tmp_path, clock, caplog):
    (tmp_path / "access").write_text("in the way")
    log = AccessLog(tmp_path, NAMES, clock, 1 << 20)
    log.note("1.2.1", "1.2.3", "frame", 0, 10)
    log.close()
    assert "1 lines of the access log are lost" in caplog.text


def test_a_log_that_cannot_be_read_is_unavailable(tmp_path):
    (tmp_path / "access/2026-01-01.jsonl").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"the access log in .* cannot be read"):
        Accesses(tmp_path).last()
    with pytest.raises(Unavailable, match=r"the access log in .* cannot be read"):
        list(Accesses(tmp_path).since())
