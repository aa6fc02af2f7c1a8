"""This archive beside its peers, in turns, in one run; writes results.json and report.html.

    make bench [BENCH_ROUNDS=2] [BENCH_SECONDS=2] [BENCH_SIZES=100,1000]
    .venv/bin/python bench/compare.py --only store --servers vna,floor

Every server is started on an empty folder, fed, measured and stopped, in each round in another
order. What counts are ratios within a run; the client shares the machine.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from dcmtk_sinks import retrieve
from goals import goals
from peers import PEERS, Server
from plan import STEPS, Step

from vna.bench import (
    SCENARIOS,
    Comparison,
    Load,
    Result,
    Sample,
    Stock,
    Template,
    fill,
    machine,
    measure,
    page,
    prepare,
)
from vna.errors import VnaError

REST_S = 20.0
"""Memory that a server has left is gone by then where the machine gives it back to a host: the next
one would have it cheaper than the one after that."""
SIZES_SERVERS = ("vna", "orthanc")
SIZES_STEPS = ("qido-patient", "qido-date", "qido-name")
Keep = Callable[..., None]


class Materials:
    """Templates by mix, made once."""

    def __init__(self) -> None:
        self._made: dict[str, list[Template]] = {}

    def __getitem__(self, mix: str) -> list[Template]:
        if mix not in self._made:
            self._made[mix] = prepare(mix)
        return self._made[mix]


class Turn:
    """One server's turn in a round: started, fed as its steps need, measured, stopped."""

    def __init__(self, server: Server, materials: Materials, seconds: float) -> None:
        self._server = server
        self._materials = materials
        self._seconds = seconds
        self._runs = itertools.count(1_000)
        self._fed: set[int] = set()

    def step(self, step: Step) -> Result:
        """Run one step."""
        if "stock" in SCENARIOS[step.scenario].needs:
            self.feed(step.stock)
        if step.dcmtk:
            return retrieve(self._server, step.scenario, step.stock)
        fields = {"seconds": self._seconds * step.times, "run": next(self._runs)}
        load = Load(**(fields | step.load))  # type: ignore[arg-type]
        templates = self._materials[load.mix]
        target, pid = self._server.target, self._server.pid
        return measure(step.scenario, target, load, step.stock, templates, pid=pid, calls=True)

    def feed(self, stock: Stock) -> Result | None:
        """Store a stock, once; return what that showed when it was through C-STORE."""
        if stock.run in self._fed:
            return None
        templates = self._materials[stock.modality]
        found = None
        if not self._server.feed(stock, templates):
            pid = self._server.pid
            load = Load(lanes=self._server.fill_lanes)
            found = fill(self._server.target, load, stock, templates, pid=pid)
        self._fed.add(stock.run)
        return found


@contextmanager
def scratch(options: argparse.Namespace) -> Iterator[Path]:
    """Make a folder for a server's data, and remove it with everything in it."""
    with tempfile.TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def one_turn(
    kind: type[Server], steps: list[Step], options: argparse.Namespace, keep: Keep
) -> None:
    """Run the steps on one server."""
    time.sleep(options.rest)
    with scratch(options) as folder, kind(folder) as server:
        turn = Turn(server, options.materials, options.seconds)
        for step in steps:
            try:
                keep(step.label, turn.step(step))
            except (VnaError, subprocess.TimeoutExpired) as error:
                print(f"    {step.label}: {error}", file=sys.stderr)


def by_size(kind: type[Server], sizes: list[int], options: argparse.Namespace, keep: Keep) -> None:
    """Let an archive grow, and ask it the same at each size."""
    with scratch(options) as folder, kind(folder) as server:
        turn = Turn(server, options.materials, options.seconds)
        before = 0
        for number, size in enumerate(sizes):
            # Each feeding has a run of its own; questions go to the last and largest.
            stock = Stock(100 + number, "TINY", size - before, 1)
            turn.feed(stock)
            before = size
            for scenario in SIZES_STEPS:
                load = {"lanes": 1, "mix": "TINY"}
                step = Step(f"{scenario} at {size}", scenario, load=load, stock=stock)
                keep(step.label, turn.step(step), studies=size)


def wanted(options: argparse.Namespace) -> tuple[list[type[Server]], list[Step]]:
    """Return the servers that are installed and asked for, and the steps that match."""
    names = set(options.servers.split(",")) if options.servers else {kind.name for kind in PEERS}
    kinds = [kind for kind in PEERS if kind.name in names and kind.installed()]
    missing = names - {kind.name for kind in kinds}
    if missing:
        print(f"not measured, not installed: {', '.join(sorted(missing))}", file=sys.stderr)
    words = options.only.split(";") if options.only else [""]
    return kinds, [
        step for step in STEPS if any(w in step.label or w == step.scenario for w in words)
    ]


def run(options: argparse.Namespace) -> Comparison:
    """Measure everything and return it."""
    kinds, steps = wanted(options)
    samples: list[Sample] = []
    began = time.time()
    for number in range(options.rounds):
        order = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
        for kind in order:
            mine = [step for step in steps if kind.name in step.servers]

            def keep(
                label: str,
                result: Result,
                *,
                studies: int = 0,
                name: str = kind.name,
                turn: int = number,
            ) -> None:
                samples.append(Sample(label, name, turn, result, studies))
                show(label, name, result)

            print(f"round {number + 1} of {options.rounds}: {kind.name}", file=sys.stderr)
            try:
                if mine:
                    one_turn(kind, mine, options, keep)
                if options.sizes and kind.name in SIZES_SERVERS:
                    by_size(kind, options.sizes, options, keep)
            except (VnaError, RuntimeError) as error:  # one server's; the others are measured
                print(f"    {kind.name}: {error}", file=sys.stderr)
    servers = {kind.name: f"{kind.what} {kind.version()}".strip() for kind in kinds}
    return Comparison(
        format=1,
        began=datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        seconds=time.time() - began,
        rounds=options.rounds,
        machine=machine(Path(options.folder)),
        servers=servers,
        samples=samples,
        goals=goals(samples),
    )


def show(label: str, name: str, result: Result) -> None:
    """Print a line per measurement."""
    main = result.main
    if main is None:
        print(f"    {label}: nothing succeeded: {dict(result.errors)}", file=sys.stderr)
        return
    server = result.server
    cpu = 1000 * server.cpu_s / main.count if server else 0.0
    errors = f", {result.error_count} errors" if result.errors else ""
    print(
        f"    {name:13} {label:50} {main.per_s:10.1f}/s p50 {main.p50_ms:8.2f} ms, CPU {cpu:8.3f} ms, "
        f"client {1000 * result.client_cpu_s / main.count:7.3f} ms{errors}",
        file=sys.stderr,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument(
        "--only", default="", help="words in labels or names of scenarios, between semicolons"
    )
    parser.add_argument("--servers", default="", help="names, comma-separated")
    parser.add_argument("--rest", type=float, default=REST_S, help="seconds before a server's turn")
    parser.add_argument("--sizes", default="", help="studies at which searches are measured")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    options.sizes = sorted(int(size) for size in options.sizes.split(",") if size)
    options.materials = Materials()
    options.out.mkdir(parents=True, exist_ok=True)
    options.folder = options.out / "servers"
    options.folder.mkdir(exist_ok=True)
    options.folder = options.folder.resolve()
    try:
        found = run(options)
    finally:
        shutil.rmtree(options.folder, ignore_errors=True)
    (options.out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    (options.out / "report.html").write_text(page(found), encoding="utf-8")
    summary(found)
    print(f"{options.out / 'results.json'}, {options.out / 'report.html'}")


def summary(found: Comparison) -> None:
    """Print medians and goals."""
    rates: dict[str, dict[str, str]] = defaultdict(dict)
    for (label, server), figures in found.figures().items():
        rates[label][server] = f"{server} {figures.per_s:,.1f}/s ({figures.cpu_ms:.2f} ms)"
    for label, by_server in rates.items():
        print(f"{label}: {', '.join(by_server.values())}")
    for goal in found.goals:
        met = {True: "met", False: "MISSED", None: "not measured"}[goal.met]
        print(f"{met:13} {goal.text}: {goal.value}")


if __name__ == "__main__":
    main()
