"""`vna stats`: how much the archive holds."""

from __future__ import annotations

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

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stats")(stats)


def stats(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say how much the archive holds; works beside a running daemon."""
    with open_archive(configure(config, {"--data": data}), "stats") as archive:
        found = archive.stats()
    report: dict[str, int] = {
        **msgspec.structs.asdict(found.counts),
        "packs": found.packs,
        "pack_bytes": found.pack_bytes,
        "dead_bytes": found.dead_bytes,
    }
    if as_json:
        print_json(report)
        return
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, count in report.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    Console(highlight=False).print(table)
