"""Several servers in one run: samples, their medians, and the machine they ran on (docs/bench.md)."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import psutil

from vna.bench.run import Result

__all__ = ["Comparison", "Figures", "Goal", "Machine", "Sample", "figures", "machine"]

CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


class Sample(msgspec.Struct, frozen=True):
    """One result: of step `label`, of a server, in a round; `studies` where the size matters."""

    label: str
    server: str
    round: int
    result: Result
    studies: int = 0


class Goal(msgspec.Struct, frozen=True):
    """What is to be reached, what was, and whether that is enough (None: not measured)."""

    text: str
    limit: str
    value: str
    met: bool | None


class Figures(msgspec.Struct, frozen=True):
    """Medians over the rounds of one step on one server, times in milliseconds.

    What is given per operation is over all operations that the step counts, errors left out.
    """

    per_s: float
    lowest_per_s: float
    highest_per_s: float
    octets_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    client_cpu_ms: float
    cpu_ms: float
    rss_mb: float
    switches: float
    calls: float | None
    idle_kb: float | None
    errors: int
    rounds: int


class Machine(msgspec.Struct, frozen=True):
    """Where it ran."""

    processor: str
    processors: int
    memory_gb: float
    kernel: str
    filesystem: str
    python: str
    load_average: float
    congestion_control: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """A whole run, as results.json holds it."""

    format: int
    began: str
    seconds: float
    rounds: int
    machine: Machine
    servers: dict[str, str]
    samples: list[Sample]
    goals: list[Goal]

    def figures(self) -> dict[tuple[str, str], Figures]:
        """Return the medians by step and server."""
        return figures(self.samples)


def figures(samples: Iterable[Sample]) -> dict[tuple[str, str], Figures]:
    """Return the medians over the rounds, by step and server, where anything succeeded."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for sample in samples:
        if sample.result.main:
            groups.setdefault((sample.label, sample.server), []).append(sample.result)
    return {key: _medians(results) for key, results in groups.items()}


def _medians(results: list[Result]) -> Figures:
    mains = [result.main for result in results if result.main]
    rates = [main.per_s for main in mains]
    pairs = [
        (result.server, result.main.count) for result in results if result.server and result.main
    ]

    def middle(values: Iterable[float]) -> float:
        found = list(values)
        return statistics.median(found) if found else 0.0

    def each(value: Callable[[Result], float | None]) -> float | None:
        found = [v for v in map(value, results) if v is not None]
        return statistics.median(found) if found else None

    return Figures(
        per_s=middle(rates),
        lowest_per_s=min(rates),
        highest_per_s=max(rates),
        octets_per_s=middle(main.octets_per_s for main in mains),
        p50_ms=middle(main.p50_ms for main in mains),
        p90_ms=middle(main.p90_ms for main in mains),
        p99_ms=middle(main.p99_ms for main in mains),
        client_cpu_ms=middle(
            1000 * result.client_cpu_s / main.count
            for result, main in zip(results, mains, strict=True)
        ),
        cpu_ms=middle(1000 * used.cpu_s / count for used, count in pairs),
        rss_mb=middle(used.rss_bytes / 1e6 for used, _ in pairs),
        switches=middle(used.context_switches / count for used, count in pairs),
        calls=each(_calls),
        idle_kb=each(_idle_kb),
        errors=sum(result.error_count for result in results),
        rounds=len(results),
    )


def _calls(result: Result) -> float | None:
    """Return the server's system calls per operation."""
    if not (result.server and result.main and result.server.system_calls is not None):
        return None
    return result.server.system_calls / result.main.count


def _idle_kb(result: Result) -> float | None:
    """Return what an idle association took of resident memory, where there were some."""
    held = result.load.idle_associations
    if not (held and result.server and result.scenario == "idle"):
        return None
    return (result.server.rss_ready_bytes - result.server.rss_before_bytes) / 1e3 / held


def machine(folder: Path) -> Machine:
    """Return facts about this machine; the file system is that of `folder`."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    parts = sorted(psutil.disk_partitions(all=True), key=lambda each: -len(each.mountpoint))
    where = next((p for p in parts if folder.resolve().is_relative_to(p.mountpoint)), None)
    return Machine(
        found[1] if found else platform.machine(),
        os.cpu_count() or 1,
        round(psutil.virtual_memory().total / 2**30, 1),
        platform.release(),
        where.fstype if where else "",
        platform.python_version(),
        round(os.getloadavg()[0], 2),
        CONGESTION.read_text(encoding="ascii").strip() if CONGESTION.exists() else "",
    )
