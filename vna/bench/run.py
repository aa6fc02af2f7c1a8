"""Runs a scenario: worker processes, a common start, one result."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from vna.bench.orders import Order, Report, receive, send
from vna.bench.probe import Probe, Usage
from vna.bench.scenarios import SCENARIOS
from vna.bench.stage import Load
from vna.bench.stock import Stock
from vna.bench.tally import Operations, summary
from vna.bench.target import Target
from vna.bench.templates import Template
from vna.errors import Unavailable

__all__ = ["Result", "fill", "measure"]


class Result(msgspec.Struct, frozen=True):
    """What a run of a scenario showed (docs/bench.md)."""

    scenario: str
    counts: str
    load: Load
    seconds: float
    operations: dict[str, Operations]
    errors: dict[str, int]
    client_cpu_s: float
    server: Usage | None = None

    @property
    def main(self) -> Operations | None:
        """The operation that the scenario is about; None when not one succeeded."""
        return self.operations.get(self.counts)

    @property
    def error_count(self) -> int:
        """How many operations failed."""
        return sum(self.errors.values())


@dataclass
class Crew:
    """The worker processes of one run."""

    processes: list[subprocess.Popen[bytes]]

    def order(self, orders: list[Order]) -> None:
        """Tell each its part, and wait until every lane is ready; Unavailable says why not."""
        for process, order in zip(self.processes, orders, strict=True):
            assert process.stdin
            with suppress(BrokenPipeError):  # its report says why
                send(process.stdin, order)
        for report in self.reports():
            if report.failure:
                raise Unavailable(f"{orders[0].scenario} cannot start: {report.failure}")

    def reports(self) -> list[Report]:
        """Return the next message of each."""
        found = []
        for process in self.processes:
            assert process.stdout
            report = receive(process.stdout, Report)
            if not isinstance(report, Report):
                raise Unavailable(f"a worker of the bench ended with code {process.wait()}")
            found.append(report)
        return found

    def begin(self) -> None:
        """Open the gate."""
        for process in self.processes:
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()
            process.communicate()


def measure(
    scenario: str,
    target: Target,
    load: Load,
    stock: Stock,
    templates: list[Template],
    *,
    pid: int | None = None,
    calls: bool = False,
) -> Result:
    """Run a scenario and return its result; Unavailable when the target cannot be reached.

    `pid` is the server's first process, when it runs on this machine; with `calls` its system
    calls are counted too, where perf may.
    """
    kind = SCENARIOS[scenario]
    count = 1 if kind.one_process else min(load.lanes, os.cpu_count() or 1)
    bounds = [load.lanes * n // count for n in range(count + 1)]
    probe = Probe(pid, calls=calls) if pid else None
    command = [sys.executable, "-P", "-m", "vna.bench.worker"]
    crew = Crew(
        [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(count)
        ]
    )
    try:
        crew.order(
            [
                Order(scenario, target, load, stock, templates, first, last)
                for first, last in itertools.pairwise(bounds)
            ]
        )
        if probe:
            probe.begin()
        start = time.perf_counter()
        crew.begin()
        reports = crew.reports()
        seconds = time.perf_counter() - start
        usage = probe.end() if probe else None
    finally:
        crew.end()
    for report in reports:
        if report.failure:
            raise Unavailable(f"{scenario} failed: {report.failure}")
    errors: Counter[str] = Counter()
    for report in reports:
        errors.update(report.errors)
    return Result(
        scenario,
        kind.counts,
        load,
        seconds,
        summary(record for report in reports for record in report.records),
        dict(errors.most_common(10)),
        sum(report.cpu_s for report in reports),
        usage,
    )


def fill(
    target: Target, load: Load, stock: Stock, templates: list[Template], *, pid: int | None = None
) -> Result:
    """Store a stock, with STOW-RS where there is no DIMSE; Unavailable unless all of it is stored."""
    result = measure("fill" if target.port else "fill-web", target, load, stock, templates, pid=pid)
    wanted, stored = stock.studies * stock.instances, result.main.count if result.main else 0
    if stored < wanted:
        said = next(iter(result.errors), "")
        raise Unavailable(f"{stored:,} of {wanted:,} instances could be stored: {said}")
    return result
