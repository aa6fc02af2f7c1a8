"""`vna check`: read back and verify every object."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from vna.archive import Damage, ScrubState
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
from vna.config import Config

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    *,
    data: DataOption = None,
    config: ConfigOption = None,
    status: Annotated[
        bool, typer.Option("--status", help="Read nothing: say what is known by now.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read back every object and verify each byte; works beside a running daemon.

    Deleted objects are read too. Names each damaged object and pack with the reason, and records
    the damage: the archive takes such an object when it is sent again. With --status it says how
    far the scrub of the daemon is, and which blobs are damaged. Exits with 1 when there is damage,
    else with 3 when a tier is away: what it has was not checked, and is counted.
    """
    if status:
        _status(configure(config, {"--data": data}), as_json=as_json)
    with (
        open_archive(configure(config, {"--data": data}), "check") as archive,
        progress("checking") as update,
    ):
        recovered = archive.recover()
        report = archive.check(update)
    told = {damage.reason for damage in report.damage}
    report.damage += [Damage("", reason) for reason in recovered.damage if reason not in told]
    if as_json:
        print_json(report)
    else:
        for damage in report.damage:
            typer.echo(f"damaged  {damage.sop_uid or 'the store'}: {damage.reason}")
        for name, count in report.not_checked.items():
            typer.echo(f"tier {name} is away: {count} blobs were not checked")
        if report.dead_bytes:
            typer.echo(f"{report.dead_bytes} bytes are not needed: `vna compact` frees them")
        typer.echo(
            f"{report.instances} instances, {report.blobs} blobs, {report.bytes_read} bytes read: "
            f"{len(report.damage) or 'no'} damage found"
        )
    if report.damage:
        raise typer.Exit(Exit.FOUND)
    raise typer.Exit(Exit.UNAVAILABLE if report.not_checked else Exit.OK)


def _status(config: Config, *, as_json: bool) -> NoReturn:
    with open_archive(config, "check") as archive:
        scrub, lost = archive.scrub_state(), archive.lost()
    if as_json:
        print_json({"scrub": scrub, "damaged": lost})
    else:
        for blob in lost:
            typer.echo(f"damaged  blob {blob.digest}: {blob.reason}")
        typer.echo(_pass(scrub))
        typer.echo(f"{len(lost) or 'no'} damaged blobs known")
    raise typer.Exit(Exit.FOUND if lost else Exit.OK)


def _pass(scrub: ScrubState) -> str:
    if not scrub.begun:
        return "the scrub has not begun"
    done = f"{scrub.blobs} blobs, {scrub.bytes} bytes, {scrub.damaged} damaged"
    if scrub.away:
        done += f", {scrub.away} not read: their tier is away"
    if scrub.ended:
        return f"the scrub ended a pass at {when(scrub.ended)}: {done}"
    return f"the scrub is in a pass since {when(scrub.begun)}: {done}"
