"""`vna restore-backup`: a data folder from a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vna.archive import restore_backup as restore
from vna.cli.exits import Exit
from vna.cli.options import (
    ConfigOption,
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
    app.command("restore-backup")(restore_backup)


def restore_backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup.")],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="NEW", help="Folder to make; must be empty or missing."),
    ],
    config: ConfigOption = None,
    *,
    include_tiers: Annotated[
        bool,
        typer.Option(
            "--include-tiers", help="Restore what was on lower tiers, too: to folders in NEW/tiers."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a data folder from a backup, verifying it, and open it once.

    What is damaged in the backup is named and the rest restored; then it exits with 1. The
    restored archive takes the place of the one that was backed up: do not serve both. Lower tiers
    are where they were; with --include-tiers those that the backup has become directories of NEW,
    for when the store itself is lost: give each its [[tier]] kind and path as the command says.
    """
    settings = configure(config, {"--data": data})
    with progress("restoring packs") as update:
        report = restore(folder, settings.archive.data, update, include_tiers=include_tiers)
    with open_archive(settings, "restore-backup") as archive:
        archive.recover()
        counts = archive.stats().counts
    if as_json:
        print_json(report)
    else:
        for damage in report.damage:
            typer.echo(f"damaged  {damage}")
        typer.echo(
            f"{settings.archive.data} is as of {when(report.stamp)}, change {report.change}: "
            f"{report.packs} packs, {counts.studies} studies, {counts.instances} instances"
        )
        for name, path in report.tiers.items():
            typer.echo(f'tier {name} is a directory now: kind = "directory", path = "{path}"')
    raise typer.Exit(Exit.FOUND if report.damage else Exit.OK)
