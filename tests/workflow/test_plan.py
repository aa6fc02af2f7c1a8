"""The plan as a function of facts: what policies and watermarks ask for."""

from dataclasses import replace

import pytest

from vna.archive import SeriesFacts, TierFacts, leaving
from vna.workflow import PolicySettings, plan

DAY_NS = 86_400 * 10**9
NOW = 20_000 * DAY_NS
TIERS = [TierFacts("hot"), TierFacts("warm"), TierFacts("cold")]
GB = 10**9


def series(number, days=100, **facts):
    """Return a series that came, and was last read, so many days ago."""
    since = NOW - days * DAY_NS
    tier = facts.get("tier", "hot")
    known = {
        "modality": "CT",
        "department": "RADIOLOGY",
        "station": "CT 1",
        "bytes": GB,
        "study_date": 0,
        "received": since,
        "accessed": since,
        "tier": tier,
        "tiers": frozenset([tier]),
    }
    return SeriesFacts(f"1.{number}", f"1.{number}.1", instances=1, **(known | facts))


def moves(facts, *policies, tiers=TIERS):
    found = plan(facts, tiers, policies, NOW)
    return [(each.study_uid, each.source, each.to, each.policy) for each in found]


@pytest.mark.parametrize(
    "rule",
    [
        {"days": 99},
        {"days": 30, "since": "accessed"},
        {"days": 10, "since": "study_date"},
        {"days": 0, "min_bytes": GB, "max_bytes": GB},
        {"days": 0, "modalities": ("MR", "CT")},
        {"days": 0, "departments": ("radiology",)},
        {"days": 0, "stations": ("ct 1", "CT 2")},
    ],
)
def test_what_a_series_is_decides_whether_a_policy_takes_it(rule):
    policy = PolicySettings("rule", "warm", **rule)
    old = series(1, study_date=NOW - 20 * DAY_NS)
    assert moves([old], policy) == [("1.1", "hot", "warm", "rule")]
    others = {
        "received": NOW - 98 * DAY_NS,
        "accessed": NOW - DAY_NS,
        "study_date": NOW,
        "bytes": GB + (1 if "max_bytes" in rule else 0),
        "modality": "US",
        "department": "CARDIOLOGY",
        "station": "",
    }
    left = [
        name for name, value in others.items() if not moves([replace(old, **{name: value})], policy)
    ]
    about = {"min_bytes": "bytes", "modalities": "modality", "departments": "department"}
    (asked,) = [
        about.get(name, name)
        for name in rule
        if name not in ("days", "since", "max_bytes", "stations")
    ] or ["station" if "stations" in rule else rule.get("since", "received")]
    assert left == [asked]


def test_a_smaller_series_stays_where_only_large_ones_go():
    policy = PolicySettings("large", "cold", 0, min_bytes=GB)
    assert moves([series(1, bytes=GB - 1), series(2)], policy) == [("1.2", "hot", "cold", "large")]


def test_a_tier_that_is_too_full_lets_go_of_what_was_not_read_for_longest():
    full = [
        TierFacts("hot", 1, 90.0, 80.0, total_bytes=100 * GB, used_bytes=91 * GB),
        TierFacts("warm", 1, 90.0, 80.0, total_bytes=100 * GB, used_bytes=89 * GB),
        TierFacts("cold"),
    ]
    held = [series(number, days=number, bytes=3 * GB) for number in range(1, 21)]
    held += [series(99, days=500, bytes=GB, tier="warm")]
    name = "watermark of hot"
    assert moves(held, tiers=full) == [
        (f"1.{number}", "hot", "warm", name) for number in (20, 19, 18, 17)
    ], "4 * 3 GB bring 91 to 79; warm is not over its own"
    old = PolicySettings("old", "cold", 18.5)
    assert moves(held, old, tiers=full) == [
        ("1.19", "hot", "cold", "old"),
        ("1.20", "hot", "cold", "old"),
        ("1.99", "warm", "cold", "old"),
        ("1.18", "hot", "warm", name),
        ("1.17", "hot", "warm", name),
    ], "what leaves by policy is room as well"
    everything = PolicySettings("all", "cold", 0)
    assert {policy for *_, policy in moves(held, everything, tiers=full)} == {"all"}
    just = [replace(full[0], used_bytes=90 * GB), *full[1:]]
    assert moves(held, tiers=just) == []


def test_tiers_let_go_when_enough_below_keep_what_they_have():
    assert leaving([0], 1, {}) == {0}
    assert leaving([0, 1], 2, {}) == {0, 1}
    assert leaving([0], 1, {0: 2}) == set()
    assert leaving([0, 1], 2, {0: 2}) == {1}, "tier 1 does not keep it: there is one below"
    assert leaving([0, 1], 2, {0: 2, 1: 2}) == {0}
    assert leaving([0, 2], 1, {0: 2}) == {0}
    assert leaving([1], 0, {}) == set()


def test_what_has_enough_copies_below_is_not_planned_again():
    twice = [replace(TIERS[0], copies=2), replace(TIERS[1], copies=2), TIERS[2]]
    old = PolicySettings("old", "warm", 30)
    assert moves([series(1)], old, tiers=twice) == [("1.1", "hot", "warm", "old")]
    there = series(1, tiers=frozenset(["hot", "warm"]))
    assert moves([there], old, tiers=twice) == []
    assert moves([there], old) == [("1.1", "hot", "warm", "old")], "it came up, and lets go again"
    assert moves([there], PolicySettings("older", "cold", 60), old, tiers=twice) == [
        ("1.1", "hot", "cold", "older")
    ]


def test_a_watermark_moves_nothing_that_would_have_to_stay_all_the_same():
    full = TierFacts("hot", 2, 90.0, 80.0, total_bytes=100 * GB, used_bytes=99 * GB)
    tiers = [full, *TIERS[1:]]
    assert moves([series(1)], tiers=tiers) == []
    kept_in_cold = series(2, tiers=frozenset(["hot", "cold"]))
    assert moves([series(1), kept_in_cold], tiers=tiers) == [
        ("1.2", "hot", "warm", "watermark of hot")
    ]
