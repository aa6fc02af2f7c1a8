"""`vna bench`: load on a DICOM server, and what it showed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from vna.bench import RUNS, SCENARIOS, STUDIES, Load, Result, Stock, Target, fill, measure, prepare
from vna.cli.exits import Exit
from vna.cli.options import JsonOption, print_json

__all__ = ["app"]

app = typer.Typer(
    help="Put load on any DICOM server, through its standard interfaces, and measure.",
    no_args_is_help=True,
)


@app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """Say what each scenario does and what it needs of a server."""
    if as_json:
        print_json(
            {
                name: {"does": _text(kind.__doc__), "needs": sorted(kind.needs)}
                for name, kind in SCENARIOS.items()
            }
        )
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 1, 0))
    for name, kind in SCENARIOS.items():
        table.add_row(name, _text(kind.__doc__))
    Console(highlight=False).print(table)


@app.command("run")
def run_scenario(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A name that `vna bench list` prints.")
    ],
    *,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="DICOM", help="dicom://AE@host:port of the server."),
    ] = None,
    web: Annotated[
        str | None,
        typer.Option("--web", metavar="URL", help="Root of its DICOMweb service, http only."),
    ] = None,
    sink: Annotated[
        str | None,
        typer.Option(
            "--sink",
            metavar="AE:PORT",
            help="Where C-MOVE sends: the server must know this AE title at this machine's address.",
        ),
    ] = None,
    lanes: Annotated[
        int | None,
        typer.Option("--lanes", metavar="N", min=1, help="Associations or connections at once."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", min=0.01, help="How long.")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option("--mix", metavar="M", help="What is sent: CT, MR, DX, US, WSI, TINY or MIX."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Send these files, under UIDs of the bench."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Instances in one STOW-RS request."),
    ] = None,
    think: Annotated[
        float | None,
        typer.Option("--think", metavar="S", min=0.001, help="A reader's mean pause."),
    ] = None,
    studies: Annotated[
        int | None,
        typer.Option(
            "--studies", metavar="N", min=1, max=STUDIES, help="Studies stored before the start."
        ),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(
            "--instances", metavar="N", min=1, max=STUDIES, help="Instances in each study."
        ),
    ] = None,
    nagle: Annotated[
        bool,
        typer.Option("--nagle", help="Write as a stock DCMTK sender does, Nagle's algorithm on."),
    ] = False,
    run: Annotated[
        int | None,
        typer.Option(
            "--run",
            metavar="N",
            min=0,
            max=RUNS - 1,
            help="Number in the UIDs; by default from the clock.",
        ),
    ] = None,
    filled: Annotated[
        bool,
        typer.Option("--filled", help="The studies of this --run are stored already."),
    ] = False,
    server_pid: Annotated[
        int | None,
        typer.Option(
            "--server-pid", metavar="PID", help="Measure this process tree (on this machine)."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario against a server and report rate, times, errors and processor time.

    What it stores is named by --run: studies of made-up patients that stay on the server.
    """
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"{scenario!r} is not one of {', '.join(SCENARIOS)}")
    kind = SCENARIOS[scenario]
    place = Target.parse(target, web, sink)
    if filled and run is None:
        raise typer.BadParameter("--filled needs the --run whose studies are stored")
    clock = int(time.time()) % RUNS
    number = clock if run is None else run
    chosen = {"lanes": lanes, "seconds": seconds, "mix": mix, "batch": batch, "think_s": think}
    given = {name: value for name, value in chosen.items() if value is not None}
    if instances is not None:
        given["instances"] = instances
    load = Load(**(kind.defaults | given | {"run": number, "nagle": nagle}))  # type: ignore[arg-type]
    sizes = {"studies": studies, "instances": instances, "modality": mix}
    wanted = {name: value for name, value in sizes.items() if value is not None}
    stock = Stock(**(kind.stock | wanted | {"run": number}))  # type: ignore[arg-type]
    _require(scenario, place)
    templates = prepare(load.mix, folder)
    if "stock" in kind.needs and not filled:
        fill(place, load, stock, templates)
    if "stock" in kind.needs:
        # What it stores itself is new whenever the same studies are read again.
        load = msgspec.structs.replace(load, run=clock if filled else (number + 1) % RUNS)
    result = measure(scenario, place, load, stock, templates, pid=server_pid)
    if as_json:
        print_json(result)
    else:
        show(result)
    if result.error_count or result.main is None:
        raise typer.Exit(Exit.FOUND)


def _require(scenario: str, target: Target) -> None:
    """Raise BadParameter when the target lacks what the scenario needs."""
    needs = SCENARIOS[scenario].needs
    options = {"dimse": ("--target", target.port), "web": ("--web", target.web_port)}
    options["sink"] = ("--sink", target.sink_port)
    for need, (option, port) in options.items():
        if need in needs and not port:
            raise typer.BadParameter(f"{scenario} needs {option}")
    if not (target.port or target.web_port):
        raise typer.BadParameter(f"{scenario} needs --target or --web")


def _text(doc: str | None) -> str:
    return " ".join((doc or "").split())


def show(result: Result) -> None:
    """Print a result for a person."""
    console = Console(highlight=False)
    table = Table(box=None)
    for title in ("operation", "count", "per s", "MB/s", "p50 ms", "p90 ms", "p99 ms", "max ms"):
        table.add_column(title, justify="left" if title == "operation" else "right")
    for name, found in result.operations.items():
        times = (found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms)
        table.add_row(
            name,
            f"{found.count:,}",
            f"{found.per_s:,.1f}",
            f"{found.octets_per_s / 1e6:,.1f}",
            *(f"{each:,.2f}" for each in times),
        )
    console.print(table)
    count = result.main.count if result.main else 0
    if count:
        console.print(
            f"client: {1000 * result.client_cpu_s / count:.3f} ms CPU per {result.counts}"
        )
    if result.server and count:
        console.print(
            f"server: {1000 * result.server.cpu_s / count:.3f} ms CPU per {result.counts}, "
            f"{result.server.rss_bytes / 1e6:,.0f} MB resident, "
            f"{result.server.context_switches / count:.1f} context switches"
        )
    for text, times_seen in result.errors.items():
        console.print(f"error, {times_seen} times: {text}")
