"""`vna tier simulate`: policies tried on what was read, or on a made-up year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    open_archive,
    print_json,
)
from vna.config import Config, parse, validate
from vna.errors import Invalid, Unavailable
from vna.workflow import (
    FIGURES,
    Outcome,
    Setup,
    SimulatedTier,
    Trace,
    log_trace,
    read_trace,
    replay,
    simulation_page,
    synthetic_year,
)

__all__ = ["simulate"]

GB = 1e9
DAY_NS = 86_400 * 10**9


def simulate(
    *,
    policy: Annotated[
        list[Path],
        typer.Option("--policy", metavar="FILE", help="File of settings to try; once or twice."),
    ],
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="Replay this file (docs/format/access.md)."),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic-year", help="Replay a year of a made-up hospital.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Another one makes up another year.")] = 1,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write a report with plots.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay what was read against policies, and say what would have come of them.

    What was read is in the archive's own access log, unless --trace or --synthetic-year names
    another source. FILE is a file of settings: its tables of tiers, policies and prefetch rules are
    tried, and those of the archive's own settings where it has none; a tier in it may say what it
    costs and takes, and needs no path. Two files are set side by side. The plan is made as the daemon
    makes it, once a day. Of the archive nothing is changed.
    """
    if trace is not None and synthetic:
        raise typer.BadParameter("name one of --trace and --synthetic-year")
    if len(policy) > 2:
        raise typer.BadParameter("name one or two files with --policy")
    own = configure(config, {"--data": data})
    setups = [_setup(path, own) for path in policy]
    if trace is not None:
        found, source = read_trace(trace), f"the trace {trace.name}"
    elif synthetic:
        found, source = synthetic_year(seed), f"a made-up year, seed {seed}"
    else:
        with open_archive(own, "tier simulate") as archive:
            found, source = log_trace(archive), "the access log"
    outcomes = [replay(found, setup) for setup in setups]
    about = _about(found, source)
    if html is not None:
        _write(html, simulation_page(about, outcomes))
    if as_json:
        print_json({"about": about, "outcomes": [_report(each) for each in outcomes]})
        return
    console = Console(highlight=False)
    console.print(about)
    console.print(_table(outcomes))


def _setup(path: Path, own: Config) -> Setup:
    """Return what a file of settings asks for. Raises ConfigError, and Invalid without tiers."""
    tried = parse(path)
    for tier in tables if isinstance(tables := tried.get("tier"), list) else ():
        if isinstance(tier, dict):
            tier.setdefault("bucket" if tier.get("kind") == "s3" else "path", "nowhere")
    config = validate({**own.document(), **tried}, str(path))
    if not config.archive.tiers:
        raise Invalid(f"neither {path} nor the archive's settings have [[tier]] tables")
    tiers = [
        SimulatedTier.of(tier, first=number == 0)
        for number, tier in enumerate(config.archive.tiers)
    ]
    return Setup(
        path.stem,
        tiers,
        config.policies,
        config.tiering,
        config.archive.cache_bytes,
        config.prefetches,
        config.prefetching,
    )


def _about(trace: Trace, source: str) -> str:
    days = (trace.end - trace.begin) / DAY_NS
    size = sum(arrival.bytes for arrival in trace.arrivals) / GB
    begin = datetime.fromtimestamp(trace.begin / 1e9, UTC)
    return (
        f"{source}: {days:,.0f} days from {begin:%Y-%m-%d}, {len(trace.arrivals):,} series of "
        f"{size:,.1f} GB, {len(trace.reads):,} reads"
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error


def _report(outcome: Outcome) -> dict[str, object]:
    """Return an outcome as plain data, but for its days."""
    report: dict[str, object] = msgspec.to_builtins(outcome)
    del report["days"]
    return report


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=None)
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome.name, justify="right")
    places = dict.fromkeys(name for outcome in outcomes for name in outcome.served)
    for place in places:
        shares = [
            f"{outcome.served[place].share:.1%}" if place in outcome.served else ""
            for outcome in outcomes
        ]
        table.add_row(f"served from {place}", *shares)
    for name, figure in FIGURES:
        table.add_row(name, *map(figure, outcomes))
    moves = dict.fromkeys(name for outcome in outcomes for name in outcome.moved)
    for move in moves:
        sizes = [f"{outcome.moved.get(move, 0) / GB:,.1f} GB" for outcome in outcomes]
        table.add_row(f"moved {move}", *sizes)
    for place in places:
        costs = [f"{outcome.cost_by_tier.get(place, 0.0):,.2f}" for outcome in outcomes]
        table.add_row(f"cost of {place}", *costs)
    if any(outcome.prefetch for outcome in outcomes):
        for name in ("studies", "in_time", "late"):
            counts = [
                f"{getattr(outcome.prefetch, name):,}" if outcome.prefetch else ""
                for outcome in outcomes
            ]
            table.add_row(f"prefetch: {name.replace('_', ' ')}", *counts)
    return table
