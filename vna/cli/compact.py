"""`vna compact`: the space that nobody needs any more, freed now."""

from __future__ import annotations

from typing import Annotated

import typer

from vna.archive import Compacted, Victim
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

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compact")(compact)


def compact(
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: say which packs are due.")
    ] = False,
    dead: Annotated[
        int | None,
        typer.Option(
            "--dead",
            metavar="PERCENT",
            min=1,
            max=100,
            help="A pack is due when so much of it is not needed; as set by default.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Free what nobody needs any more, as fast as it goes; works beside a running daemon.

    Packs of which much is not needed, and many small ones, are written anew, checking every byte,
    and removed. Stopped or killed, it goes on where it was when it is run again. What is deleted is
    needed until it is purged: see `vna purge` and [retention]. Exits with 1 when a pack had to
    stay, because of damage or for now.
    """
    settings = configure(config, {"--data": data})
    percent = dead if dead is not None else settings.compaction.dead_percent
    with open_archive(settings, "compact") as archive:
        if dry_run:
            _print_due(archive.compactable(percent), as_json=as_json)
            return
        with progress("compacting") as update:
            done = archive.compact(percent, update)
    if as_json:
        print_json(done)
    else:
        _print_done(done)
    raise typer.Exit(Exit.FOUND if done.left or done.damaged else Exit.OK)


def _print_due(due: list[Victim], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "due": [
                    {"pack": each.name, "bytes": each.size, "dead": each.dead, "why": each.why}
                    for each in due
                ]
            }
        )
        return
    for each in due:
        typer.echo(f"{each.name}  {each.size:>14,}  {each.dead:>14,} dead  {each.why}")
    freed = sum(each.dead for each in due)
    typer.echo(f"{len(due)} packs are due, of {sum(each.size for each in due)} bytes {freed} dead")


def _print_done(done: Compacted) -> None:
    for damage in done.damaged:
        typer.echo(f"damaged  {damage}")
    left = f", {done.left} packs stay for now" if done.left else ""
    typer.echo(
        f"{done.packs} packs removed, {done.freed} bytes; {done.written} bytes written anew{left}"
    )
