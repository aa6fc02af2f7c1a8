"""`vna restore`: deleted objects and replaced versions back into the archive."""

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

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)


def restore(
    *,
    uid: Annotated[str, typer.Argument(metavar="UID", help="UID of an instance, series or study.")],
    version: Annotated[
        int | None,
        typer.Option(
            "--version",
            metavar="STAMP",
            help="Version of the instance, as `vna versions` lists it.",
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the restore.")
    ] = "",
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back what was deleted, or make a replaced version current; works beside a daemon.

    A deleted instance comes back however it was deleted. Of a study or series stays deleted what
    was deleted below it on its own: that is counted, and comes back by its own UID. Every byte is
    verified before; what is damaged is named. What was purged does not come back. Exits with 1 when something stayed deleted.
    """
    with open_archive(configure(config, {"--data": data}), "restore") as archive:
        restored = asyncio.run(archive.restore(uid, version=version, reason=reason))
    if as_json:
        print_json(
            {
                "level": restored.level.name.lower(),
                "uid": uid,
                "restored": restored.instances,
                "left": restored.left,
                "purged": restored.purged,
                "failed": restored.failed,
            }
        )
    else:
        for failed in restored.failed:
            typer.echo(f"failed   {failed.sop_uid}: {failed.reason}")
        typer.echo(
            f"{restored.instances} instances restored, {restored.left} left as deleted on their own"
            + (f", {restored.purged} purged: gone for good" if restored.purged else "")
        )
    found = restored.left or restored.purged or restored.failed
    raise typer.Exit(Exit.FOUND if found else Exit.OK)
