"""Metrics: shared by processes, read as Prometheus reads them, every one documented."""

import asyncio
import multiprocessing
import os
import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydicom.data import get_testdata_file

from vna import errors
from vna.dimse import DimseSettings, Scu
from vna.index import Outcome
from vna.observe import exposition, metrics, metrics_page
from vna.observe.registry import OTHER, Registry
from vna.testing.large import large_object, stored_object
from vna.types import Remote
from vna.web import WebSettings, make_app

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def samples(text):
    """Return what a reader of the format finds: values by name and labels."""
    return {
        (sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def registry():
    registry = Registry()
    registry.stores = registry.counter("stores_total", "Stores.", outcome=("good", OTHER))
    registry.seconds = registry.histogram("seconds", "Time.", (0.1, 1))
    registry.now = registry.gauge("now", "Now.")
    registry.free = registry.reading("free_bytes", "Free.")
    return registry


def test_kinds_of_metrics_as_text(registry):
    registry.stores.add("good")
    registry.stores.add("good", by=2)
    registry.stores.add("a value that the table does not have")
    for value in (0.1, 0.5, 7):
        registry.seconds.observe(value)
    registry.now.set(3)
    found = samples(exposition(registry, {(registry.free, ()): 1 << 60}))
    assert found == {
        ("stores_total", "outcome=good"): 3,
        ("stores_total", f"outcome={OTHER}"): 1,
        ("seconds_bucket", "le=0.1"): 1,
        ("seconds_bucket", "le=1"): 2,
        ("seconds_bucket", "le=+Inf"): 3,
        ("seconds_sum",): pytest.approx(7.6),
        ("seconds_count",): 3,
        ("now", "worker=0"): 3,
        ("free_bytes",): 1 << 60,
    }


def test_a_label_has_the_values_of_the_table_only(registry):
    closed = registry.counter("closed_total", "Closed.", kind=("a",))
    with pytest.raises(KeyError):
        closed.add("patient name")


def count_and_die(registry, descriptor, row):
    registry.share(descriptor, row)
    registry.stores.add("good", by=row)
    registry.now.set(row)
    os._exit(9)


def test_processes_add_up_and_what_they_counted_outlives_them(registry):
    descriptor = registry.create(4)
    registry.share(descriptor, 0)
    fork = multiprocessing.get_context("fork")
    for _ in range(2):
        for row in (1, 2):
            process = fork.Process(target=count_and_die, args=(registry, descriptor, row))
            process.start()
            process.join()
    found = samples(exposition(registry, {}))
    assert found["stores_total", "outcome=good"] == 6
    assert (found["now", "worker=1"], found["now", "worker=2"]) == (1, 2)
    registry.clear_gauges(2)
    assert ("now", "worker=2") not in samples(exposition(registry, {}))
    os.close(descriptor)


def test_the_page_is_the_table():
    assert PAGE.read_text() == metrics_page(metrics.REGISTRY), "run make docs"


def test_names_follow_the_conventions():
    for metric in metrics.REGISTRY.metrics:
        assert re.fullmatch(r"vna_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.about.endswith(".")


def test_routes_and_outcomes_are_in_the_table():
    settings = WebSettings()
    app = make_app(None, settings, lambda: True)
    routes = {each.canonical.removeprefix(settings.prefix) for each in app.router.resources()}
    rendering = {route for route in routes if re.search(r"/(rendered|thumbnail|pixeldata)$", route)}
    bulk = {route for route in routes if route.endswith("/bulkdata")}
    assert routes - rendering - bulk == set(metrics.ROUTES) - {OTHER}
    of_no_store = {"rejected", "deleted", "purged"}
    assert {outcome.value for outcome in Outcome} - of_no_store == set(metrics.TAKEN)
    kinds = {name.lower() for name in errors.__all__}
    assert set(metrics.REFUSED) - {"aborted", OTHER} <= kinds


def scrape(daemon):
    with urllib.request.urlopen(f"{daemon.http}/metrics") as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return samples(answer.read().decode())


def test_the_daemon_counts_for_all_its_workers(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data")
    remote = Remote(daemon.ae_title, "127.0.0.1", daemon.dimse_port)
    made = large_object("native", 50_000, 1)
    file = b"".join(made.file())

    async def c_store():
        async def runs():
            for piece in made.pieces():
                yield [piece]

        async with Scu(remote, DimseSettings(), [(made.sop_class, [made.transfer_syntax])]) as scu:
            return await scu.c_store(stored_object(made), runs())

    def post(body):
        request = urllib.request.Request(
            f"{daemon.dicomweb}/studies", body, {"Content-Type": "application/dicom"}
        )
        urllib.request.urlopen(request).close()

    asyncio.run(c_store())
    for path in [get_testdata_file("CT_small.dcm"), get_testdata_file("MR_small.dcm")] * 2:
        post(Path(path).read_bytes())
    post(file)
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{daemon.dicomweb}{made.path}", headers=accept)
    ) as answer:
        length = len(answer.read())
    found = scrape(daemon)
    assert found["vna_stores_total", "outcome=stored"] == 3
    assert found["vna_stores_total", "outcome=duplicate"] == 3
    assert found["vna_stores_total", "outcome=full"] == 0
    assert found["vna_received_bytes_total",] > 2 * len(file)
    assert found["vna_retrieved_total", "resource=dataset"] == 1
    assert 50_000 < found["vna_retrieved_bytes_total", "resource=dataset"] <= length
    assert found["vna_associations_total", "end=released"] == 1
    assert found["vna_dimse_operations_total", "operation=C-STORE", "status=success"] == 1
    posts = ("vna_http_requests_total", "method=POST", "route=/studies", "status=200")
    assert found[posts] == 5
    assert found["vna_http_request_seconds_count", "route=/studies"] == 5
    assert found["vna_commit_group_mutations_count",] == 3
    assert found["vna_pack_sync_seconds_count",] >= 3
    assert found["vna_entities", "entity=instances"] == 3
    assert found["vna_free_bytes",] > 0
    assert found["vna_damaged_blobs",] == 0
    for worker in ("1", "2"):
        assert found["vna_state", "state=ready", f"worker={worker}"] == 1
        assert found["vna_process_resident_bytes", f"worker={worker}"] > 1 << 20
    assert found["vna_process_starts_total", "kind=worker"] == 2
    documented = {metric.name for metric in metrics.REGISTRY.metrics}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name, *_ in found} <= documented
    assert daemon.stop() == 0, daemon.log.read_text()


def test_a_worker_that_dies_takes_its_gauges_and_leaves_its_counts(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=1)
    before = scrape(daemon)
    (worker,) = daemon.workers
    worker.kill()
    after = scrape(daemon)  # waits for the next worker
    requests = ("vna_http_requests_total", "method=GET", "route=/metrics", "status=200")
    assert requests not in before
    assert after[requests] == 1
    assert after["vna_process_starts_total", "kind=worker"] == 2
    assert daemon.stop() == 0, daemon.log.read_text()
