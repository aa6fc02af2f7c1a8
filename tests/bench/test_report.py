"""A comparison is a document, and its report a page."""

import xml.etree.ElementTree as ET

import msgspec
import pytest

from vna.bench import Comparison, Goal, Load, Operations, Result, Sample, Usage, machine, page


def sample(server, lanes, number, per_s, *, scenario="store", studies=0):
    main = Operations(100, 10**8, per_s, 1e6 * per_s, 2.0, 1000 / per_s, 3.0, 9.0, 12.0)
    usage = Usage(0.2 * lanes, 10**8, 10**8 + 64_000, 2 * 10**8, 500, 900)
    load = Load(lanes=lanes, idle_associations=2 if scenario == "idle" else 0)
    result = Result(scenario, "C-STORE", load, 2.0, {"C-STORE": main}, {}, 0.05, usage)
    return Sample(f"{scenario} <{lanes}> {studies}", server, number, result, studies)


@pytest.fixture
def found(tmp_path):
    samples = [
        sample(server, lanes, number, base * lanes + number)
        for server, base in (("vna", 400), ("orthanc", 100))
        for lanes in (1, 4)
        for number in range(3)
    ]
    samples += [sample("vna", 1, 0, 900, scenario="qido-name", studies=n) for n in (10, 1000)]
    samples.append(sample("vna", 1, 0, 90, scenario="idle"))
    goals = [
        Goal("as fast as <it> gets", "at least 4 x", "4.02 x", True),
        Goal("small", "64 kB", "70 kB", False),
        Goal("far", "1.5 x", "not measured", None),
    ]
    return Comparison(
        1, "2026-01-01T00:00:00+00:00", 60, 3, machine(tmp_path), {"vna": "ours"}, samples, goals
    )


def test_medians_and_spread(found):
    figures = found.figures()["store <4> 0", "vna"]
    assert (figures.lowest_per_s, figures.per_s, figures.highest_per_s) == (1600, 1601, 1602)
    assert figures.rounds == 3
    assert figures.cpu_ms == pytest.approx(8.0)
    assert figures.client_cpu_ms == pytest.approx(0.5)
    assert (figures.switches, figures.calls) == (5, 9)
    assert figures.idle_kb is None
    assert found.figures()["idle <1> 0", "vna"].idle_kb == pytest.approx(32)


def test_results_come_back_from_json(found):
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


def test_the_report_is_one_page_with_plots_and_every_figure(found):
    text = page(found)
    assert text.count("<svg") > 8
    for part in text.split("<svg")[1:]:
        ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
    assert "http://" not in text
    assert "https://" not in text
    assert "1,601.0" in text
    assert "as fast as &lt;it&gt; gets" in text
    assert "store &lt;4&gt; 0" in text
    assert text.count("class=met>") == 2
    assert text.count("class=missed>") == 2


def test_what_never_succeeded_is_left_out(found):
    (first, *others) = found.samples
    dead = msgspec.structs.replace(first.result, operations={}, errors={"Failed: HTTP 500": 3})
    samples = [msgspec.structs.replace(first, label="dead", result=dead), *others]
    figures = msgspec.structs.replace(found, samples=samples).figures()
    assert "dead" not in {label for label, _ in figures}
