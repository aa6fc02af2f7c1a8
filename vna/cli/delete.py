"""`vna delete`: a study, series or instance out of the archive, for `vna restore` to bring back."""

from __future__ import annotations

import asyncio
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
)
from vna.types import Level

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("delete")(delete)


def delete(
    *,
    study: Annotated[
        str | None, typer.Option("--study", metavar="UID", help="Study Instance UID.")
    ] = None,
    series: Annotated[
        str | None, typer.Option("--series", metavar="UID", help="Series Instance UID.")
    ] = None,
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="UID", help="SOP Instance UID.")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the delete.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete one study, series or instance; works beside a running daemon.

    Asks before, unless told `--yes`. What is deleted is no longer found or served; its bytes are
    kept, and `vna restore` brings it back.
    """
    level, uid = _named(study, series, instance)
    with open_archive(configure(config, {"--data": data}), "delete") as archive:
        count = sum(not history.deleted for history in archive.histories(uid))
        if count and not yes:
            _ask(f"Delete {level.name.lower()} {uid} with {count} instances?")
        deleted = asyncio.run(archive.delete(level, uid, reason))
    if as_json:
        print_json({"level": level.name.lower(), "uid": uid, "deleted": deleted})
    else:
        typer.echo(f"{deleted} instances deleted")


def _named(study: str | None, series: str | None, instance: str | None) -> tuple[Level, str]:
    given = {Level.STUDY: study, Level.SERIES: series, Level.INSTANCE: instance}
    named = [(level, uid) for level, uid in given.items() if uid is not None]
    if len(named) != 1:
        raise typer.BadParameter("name one of --study, --series, --instance")
    return named[0]


def _ask(question: str) -> None:
    """Go on if the answer is yes, and exit otherwise, also when nobody can answer."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        typer.echo("nothing deleted", err=True)
        raise typer.Exit(Exit.NOTHING)
