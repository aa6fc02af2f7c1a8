"""`vna backup`: one point in time of the archive, in another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vna.cli.exits import Exit
from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    open_archive,
    print_json,
    progress,
    when,
)

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backup")(backup)


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup.")],
    data: DataOption = None,
    config: ConfigOption = None,
    *,
    include_tiers: Annotated[
        bool, typer.Option("--include-tiers", help="Copy what is on lower tiers, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up the archive; works beside a running daemon.

    DIR then holds everything that was acknowledged before the command began. Given again, it
    copies only what is new. What was moved to lower tiers stays there: the backup names it, and a
    restored archive reads it from them. With --include-tiers it is in DIR too, as long as the
    option is given. Damage that is met in the archive is named; then it exits with 1.
    """
    with (
        open_archive(configure(config, {"--data": data}), "backup") as archive,
        progress("backing up packs") as update,
    ):
        archive.recover()
        report = archive.backup(folder, update, include_tiers=include_tiers)
    if as_json:
        print_json(report)
    else:
        for damage in report.damage:
            typer.echo(f"damaged  {damage}")
        typer.echo(
            f"{folder} is as of {when(report.stamp)}, change {report.change}: {report.packs} packs, "
            f"{report.linked} linked, {report.copied} copied ({report.bytes_copied} bytes), "
            f"{report.kept} there before"
        )
        if report.bytes_elsewhere:
            typer.echo(f"{report.bytes_elsewhere} bytes on lower tiers are not in it")
    raise typer.Exit(Exit.FOUND if report.damage else Exit.OK)
