"""Every scenario runs for a moment against a real archive, and counts what really happened."""

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.bench import SCENARIOS, Load, Stock, Target, measure, prepare

STUDIES, INSTANCES = 2, 5


@pytest.fixture(scope="module")
def templates():
    return prepare("TINY")


@pytest.fixture(scope="module")
def target(daemon):
    return Target.parse(f"dicom://{daemon.ae_title}@127.0.0.1:{daemon.dimse_port}", daemon.dicomweb)


@pytest.fixture(scope="module")
def stock(target, templates):
    """Studies that are there before a scenario starts."""
    found = Stock(90_000_000, "TINY", STUDIES, INSTANCES)
    filled = measure("fill", target, Load(lanes=2), found, templates)
    assert filled.main.count == STUDIES * INSTANCES
    return found


def stored(daemon):
    archive = Archive.open(ArchiveSettings(data=daemon.data))
    try:
        return archive.stats().counts.instances
    finally:
        archive.close()


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"frame-near", "frame-far"}))
def test_a_scenario_reports_what_the_archive_saw(name, target, templates, stock, daemon):
    kind = SCENARIOS[name]
    load = Load(lanes=2, seconds=0.2, run=list(SCENARIOS).index(name), instances=INSTANCES)
    if name.startswith("fill"):
        stock = Stock(load.run, "TINY", STUDIES, INSTANCES)
    before = stored(daemon)
    result = measure(name, target, load, stock, templates, pid=daemon.process.pid)
    assert result.errors == {}
    assert result.main.per_s > 0
    assert 0 < result.main.p50_ms <= result.main.p99_ms <= result.main.max_ms
    assert result.client_cpu_s > 0
    assert result.server.cpu_s >= 0
    assert result.server.rss_bytes > 1 << 20
    gained = stored(daemon) - before
    assert gained == (0 if "stock" in kind.needs else result.main.count)
