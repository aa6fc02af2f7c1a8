"""`vna check`: read back and verify every object."""

from __future__ import annotations

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
)

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Read back every object and verify each byte; works beside a running daemon.

    Deleted objects are read too. Names each damaged object and pack with the reason. Exits with 1 when there is damage.
    """
    with (
        open_archive(configure(config, {"--data": data}), "check") as archive,
        progress("checking") as update,
    ):
        archive.recover()
        report = archive.check(update)
    if as_json:
        print_json(report)
    else:
        for damage in report.damage:
            typer.echo(f"damaged  {damage.sop_uid or 'the store'}: {damage.reason}")
        typer.echo(
            f"{report.instances} instances, {report.blobs} blobs, {report.bytes_read} bytes read: "
            f"{len(report.damage) or 'no'} damage found"
        )
    raise typer.Exit(Exit.FOUND if report.damage else Exit.OK)
