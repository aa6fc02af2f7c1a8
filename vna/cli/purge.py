"""`vna purge`: what is deleted or replaced, gone for good before its time."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from vna.archive import Archive, History, Purged
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
    app.command("purge")(purge)


def purge(
    *,
    uid: Annotated[str, typer.Argument(metavar="UID", help="UID of an instance, series or study.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Who asked for it and why; kept.")
    ],
    version: Annotated[
        int | None,
        typer.Option(
            "--version",
            metavar="STAMP",
            help="Only this version of the instance, as `vna versions` lists it.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a study, series or instance with all its versions; works beside a running daemon.

    What is alive of it is deleted first. Nothing brings it back but sending it anew. The bytes are
    erased from disk when their packs are compacted: `vna compact --dead 1` does that now. What
    stays is the record: UIDs, indexed attributes, when, and the reason. Backups made before keep
    their copy. Asks before, unless told `--yes`.
    """
    with open_archive(configure(config, {"--data": data}), "purge") as archive:
        todo = sum(_kept(history, version) for history in archive.histories(uid))
        if todo and not yes:
            _ask(f"Erase {todo} versions of {uid} for good? Nothing can bring them back.")
        purged = asyncio.run(_purge(archive, uid, version, reason))
    if as_json:
        print_json({"uid": uid, "instances": purged.instances, "versions": purged.versions})
    else:
        typer.echo(f"{purged.versions} versions of {purged.instances} instances purged")


async def _purge(archive: Archive, uid: str, version: int | None, reason: str) -> Purged:
    if version is None:
        return await archive.erase(uid, reason)
    return await archive.purge_version(uid, version, reason)


def _kept(history: History, version: int | None) -> int:
    """Return how many versions of an instance there are to purge."""
    both = zip(history.versions, history.purges, strict=True)
    return sum(purge is None and version in {None, each.stamp} for each, purge in both)


def _ask(question: str) -> None:
    """Go on if the answer is yes, and exit otherwise, also when nobody can answer."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        typer.echo("nothing purged", err=True)
        raise typer.Exit(Exit.NOTHING)
