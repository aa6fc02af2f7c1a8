"""A year of a hospital on a scaled clock: what comes ages to a hard disk and a bucket, and is read."""

import random
from datetime import UTC, datetime
from heapq import merge

import pytest
from hospital import DAY_NS, follow_once

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.testing.clocks import SetClock
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier
from vna.workflow import Arrival, PolicySettings, planned_moves, synthetic_year

TIERS = ["hot", "warm", "cold"]
POLICIES = [
    PolicySettings("unread", "warm", 30, "accessed"),
    PolicySettings("large", "warm", 14, min_bytes=10_000),
    PolicySettings("screening", "cold", 21, "study_date", departments=("womens health",)),
    PolicySettings("season", "cold", 90, "accessed", modalities=("CT", "DX", "US", "XA")),
    PolicySettings("old", "cold", 180),
]


def due(series, read, now):
    """Return where a series is to be: the policies in other words. `read` is when its study was."""
    age, unread = (now - series.time) / DAY_NS, (now - max(series.time, read)) / DAY_NS
    unread_long = unread >= 90 and series.modality in ("CT", "DX", "US", "XA")
    screened = series.modality == "MG" and (now - series.study_date) / DAY_NS >= 21
    if age >= 180 or unread_long or screened:
        return "cold"
    return "warm" if unread >= 30 or (age >= 14 and series.modality == "CT") else "hot"


def file_of(series):
    """Return the one instance of a series; those of CT are large here."""
    columns = 6000 if series.modality == "CT" else 1500
    return ct_image(
        f"{series.series}.1",
        StudyInstanceUID=series.study,
        SeriesInstanceUID=series.series,
        PatientID=series.patient,
        StudyDate=f"{datetime.fromtimestamp(series.study_date // 10**9, UTC):%Y%m%d}",
        Modality=series.modality,
        StationName=series.station,
        InstitutionalDepartmentName=series.department,
        Rows=1,
        Columns=columns,
        PixelData=random.Random(series.series).randbytes(2 * columns),
    )


@pytest.fixture
def archive(folder, bucket):
    cold = bucket_tier(bucket, folder, codec="strong")
    warm = TierSettings("warm", path=folder / "hdd", codec="fast")
    settings = ArchiveSettings(
        data=folder / "data",
        index_map_bytes=16 << 20,
        min_free_bytes=0,
        cache_bytes=1 << 20,
        pack_size_bytes=1 << 18,
        tiers=(TierSettings("hot", path=folder / "ssd"), warm, cold),
    )
    opened = Archive.open(settings, clock=SetClock(0))
    yield opened
    opened.close()


async def test_after_a_year_everything_is_where_policies_say_and_reads_back_identical(archive):
    year = synthetic_year(3, studies_a_day=1, years_before=0)
    clock, now = archive.clock, year.begin
    files, places, read, served = {}, {}, {}, dict.fromkeys(TIERS, 0)

    def retrieve(series):
        (stored,) = archive.objects(series.study, series.series)
        assert b"".join(archive.file(stored, "TEST")[1]) == files[series.series], series

    def age():
        """Follow the policies, and keep the books."""
        follow_once(archive, POLICIES)
        for series in known.values():
            here, there = (
                places[series.series],
                due(series, read.get(series.study, 0), clock.now_ns),
            )
            places[series.series] = max(here, there, key=TIERS.index)
        assert {each.series_uid: each.tier for each in archive.series_facts()} == places

    known = {}
    for event in merge(year.arrivals, year.reads, key=lambda each: each.time):
        while event.time >= now + 14 * DAY_NS:
            now += 14 * DAY_NS
            clock.now_ns = now
            age()
            archive.compact(25)
        clock.now_ns = event.time
        if isinstance(event, Arrival):
            known[event.series], files[event.series] = event, file_of(event)
            await archive.store(files[event.series], source="test")
            places[event.series] = "hot"
        else:
            served[places[event.series]] += 1
            retrieve(known[event.series])
            read[event.study] = event.time
    clock.now_ns = year.end
    age()
    archive.compact(25)
    archive.reclaim()
    assert list(planned_moves(archive, POLICIES)) == []
    states = archive.tier_states()
    count = {name: list(places.values()).count(name) for name in TIERS}
    assert {name: state.objects for name, state in states.items()} == count
    assert min(count.values()) > 10
    assert min(served.values()) > 10, "reads met every tier"
    for series in known.values():
        retrieve(series)
    report = archive.check()
    assert (report.damage, report.instances) == ([], len(files))
    raw = sum(state.bytes_raw for state in states.values())
    assert raw == archive.stats().counts.bytes
    assert states["hot"].bytes_packs < raw / 2, "what went down was freed"
