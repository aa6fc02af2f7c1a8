"""One process of the load generator: told what to do on standard input, reports on standard output.

`python -m vna.bench.worker`: reads an order, says READY when every lane stands at the gate, waits
for a line, runs, and writes its report.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from functools import partial

from vna.bench.connection import Failed
from vna.bench.orders import Order, Report, receive, send
from vna.bench.reactor import Lane
from vna.bench.scenarios import SCENARIOS
from vna.bench.stage import Scenario, Stage
from vna.errors import VnaError

__all__ = ["main", "run"]


def cpu_s() -> float:
    """Return the processor time of this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _open_many_files() -> None:
    """Let this process open as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _conduct(stage: Stage, began: list[float]) -> Lane:
    """Wait for all lanes, report ready, wait for the word, open the gate."""
    while stage.arrived < len(stage.lanes):
        yield 0.001
    send(sys.stdout.buffer, Report())
    sys.stdin.buffer.read(1)
    gc.collect()
    gc.freeze()
    gc.disable()
    began.append(cpu_s())
    stage.begin()


def run(order: Order) -> Report:
    """Run the lanes of an order from the gate to the end."""
    scenario: Scenario = SCENARIOS[order.scenario]()
    _open_many_files()
    lanes = range(order.first, order.last)
    stage = Stage(order.target, order.load, order.stock, order.templates, lanes)
    began: list[float] = []
    try:
        for lane in scenario.background(stage):
            stage.reactor.spawn(lane, background=True)
        for number in lanes:
            stage.reactor.spawn(stage.run_lane(partial(scenario.lane, stage, number)))
        stage.reactor.spawn(_conduct(stage, began))
        stage.reactor.run()
    except (OSError, Failed, VnaError) as error:
        return Report(failure=str(error) or type(error).__name__)
    errors: dict[str, int] = {}
    for tally in stage.tallies:
        for text, count in tally.errors.items():
            errors[text] = errors.get(text, 0) + count
    seconds = time.perf_counter() - stage.start
    records = [
        record
        for tally in stage.tallies
        for record in tally.records(stage.start, order.load.seconds)
    ]
    return Report("", records, errors, cpu_s() - began[0], seconds)


def main() -> None:
    """Run one order."""
    order = receive(sys.stdin.buffer, Order)
    if isinstance(order, Order):
        send(sys.stdout.buffer, run(order))


if __name__ == "__main__":
    main()
