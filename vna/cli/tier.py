"""`vna tier`: what is where, and moving it."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vna.archive import Moved, TierState
from vna.cli.exits import Exit
from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    open_archive,
    print_json,
    progress,
)
from vna.cli.simulate import simulate
from vna.workflow import planned_moves

__all__ = ["app"]

app = typer.Typer(help="See what is on which tier, and move it.", no_args_is_help=True)
app.command("simulate")(simulate)


@app.command("status")
def status(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say what is on each tier, from hot to cold; works beside a running daemon.

    An object counts where its bulk is served from. Stored bytes are those of the records that are
    needed there; packs hold copies besides, and what compaction is going to free. Reads are those of
    the last day that the access log has. With --json the tiers are members by name. Exits with 1
    when a tier is away.
    """
    with open_archive(configure(config, {"--data": data}), "tier status") as archive:
        states = archive.tier_states()
    if as_json:
        print_json(states)
    else:
        Console(highlight=False).print(_table(states))
        for name, state in states.items():
            if state.reason:
                typer.echo(f"{name} is away: {state.reason}")
    away = any(state.state != "ready" for state in states.values())
    raise typer.Exit(Exit.FOUND if away else Exit.OK)


@app.command("move")
def move(
    *,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="The tier to move to.")],
    study: Annotated[
        str | None, typer.Option("--study", metavar="UID", help="Study Instance UID.")
    ] = None,
    series: Annotated[
        str | None, typer.Option("--series", metavar="UID", help="Series Instance UID.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is in the archive.")] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait for another move or compaction that goes on, first."),
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the bulk of a study, a series, or all to a tier; works beside a running daemon.

    Every byte is read and checked, written to the tier, and read back from there, before the copies
    there are preferred; those that were served before are freed by compaction. Headers stay on the
    hot tier. Moving to the hot tier brings back, and leaves the copies below. Stopped or killed, it
    goes on where it was when it is run again. Exits with 1 when damaged objects had to stay, with
    3 when the tier is away or another process moves.
    """
    if sum([study is not None, series is not None, everything]) != 1:
        raise typer.BadParameter("name one of --study, --series, --all")
    with (
        open_archive(configure(config, {"--data": data}), "tier move") as archive,
        progress("moving") as update,
    ):
        if to not in archive.tier_names:
            raise typer.BadParameter(f"no tier {to}: there are {', '.join(archive.tier_names)}")
        stop = threading.Event() if wait else None
        moved = archive.move(to, study, series, stop=stop, progress=update)
    if as_json:
        print_json(moved)
    else:
        _print(moved, to)
    raise typer.Exit(Exit.FOUND if moved.damaged else Exit.OK)


@app.command("plan")
def plan(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what the policies would move now, and why; moves nothing, works beside a running daemon.

    Each series comes with the policy that asks for it, or the watermark of the tier that is too full.
    A running daemon moves them at the rate and in the hours of [tiering].
    """
    settings = configure(config, {"--data": data})
    with open_archive(settings, "tier plan") as archive:
        moves = list(planned_moves(archive, settings.policies))
    if as_json:
        print_json({"moves": moves})
        return
    for each in moves:
        typer.echo(
            f"{each.series_uid}  {each.modality:4}  {each.instances:>6}  {each.bytes:>14,}  "
            f"{each.source} to {each.to}, {each.policy}"
        )
    total = sum(each.bytes for each in moves)
    typer.echo(f"{len(moves)} series are to move, {total} bytes")


@app.command("reclaim")
def reclaim(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Remove packs of lower tiers in which nothing is needed any more; beside a running daemon.

    Those are packs of which all was purged, or moved to another tier. What was recalled to the hot
    tier keeps its copy below. Exits with 3 when a tier is away or another process moves.
    """
    with open_archive(configure(config, {"--data": data}), "tier reclaim") as archive:
        removed = archive.reclaim()
    if as_json:
        print_json({"packs": removed})
    else:
        typer.echo(f"{removed} packs removed")


def _table(states: dict[str, TierState]) -> Table:
    table = Table(box=None)
    for name in ("tier", "kind"):
        table.add_column(name)
    for name in ("objects", "raw bytes", "stored bytes", "packs", "bytes of packs"):
        table.add_column(name, justify="right")
    for name in ("reads a day", "bytes read/s"):
        table.add_column(name, justify="right")
    for name in ("oldest", "newest", "state"):
        table.add_column(name)
    for name, state in states.items():
        numbers = [state.objects, state.bytes_raw, state.bytes_stored]
        packs = [state.packs, state.bytes_packs]
        table.add_row(
            name,
            state.kind,
            *(f"{number:,}" for number in numbers),
            *(f"{number:,}" if number >= 0 else "?" for number in packs),
            f"{state.reads:,}",
            f"{state.bytes_read_s:,.0f}",
            state.oldest or "",
            state.newest or "",
            state.state,
        )
    return table


def _print(moved: Moved, to: str) -> None:
    for damage in moved.damaged:
        typer.echo(f"damaged  {damage}")
    typer.echo(
        f"{moved.instances} instances in {moved.series} series are on {to}: {moved.blobs} blobs "
        f"copied, {moved.bytes_raw} bytes, {moved.bytes_stored} stored, in {moved.packs} packs; "
        f"{moved.switched} had a copy there"
    )
