"""Whether a worker's memory stays what it is: an hour of a reading room, sampled.

    .venv/bin/python bench/steady.py [--seconds 3600] [--think 15] [--lanes 16] [--json FILE]

Serves an archive with one worker, fills it, plays the scenario `reading-room`, and samples what
memory the worker has of its own (anonymous: not the pages of files it has mapped) and resident.
Reports the mean over each tenth of the run, and the growth per hour from the second tenth to the
last. An hour with 25 s of thinking stores 16 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from peers.vna import VnaOneWorker

from vna.bench import Load, Stock, fill, measure, prepare

SAMPLES = 1000
PARTS = 10
STOCK = Stock(1, "CT", 20, 100)


class Memory:
    """Samples the memory of the workers below a supervisor, in a thread of its own."""

    def __init__(self, supervisor: int, every_s: float) -> None:
        self.samples: list[tuple[int, int]] = []
        self._workers = psutil.Process(supervisor).children()
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            with suppress(psutil.NoSuchProcess):
                memory = [worker.memory_info() for worker in self._workers]
                own = sum(each.rss - each.shared for each in memory)
                self.samples.append((own, sum(each.rss for each in memory)))


def figures(samples: list[tuple[int, int]], seconds: float) -> dict[str, object]:
    """Return what the samples say."""
    bounds = [len(samples) * part // PARTS for part in range(PARTS + 1)]
    own, resident = (
        [
            statistics.fmean(each[which] for each in samples[first:end]) / 1e6
            for first, end in pairwise(bounds)
        ]
        for which in range(2)
    )
    hours = seconds * (PARTS - 2) / PARTS / 3600
    return {
        "own_mb": [round(value, 1) for value in own],
        "resident_mb": [round(value, 1) for value in resident],
        "own_growth_mb_per_hour": round((own[-1] - own[1]) / hours, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--think", type=float, default=15, help="mean pause in seconds")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = play(options.seconds, options.think, options.lanes)
    for name, value in found.items():
        print(f"{name:24}", value)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def play(seconds: float, think_s: float, lanes: int) -> dict[str, object]:
    """Play a reading room; return what it did, and what memory that took."""
    templates = prepare(STOCK.modality)
    with tempfile.TemporaryDirectory() as folder, VnaOneWorker(Path(folder)) as server:
        fill(server.target, Load(), STOCK, templates)
        memory = Memory(server.pid, seconds / SAMPLES)
        load = Load(lanes, seconds, run=2, think_s=think_s)
        try:
            result = measure("reading-room", server.target, load, STOCK, templates, pid=server.pid)
        finally:
            memory.end()
    return {
        **figures(memory.samples, seconds),
        "operations": {name: done.count for name, done in result.operations.items()},
        "errors": dict(result.errors),
    }


if __name__ == "__main__":
    main()
