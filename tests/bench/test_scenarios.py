"""Every scenario runs for a moment against a real archive, and counts what really happened."""

import pytest

from vna.archive import Archive, ArchiveSettings
from vna.bench import SCENARIOS, Load, Stock, Target, measure, prepare

STUDIES, INSTANCES = 2, 5
LANES = {"reading-room": 8, "prefetch-storm": 8, "hostile": 4, "idle": 3}
WEB_STORES = {"stow", "fill-web"}


@pytest.fixture(scope="module")
def sink_port(free_port):
    return free_port()


@pytest.fixture(scope="module")
def daemon(start_daemon, tmp_path_factory, sink_port):
    """An archive that knows the bench's sink."""
    folder = tmp_path_factory.mktemp("bench")
    known = f'[[remote]]\nae_title = "VNASINK"\nhost = "127.0.0.1"\nport = {sink_port}\n'
    (folder / "vna.toml").write_text(known)
    running = start_daemon(folder / "data", "--config", str(folder / "vna.toml"))
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def target(daemon, sink_port):
    dicom = f"dicom://{daemon.ae_title}@127.0.0.1:{daemon.dimse_port}"
    return Target.parse(dicom, daemon.dicomweb, f"VNASINK:{sink_port}")


@pytest.fixture(scope="module")
def templates():
    return prepare("TINY")


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
    load = Load(
        lanes=LANES.get(name, 2),
        seconds=0.3,
        run=list(SCENARIOS).index(name),
        instances=INSTANCES,
        think_s=0.01,
        idle_associations=6,
        idle_connections=6,
    )
    if name.startswith("fill"):
        stock = Stock(load.run, "TINY", STUDIES, INSTANCES)
    before = stored(daemon)
    result = measure(name, target, load, stock, templates, pid=daemon.process.pid)
    assert result.errors == {}
    main, done = result.main, {op: found.count for op, found in result.operations.items()}
    assert main.per_s > 0
    assert 0 < main.p50_ms <= main.p99_ms <= main.max_ms
    assert result.client_cpu_s > 0
    assert result.server.cpu_s >= 0
    assert result.server.rss_bytes > 1 << 20
    sent = done.get("C-STORE", 0) + done.get("slow C-STORE", 0)
    assert stored(daemon) - before == (main.count if name in WEB_STORES else sent)
    if name == "idle":
        assert (done["idle association"], done["idle connection"]) == (6, 6)
    if name in {"get", "move"}:
        brought = main if name == "get" else result.operations["received"]
        assert brought.count == main.count
        assert brought.octets > main.count * len(templates[0].data) // 2
