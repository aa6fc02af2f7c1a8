"""Policies of an archive: what they plan, and that the plan is followed."""

import random
import threading

import psutil
import pytest
from hospital import DAY_NS, follow_once, image

from vna.archive import Archive, ArchiveSettings, Pace, Stopped, TierSettings
from vna.errors import Corrupt, Full, Invalid, Unavailable
from vna.storage import BlobStore, tier_of
from vna.testing.clocks import SetClock
from vna.testing.images import ct_image
from vna.workflow import (
    PolicySettings,
    TieringSettings,
    follow_plan,
    follow_policies,
    planned_moves,
)

BEGIN = 1_767_225_600 * 10**9
"""2026-01-01."""


@pytest.fixture
def clock():
    return SetClock(BEGIN)


@pytest.fixture
def archive(folder, clock):
    tiers = (
        TierSettings("hot", path=folder / "hot"),
        TierSettings("warm", path=folder / "warm"),
        TierSettings("cold", path=folder / "cold", codec="zstd"),
    )
    settings = ArchiveSettings(
        data=folder / "data", index_map_bytes=4 << 20, min_free_bytes=0, tiers=tiers
    )
    opened = Archive.open(settings, clock=clock)
    yield opened
    opened.close()


def planned(archive, *policies):
    return [
        (each.study_uid, each.source, each.to, each.policy)
        for each in planned_moves(archive, policies)
    ]


async def test_a_plan_goes_by_age_and_modality_and_the_coldest_tier_holds(archive, clock):
    await archive.store(image(1, "20251201"), source="test")
    await archive.store(image(2, "20251201", "MR"), source="test")
    await archive.store(image(3, "", "CT"), source="test")
    by_date = PolicySettings("dated", "warm", 30, "study_date")
    assert planned(archive, by_date) == [
        ("1.2.1", "hot", "warm", "dated"),
        ("1.2.2", "hot", "warm", "dated"),
    ]
    old_ct = PolicySettings("old CT", "cold", 30, modalities=("CT",))
    assert planned(archive, old_ct) == []
    clock.now_ns += 31 * DAY_NS
    assert planned(archive, old_ct, by_date) == [
        ("1.2.1", "hot", "cold", "old CT"),
        ("1.2.2", "hot", "warm", "dated"),
        ("1.2.3", "hot", "cold", "old CT"),
    ]
    archive.move("cold", "1.2.1")
    assert planned(archive, by_date) == [
        ("1.2.2", "hot", "warm", "dated"),
        ("1.2.3", "hot", "warm", "dated"),
    ], "nothing moves up"


async def test_policies_are_followed_until_they_are_told_to_stop(archive, clock):
    policies = [PolicySettings("month", "warm", 30), PolicySettings("season", "cold", 90)]
    for number in (1, 2):
        await archive.store(image(number, "20260101"), source="test")
        clock.now_ns += 61 * DAY_NS
    stop = threading.Event()
    settings = TieringSettings(rate_bytes_s=1 << 40)
    working = threading.Thread(target=follow_policies, args=(archive, policies, settings, stop))
    working.start()
    while planned(archive, *policies):
        assert working.is_alive()
        stop.wait(0.01)
    stop.set()
    working.join()
    assert [each.tier for each in archive.series_facts()] == ["cold", "warm"]


@pytest.fixture
async def policies(archive, clock):
    """Of two tiers, on each of which a series is due."""
    for number, modality in enumerate(["CT", "MR"]):
        await archive.store(image(number, "20260101", modality), source="test")
    clock.now_ns += 40 * DAY_NS
    return [
        PolicySettings("CT", "cold", 30, modalities=("CT",)),
        PolicySettings("MR", "warm", 30, modalities=("MR",)),
    ]


async def test_a_tier_that_is_away_holds_up_no_other(folder, archive, policies):
    in_the_way = folder / "cold"
    in_the_way.touch()
    with pytest.raises(Unavailable, match="cold"):
        follow_once(archive, policies)
    assert [each.tier for each in archive.series_facts()] == ["hot", "warm"]
    in_the_way.unlink()
    follow_once(archive, policies)
    assert [each.tier for each in archive.series_facts()] == ["cold", "warm"]


async def test_a_tier_that_is_away_makes_no_other_wait(folder, archive, clock, monkeypatch, caplog):
    monkeypatch.setattr("vna.workflow.following.FIRST_PAUSE_S", 1000.0)
    policies = [
        PolicySettings("CT", "cold", 30, modalities=("CT",)),
        PolicySettings("MR", "warm", 30, modalities=("MR",)),
    ]
    (folder / "cold").touch()
    stop = threading.Event()
    settings = TieringSettings(rate_bytes_s=1 << 40, every_s=0.01)
    working = threading.Thread(target=follow_policies, args=(archive, policies, settings, stop))
    await archive.store(image(0, "20260101", "CT"), source="test")
    working.start()
    try:
        for number in (1, 2, 3):
            await archive.store(image(number, "20260101", "MR"), source="test")
            clock.now_ns += 40 * DAY_NS
            tries = iter(range(500))
            while [each.tier for each in archive.series_facts()][1:] != ["warm"] * number:
                next(tries)
                stop.wait(0.01)
    finally:
        stop.set()
        working.join()
    assert next(each.tier for each in archive.series_facts()) == "hot"
    assert caplog.text.count("cold waits") == 1, "the one that is away is not asked all the time"


@pytest.mark.parametrize("error", [Full("no space"), Corrupt("comes back other than it was put")])
async def test_a_tier_that_takes_nothing_holds_up_no_other(archive, policies, monkeypatch, error):
    keep = BlobStore.keep

    def refused(store, whole, pack):
        if tier_of(pack) == 2:
            raise error
        return keep(store, whole, pack)

    monkeypatch.setattr(BlobStore, "keep", refused)
    with pytest.raises(type(error)):
        follow_once(archive, policies)
    assert [each.tier for each in archive.series_facts()] == ["hot", "warm"]


async def test_what_comes_late_to_a_series_follows_it(archive, clock):
    season = PolicySettings("season", "cold", 90)
    for number in (1, 2):
        await archive.store(
            ct_image(f"1.2.3.{number}", PixelData=number.to_bytes(2, "little") * 256), source="test"
        )
        clock.now_ns += 91 * DAY_NS
        assert planned(archive, season) == [("1.2.3", "hot", "cold", "season")]
        follow_once(archive, [season])
        assert planned(archive, season) == []
        assert [each.objects for each in archive.tier_states().values()] == [0, 0, number]


async def test_a_large_series_that_was_left_amid_a_move_is_gone_on_with(
    archive, clock, monkeypatch
):
    """Its instances came in no order, so that neither the first nor the last one tells."""
    for module in ("movement", "facts"):
        monkeypatch.setattr(f"vna.archive.{module}.PACK_BYTES", 20_000)
    monkeypatch.setattr("vna.archive.facts.ONE_PACK", 10_000)
    for number in (2, 7, 8, 3, 4, 6, 5, 1):
        file = ct_image(
            f"1.2.3.{number}",
            InstanceNumber=number,
            Rows=1,
            Columns=3000,
            PixelData=random.Random(number).randbytes(6000),
        )
        await archive.store(file, source="test")
    clock.now_ns += 91 * DAY_NS
    season = PolicySettings("season", "cold", 90)
    stop = threading.Event()

    class Stopping(Pace):
        left = 13  # bulk values of a pack and one more, eight headers, and then one more bulk value

        def __call__(self, size):
            self.left -= size > 0
            if not self.left:
                stop.set()
            super().__call__(size)

    with pytest.raises(Stopped):
        follow_plan(archive, [season], Stopping(clock, stop))
    states = archive.tier_states()
    assert states["cold"].objects == 3
    assert planned(archive, season) == [("1.2.3", "hot", "cold", "season")]
    follow_once(archive, [season])
    assert [each.objects for each in archive.tier_states().values()] == [0, 0, 8]
    assert planned(archive, season) == []


async def test_a_tier_keeps_its_copy_until_enough_tiers_below_have_one(folder, clock):
    tiers = (
        TierSettings("hot", path=folder / "hot", copies=2),
        TierSettings("warm", path=folder / "warm", copies=2),
        TierSettings("cold", path=folder / "cold", codec="zstd"),
    )
    settings = ArchiveSettings(
        data=folder / "data", index_map_bytes=4 << 20, min_free_bytes=0, tiers=tiers
    )
    archive = Archive.open(settings, clock=clock)
    file = image(1, "20260101")
    await archive.store(file, source="test")
    warm, cold = PolicySettings("month", "warm", 30), PolicySettings("season", "cold", 90)
    held = []
    for _ in range(4):
        follow_once(archive, [warm, cold])
        archive.compact(1)
        archive.reclaim()
        (facts,) = archive.series_facts()
        held.append((facts.tier, sorted(facts.tiers)))
        (stored,) = archive.objects("1.2.1")
        assert b"".join(archive.file(stored, "TEST")[1]) == file
        clock.now_ns += 40 * DAY_NS
    both = ["hot", "warm"]
    assert held == [
        ("hot", ["hot"]),
        ("hot", both),
        ("hot", both),
        ("warm", ["cold", "warm"]),
    ]
    assert archive.check().damage == []
    archive.close()
    for pack in (folder / "warm").glob("*.pack"):
        pack.unlink()
    archive = Archive.open(settings, clock=clock)
    (stored,) = archive.objects("1.2.1")
    assert b"".join(archive.file(stored, "TEST")[1]) == file, "from the other copy"
    archive.close()


async def test_a_full_disk_is_emptied_into_the_tier_below(folder, clock):
    tiers = (
        TierSettings(
            "hot", path=folder / "hot", high_watermark_percent=1e-6, low_watermark_percent=1e-7
        ),
        TierSettings("cold", path=folder / "cold"),
    )
    settings = ArchiveSettings(
        data=folder / "data", index_map_bytes=4 << 20, min_free_bytes=0, tiers=tiers
    )
    archive = Archive.open(settings, clock=clock)
    for number in (1, 2):
        await archive.store(image(number, "20260101"), source="test")
        clock.now_ns += DAY_NS
    (stored,) = archive.objects("1.2.1")
    archive.frame(stored, 1)
    space = psutil.disk_usage(str(folder))
    hot, cold = archive.tier_facts()
    assert hot.total_bytes == space.used + space.free
    assert 0 < hot.used_bytes <= hot.total_bytes
    assert cold.total_bytes == 0, "nothing of it was seen yet"
    assert planned(archive) == [
        ("1.2.2", "hot", "cold", "watermark of hot"),
        ("1.2.1", "hot", "cold", "watermark of hot"),
    ], "the one that was read goes last"
    follow_once(archive, [])
    assert [each.objects for each in archive.tier_states().values()] == [0, 2]
    assert archive.tier_facts()[1].total_bytes == hot.total_bytes
    archive.close()


def test_a_policy_that_names_no_tier(archive):
    with pytest.raises(Invalid, match="policy old moves to icy; there are hot, warm, cold"):
        planned(archive, PolicySettings("old", "icy", 30))
