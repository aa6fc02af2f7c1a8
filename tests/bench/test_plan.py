"""The plan and the goals of `make bench` speak of the same steps."""

import re
import sys
from types import SimpleNamespace

import pytest

from vna.bench import SCENARIOS, Load, Operations, Result, Sample, Usage


@pytest.fixture
def bench(root, monkeypatch):
    """Import from bench/ as its programs do."""
    monkeypatch.syspath_prepend(str(root / "bench"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"compare", "dcmtk_sinks", "goals", "peers", "plan", "steady"}:
            del sys.modules[name]


def sample(label, server, scenario):
    kind = SCENARIOS[scenario]
    main = Operations(10, 10, 100.0, 100.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    usage = Usage(0.1, 1, 1, 1, 1, 1)
    load = Load(idle_associations=1_000 if scenario == "idle" else 0)
    return Sample(
        label,
        server,
        0,
        Result(scenario, kind.counts, load, 1, {kind.counts: main}, {}, 0.1, usage),
    )


def test_every_goal_is_measured_by_the_plan(bench):
    from goals import goals
    from peers import PEERS
    from plan import STEPS

    names = {kind.name for kind in PEERS}
    assert all(set(step.servers) <= names for step in STEPS)
    assert len({step.label for step in STEPS}) == len(STEPS)
    samples = [sample(step.label, s, step.scenario) for step in STEPS for s in step.servers]
    found = goals(samples)
    assert len(found) > 30
    assert not [goal.text for goal in found if goal.met is None]
    assert {goal.text: goal.met for goal in goals([])} == {goal.text: None for goal in found}


def test_ratios_are_judged(bench):
    from goals import goals

    label = "WADO-RS frame, 8 connections"
    same = [sample(label, server, "frame") for server in ("vna", "vna-1", "nginx", "orthanc")]
    judged = {goal.text: (goal.value, goal.met) for goal in goals(same) if goal.met is not None}
    assert judged == {
        f"{label}: rate against Orthanc": ("1.00 x", False),
        f"{label}: one worker's rate against nginx's": ("1.00 x", True),
    }


def test_a_server_that_does_not_start_ends_nothing(bench, tmp_path, monkeypatch):
    import compare
    from peers import Server

    class Broken(Server):
        name = "orthanc"
        what = "ends at once"

        def command(self):
            return ["false"], {}

    monkeypatch.setattr(compare, "PEERS", (Broken,))
    options = SimpleNamespace(servers="", only="", rounds=2, sizes=[10], rest=0.0, seconds=0.1)
    options.folder, options.materials = tmp_path, None
    found = compare.run(options)
    assert found.samples == []
    assert {goal.met for goal in found.goals} == {None}


def test_the_readme_of_the_bench_names_every_server(bench, root):
    from peers import PEERS

    table = re.findall(r"^\| (`.*?`) \|", (root / "docs/bench.md").read_text(), re.MULTILINE)
    named = {name.strip("` ") for cell in table for name in cell.split(",")}
    assert {kind.name for kind in PEERS} <= named


def test_a_worker_keeps_its_memory_through_a_mixed_load(bench):
    """The hour of bench/steady.py, shortened: what is kept of each operation would show."""
    from steady import play

    found = play(seconds=20, think_s=0.5, lanes=8)
    assert found["errors"] == {}
    assert found["operations"]["C-STORE"] >= 100  # objects of 0.5 MB
    own_mb = found["own_mb"]
    assert max(own_mb[5:]) - own_mb[4] < 40
