"""Options that several commands share, and opening the archive that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vna.archive import Archive
from vna.config import Config, load
from vna.errors import Unavailable
from vna.observe import start_logging

__all__ = [
    "ConfigOption",
    "DataOption",
    "JsonOption",
    "Update",
    "configure",
    "open_archive",
    "print_json",
    "progress",
    "require_archive",
    "when",
]

ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="File of settings (TOML).")
]
DataOption: TypeAlias = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder that holds the archive.")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON object.")
]


def configure(file: Path | None, options: Mapping[str, object]) -> Config:
    """Return the configuration of a command; options that were not given are None."""
    return load(file, {name: value for name, value in options.items() if value is not None})


@contextmanager
def open_archive(config: Config, command: str, *, make: bool = False) -> Iterator[Archive]:
    """Open the archive; one that is not there is made, or Unavailable raised.

    A command reports on its own, so that only warnings are logged.
    """
    start_logging(replace(config.log, level="warning"), command)
    if not make:
        require_archive(config)
    archive = Archive.open(config.archive)
    try:
        yield archive
    finally:
        archive.close()


def require_archive(config: Config) -> None:
    """Raise Unavailable when there is no archive yet."""
    data = config.archive.data
    try:
        there = (data / "archive.toml").exists()
    except OSError as error:
        raise Unavailable(f"cannot use the data folder {data}: {error.strerror}") from error
    if not there:
        raise Unavailable(f"there is no archive in {data}")


def print_json(report: object) -> None:
    """Print a report as one line of JSON on standard output.

    What of a file's name is no UTF-8 stands there as Python has it: a lone surrogate, escaped.
    """
    try:
        typer.echo(msgspec.json.encode(report))
    except UnicodeEncodeError:
        typer.echo(json.dumps(msgspec.to_builtins(report), separators=(",", ":")))


def when(stamp: int) -> str:
    """Return a stamp as date and time, UTC, to the second."""
    return f"{datetime.fromtimestamp(stamp // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Update:
    """Shows how far work has come; called with what is done and the total."""

    def __init__(self, bar: Progress, label: str) -> None:
        self._bar = bar
        self._task = bar.add_task(label, total=None)

    def __call__(self, done: int, total: int) -> None:
        """Move the bar to `done` of `total`."""
        self._bar.update(self._task, completed=done, total=total)


@contextmanager
def progress(label: str) -> Iterator[Update]:
    """Show a progress bar on standard error while the block runs, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield Update(bar, label)
