"""`vna import`: files from disk into the archive."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from vna.app import ImportReport, Noted, import_files
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
    app.command("import")(import_command)


def import_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, folders, DICOMDIRs.")
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take DICOM files into the archive; works beside a running daemon.

    A folder stands for all files below it, a DICOMDIR for the files that it lists. Each file that
    was not taken is named with the reason. Exits with 0 when every DICOM object was taken (files
    that are no DICOM objects are named, and do not count), 1 when some were not, 3 when the
    archive could take no more.
    """
    with (
        open_archive(configure(config, {"--data": data}), "import", make=True) as archive,
        progress("importing") as update,
    ):
        archive.recover()
        report = asyncio.run(import_files(archive, paths, update))
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    if report.stopped:
        raise typer.Exit(Exit.UNAVAILABLE)
    raise typer.Exit(Exit.OK if report.complete else Exit.FOUND)


def _document(report: ImportReport) -> dict[str, object]:
    return {
        "taken": report.taken,
        "outcomes": {outcome.name.lower(): count for outcome, count in report.outcomes.items()},
        "complete": report.complete,
        "stopped": report.stopped,
        "warned": [_line(noted) for noted in report.warned],
        "not_taken": [_line(noted) for noted in report.left],
    }


def _line(noted: Noted) -> dict[str, str]:
    return {"path": str(noted.path), "why": noted.why, "reason": noted.reason}


def _print(report: ImportReport) -> None:
    for noted in [*report.left, *report.warned]:
        typer.echo(f"{noted.why:8} {noted.path}: {noted.reason}")
    if report.stopped:
        typer.echo(f"stopped  {report.stopped}")
    details = ", ".join(
        f"{count} {outcome.name.lower()}" for outcome, count in report.outcomes.items()
    )
    typer.echo(
        f"{report.taken} files taken{f' ({details})' if details else ''}, {len(report.left)} not taken"
    )
