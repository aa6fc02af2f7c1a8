"""Metrics as text: the exposition format 0.0.4 of Prometheus, and the page of the manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from vna.observe.registry import Counter, Gauge, Histogram, Metric, Reading, Registry

__all__ = ["CONTENT_TYPE", "Readings", "exposition", "metrics_page"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WORKER = "worker"

Readings = Mapping[tuple[Reading, tuple[str, ...]], float]
"""What was looked up for the whole archive, by metric and label values."""


def exposition(registry: Registry, readings: Readings) -> str:
    """Return all metrics as text: counters summed over processes, gauges by worker.

    Left out are gauges of rows where all are 0: nobody uses them; and series of more than one
    label before they are first counted.
    """
    lines: list[str] = []
    rows = enumerate(registry.rows)
    alive = {str(row): cells for row, cells in rows if any(cells[at] for at in _gauges(registry))}
    for metric in registry.metrics:
        lines.append(f"# HELP {metric.name} {metric.about}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines.extend(_samples(registry, metric, alive, readings))
    return "\n".join(lines) + "\n"


def _samples(
    registry: Registry, metric: Metric, alive: Mapping[str, Sequence[float]], readings: Readings
) -> Iterator[str]:
    for series in metric.series:
        labels = dict(zip(metric.labels, series, strict=True))
        if isinstance(metric, Counter):
            total = _sum(registry, metric.place(series))
            if total or len(labels) < 2:
                yield _sample(metric.name, labels, total)
        elif isinstance(metric, Gauge):
            place = metric.place(series)
            for worker, cells in alive.items():
                yield _sample(metric.name, labels | {WORKER: worker}, cells[place])
        elif isinstance(metric, Histogram):
            yield from _buckets(registry, metric, labels, metric.place(series))
        elif isinstance(metric, Reading) and (metric, series) in readings:
            yield _sample(metric.name, labels, readings[metric, series])


def _buckets(
    registry: Registry, metric: Histogram, labels: dict[str, str], place: int
) -> Iterator[str]:
    counts = [_sum(registry, place + cell) for cell in range(metric.size)]
    total = counts.pop()
    if not any(counts) and labels:
        return
    bounds = [*(f"{bound:g}" for bound in metric.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(counts), strict=True):
        yield _sample(f"{metric.name}_bucket", labels | {"le": bound}, count)
    yield _sample(f"{metric.name}_sum", labels, total)
    yield _sample(f"{metric.name}_count", labels, sum(counts))


def _gauges(registry: Registry) -> Iterator[int]:
    for metric in registry.metrics:
        if isinstance(metric, Gauge):
            yield from range(metric.first, metric.first + metric.width)


def _sum(registry: Registry, cell: int) -> float:
    return sum(row[cell] for row in registry.rows)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    said = ",".join(f'{label}="{text}"' for label, text in labels.items())
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{said}}} {number}" if said else f"{name} {number}"


def metrics_page(registry: Registry) -> str:
    """Return docs/metrics.md."""
    return "\n".join(_page(registry)) + "\n"


def _page(registry: Registry) -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "`GET /metrics` on the HTTP port answers in the text format 0.0.4 of Prometheus, for all"
    yield "processes of the archive whichever of them is asked. Counters and histograms are sums and"
    yield "outlive a process that dies; they begin anew with the daemon. Gauges with the label"
    yield f"`{WORKER}` are of the worker of that number, as of the last second. Labels have no other"
    yield "values than the ones below: no UID, name or address of a peer or patient becomes one."
    yield ""
    yield "Each process counts in a row of its own of shared memory: 0.5 µs for one more, without a"
    yield "lock between processes, once per object, request or transaction at most."
    yield ""
    yield "This page is written by `make docs`; a test fails when it is out of date."
    yield ""
    yield "| metric | kind | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in registry.metrics:
        labels = [f"`{label}`: {', '.join(values)}" for label, values in metric.labels.items()]
        if isinstance(metric, Gauge):
            labels.append(f"`{WORKER}`")
        yield f"| `{metric.name}` | {metric.kind} | {'; '.join(labels)} | {metric.about} |"
