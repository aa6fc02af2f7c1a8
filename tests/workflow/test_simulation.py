"""The simulator: traces, what a setup makes of them, and that it plans as the archive does."""

import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hospital import follow_once, image

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.cli import main
from vna.errors import Invalid, Unavailable
from vna.testing.clocks import SetClock
from vna.workflow import (
    Arrival,
    PolicySettings,
    PrefetchRule,
    Read,
    Setup,
    SimulatedTier,
    TieringSettings,
    Trace,
    log_trace,
    read_trace,
    replay,
    simulation_page,
    synthetic_year,
)

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
BEGIN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS
GB = 10**9
HOT = TierSettings("hot")
COLD = TierSettings("cold", "s3", bucket="images", codec="zstd")


def tiers(*settings):
    return [SimulatedTier.of(each, first=number == 0) for number, each in enumerate(settings)]


def arrival(number, day, size=GB, **known):
    return Arrival(BEGIN + day * DAY_NS, f"1.{number}", f"1.{number}.1", size, 100, **known)


def read(number, day, size=GB, reads=100):
    return Read(BEGIN + int(day * DAY_NS), f"1.{number}", f"1.{number}.1", size, reads)


MONTH = PolicySettings("month", "cold", 30)


def test_reads_are_served_from_where_the_policy_has_put_what_they_read():
    reads = [read(1, 0.5), read(1, 40.5), read(1, 41.5), read(2, 41.5), read(2, 60.5)]
    trace = Trace(BEGIN, BEGIN + 61 * DAY_NS, [arrival(1, 0), arrival(2, 35)], reads)
    outcome = replay(trace, Setup("one", tiers(HOT, COLD), [MONTH], cache_bytes=GB))
    served = {name: (each.reads, each.bytes) for name, each in outcome.served.items()}
    assert served == {"hot": (3, 3 * GB), "cold": (1, GB), "cache": (1, GB)}
    assert outcome.moved == {"hot to cold": GB}
    assert outcome.first_p50_ms == pytest.approx(0.2 + 10), "10 MB at 1 GB/s"
    assert outcome.first_p95_ms == pytest.approx(60 + 10e6 / 80e6 * 1e3), "from the store"
    assert outcome.old_p50_ms == outcome.first_p95_ms, "of one from the store, one from the cache"
    assert outcome.whole_p95_ms == pytest.approx(60 + 1e9 / 80e6 * 1e3)
    hot, cold = (29 + 26) / 61, 32 / 61  # at the end of day 30 the first one moves
    assert len(outcome.days) == 61
    assert outcome.days[-1].stored == {"hot": GB, "cold": GB / 2, "cache": GB}
    assert outcome.cost_by_tier["hot"] == pytest.approx(0.1 * hot)
    assert outcome.cost_by_tier["cold"] == pytest.approx(0.012 * cold / 2)


def test_a_rate_and_hours_hold_movement_back():
    arrivals = [arrival(number, 0) for number in range(1, 11)]
    trace = Trace(BEGIN, BEGIN + 31 * DAY_NS, arrivals, [read(1, 30.5)])
    night = TieringSettings(GB // 3600, begin_hour=22, end_hour=1)
    outcome = replay(trace, Setup("slow", tiers(HOT, COLD), [MONTH], night))
    moved = [day.moved / GB for day in outcome.days[-3:]]
    assert moved == [0, 2, 2], "3 hours of a bit less than 1 GB, from the day 30 on"
    assert outcome.waiting == 6


def test_watermarks_and_copies_hold_in_the_simulator():
    full = TierSettings(
        "hot", capacity_bytes=10 * GB, high_watermark_percent=80, low_watermark_percent=50
    )
    arrivals = [arrival(number, number) for number in range(1, 10)]
    trace = Trace(BEGIN, BEGIN + 10 * DAY_NS, arrivals, [read(1, 8.5), read(2, 11.5)])
    outcome = replay(trace, Setup("full", tiers(full, COLD)))
    assert outcome.moved == {"hot to cold": 4 * GB}
    assert [day.stored["hot"] / GB for day in outcome.days[-4:]] == [8, 5, 5, 5]
    assert outcome.served["cold"].reads == 1, "the second study; the first had been read"
    twice = TierSettings("hot", copies=2)
    outcome = replay(trace, Setup("twice", tiers(twice, COLD), [PolicySettings("all", "cold", 0)]))
    assert outcome.days[-1].stored == {"hot": 9 * GB, "cold": 4.5 * GB, "cache": 0}


def test_an_arriving_study_makes_its_relevant_priors_hot_before_the_reader_has_thought():
    chest = {"patient": "P1", "modality": "CT", "body_part": "CHEST"}
    knee = {"patient": "P1", "modality": "MR", "body_part": "KNEE"}
    arrivals = [
        arrival(1, -400, **chest),
        arrival(2, -300, **knee),
        arrival(3, -200, **chest),
        arrival(4, -100, patient="P2", modality="CT", body_part="CHEST"),
        arrival(5, 1, **chest),
    ]
    think = 60 / 86_400
    reads = [read(5, 1 + think), read(3, 1 + 2 * think), read(1, 1 + 3 * think), read(4, 2)]
    trace = Trace(BEGIN, BEGIN + 2 * DAY_NS, arrivals, reads)
    plain = Setup("plain", tiers(HOT, COLD), [MONTH], cache_bytes=100 * GB)
    rules = [PrefetchRule("same part")]
    prefetched = Setup(
        "prefetched", plain.tiers, plain.policies, prefetches=rules, cache_bytes=100 * GB
    )
    before, after = replay(trace, plain), replay(trace, prefetched)
    assert {name: each.reads for name, each in before.served.items()} == {
        "hot": 1,
        "cold": 3,
        "cache": 0,
    }
    assert {name: each.reads for name, each in after.served.items()} == {
        "hot": 1,
        "cold": 1,
        "cache": 2,
    }, "both priors of the chest; not the knee, nor the other patient"
    assert (after.prefetch.studies, after.prefetch.in_time, after.prefetch.late) == (2, 2, 0)
    assert (after.old_p50_ms < 15, before.old_p50_ms > 60) == (True, True)
    hasty = Trace(trace.begin, trace.end, arrivals, [read(3, 1 + 1 / 86_400)])
    assert replay(hasty, prefetched).prefetch.late == 1


def test_a_year_of_a_hospital_is_the_same_for_a_seed_and_priors_are_there_in_time():
    year = synthetic_year(7, studies_a_day=4, years_before=1)
    assert year == synthetic_year(7, studies_a_day=4, years_before=1)
    assert year != synthetic_year(8, studies_a_day=4, years_before=1)
    arrived = {each.series: each.time for each in year.arrivals}
    assert all(arrived[each.series] < each.time for each in year.reads)
    old = {each.series for each in year.arrivals if each.time < year.begin}
    again = {each.series for each in year.reads if each.series in old}
    assert 0.03 < len(again) / len(old) < 0.25, "of historic data little is read again"
    policy = PolicySettings("fortnight", "cold", 14)
    setup = Setup("plain", tiers(HOT, COLD), [policy], cache_bytes=20 * GB)
    rules = [PrefetchRule("priors")]
    with_priors = Setup("priors", setup.tiers, [policy], cache_bytes=20 * GB, prefetches=rules)
    plain, prefetched = replay(year, setup), replay(year, with_priors)
    assert plain.served["hot"] == prefetched.served["hot"]
    assert prefetched.served["cold"].reads < plain.served["cold"].reads / 2
    assert prefetched.old_p95_ms < plain.old_p95_ms
    assert prefetched.prefetch.in_time > 100
    assert prefetched.prefetch.late <= prefetched.prefetch.in_time / 100


STORED = {
    "time": "2026-01-01T00:00:00Z",
    "kind": "stored",
    "study": "1.2",
    "series": "1.2.1",
    "bytes": 1000,
    "modality": "CT",
    "patient": "P1",
    "study_date": "20251231",
}
FRAMES = {
    "time": "2026-01-02T00:00:00Z",
    "kind": "frame",
    "study": "1.2",
    "series": "1.2.1",
    "bytes": 500,
    "reads": 5,
}
UNKNOWN = {"time": "2025-12-01T00:00:00Z", "study": "1.3", "series": "1.3.1", "bytes": 70}


def test_a_trace_is_read_from_json_lines_and_from_comma_separated_values(tmp_path):
    lines = [FRAMES, STORED, UNKNOWN]
    as_json = tmp_path / "trace.jsonl"
    as_json.write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    trace = read_trace(as_json)
    begin = BEGIN - 31 * DAY_NS
    assert trace == Trace(
        begin,
        BEGIN + DAY_NS,
        [
            Arrival(begin, "1.3", "1.3.1", 70),
            Arrival(
                BEGIN, "1.2", "1.2.1", 1000, modality="CT", patient="P1", study_date=BEGIN - DAY_NS
            ),
        ],
        [Read(begin, "1.3", "1.3.1", 70), Read(BEGIN + DAY_NS, "1.2", "1.2.1", 500, 5)],
    )
    names = sorted({name for line in lines for name in line})
    rows = [",".join(str(line.get(name, "")) for name in names) for line in lines]
    as_csv = tmp_path / "trace.csv"
    as_csv.write_text("\n".join([",".join(names), *rows]) + "\n")
    assert read_trace(as_csv) == trace


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no line"),
        ("{}\n", "line 1: Object missing required field `time`"),
        (json.dumps(FRAMES) + "\n{", "line 2: Input data was truncated"),
        (json.dumps(FRAMES | {"time": "noon"}), "line 1: Invalid isoformat string"),
        (json.dumps(STORED | {"study_date": "2026"}), "line 1: time data '2026' does not match"),
        (json.dumps(FRAMES | {"series": ""}), "line 1: it names no series"),
        (json.dumps(FRAMES | {"reads": 0}), "line 1: reads are at least 1"),
    ],
)
def test_a_trace_that_cannot_be_says_which_line(tmp_path, text, problem):
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(Invalid, match=problem):
        read_trace(path)
    with pytest.raises(Unavailable, match="cannot be read"):
        read_trace(tmp_path / "none")


async def test_the_archives_own_log_replayed_ends_as_the_archive_did(folder):
    clock = SetClock(BEGIN)
    settings = (
        HOT,
        TierSettings("warm", path=folder / "warm"),
        TierSettings("cold", path=folder / "cold"),
    )
    archive = Archive.open(
        ArchiveSettings(
            data=folder / "data", index_map_bytes=4 << 20, min_free_bytes=0, tiers=settings
        ),
        clock=clock,
    )
    policies = [
        PolicySettings("unread", "warm", 9.5, "accessed"),
        PolicySettings("old MR", "cold", 19.5, modalities=("MR",)),
    ]
    for number in range(12):
        await archive.store(
            image(number, "20260101", "MR" if number % 3 == 0 else "CT"), source="t"
        )
        (stored,) = archive.objects(f"1.2.{number // 2}")
        archive.frame(stored, 1)
        clock.now_ns += 2 * DAY_NS
        follow_once(archive, policies)
    trace = log_trace(archive)
    assert len(trace.reads) == 12
    states = archive.tier_states()
    archive.close()
    outcome = replay(trace, Setup("same", tiers(*settings), policies))
    last = {name: size for name, size in outcome.days[-1].stored.items() if name != "cache"}
    assert last == {name: state.bytes_raw for name, state in states.items()}
    assert min(last.values()) > 0


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def test_the_report_has_a_plot_of_each_kind_for_each_setup():
    trace = Trace(BEGIN, BEGIN + 70 * DAY_NS, [arrival(1, 0)], [read(1, 40.5)])
    outcomes = [
        replay(trace, Setup(name, tiers(HOT, COLD), [MONTH])) for name in ("one <b>", "two")
    ]
    text = simulation_page("about & more", outcomes)
    page = Page()
    page.feed(text)
    assert page.seen.count("svg") == 8
    assert page.seen.count("b") == 0
    assert "about &amp; more" in text


def test_the_command_sets_two_files_side_by_side(tmp_path, monkeypatch, capsys):
    quick, slow = tmp_path / "quick.toml", tmp_path / "slow.toml"
    cold = "[[tier]]\nname = 'hot'\n[[tier]]\nname = 'cold'\nkind = 's3'\nbucket = 'b12'\n"
    rule = "[[policy]]\nname = 'old'\nto = 'cold'\ndays = "
    quick.write_text(f"{cold}{rule}365\n")
    slow.write_text(f"{cold}cost_per_gb_month = 0.5\n{rule}0\n[archive]\ncache_bytes = 0\n")
    trace, html = tmp_path / "trace.jsonl", tmp_path / "report.html"
    trace.write_text(json.dumps(STORED) + "\n" + json.dumps(FRAMES))
    files = ["--policy", str(quick), "--policy", str(slow), "--trace", str(trace)]

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["vna", "tier", "simulate", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    code, out, _ = run(*files, "--html", str(html), "--json")
    assert code == 0
    first, second = json.loads(out)["outcomes"]
    assert [first["name"], second["name"]] == ["quick", "slow"]
    assert (first["served"]["hot"]["share"], second["served"]["cold"]["share"]) == (1, 1)
    assert second["cost_by_tier"]["cold"] > first["cost_per_month"] > 0
    assert html.read_text().count("<svg") == 8
    code, out, _ = run(*files)
    assert code == 0
    assert "served from cold" in out
    assert run("--policy", str(quick), "--synthetic-year", "--trace", str(trace))[0] == 2
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("")
    code, _, err = run("--policy", str(nothing), "--trace", str(trace))
    assert code == 3
    assert "have [[tier]] tables" in err
    policies = tmp_path / "policies.toml"
    policies.write_text(f"{rule}0\n")
    ours = ["--policy", str(policies), "--config", str(quick), "--data", str(tmp_path / "none")]
    code, out, _ = run(*ours, "--trace", str(trace), "--json")
    assert code == 0
    assert json.loads(out)["outcomes"][0]["served"].keys() >= {"hot", "cold"}
    code, _, err = run(*ours)
    assert code == 3
    assert "there is no archive" in err
    code, _, err = run(
        "--policy", str(quick), "--trace", str(trace), "--html", str(Path("/none/x"))
    )
    assert code == 3
    assert "cannot be written" in err
