"""`vna rebuild-index`: the index made again from the packs."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import typer

from vna.archive import Rebuilt, rebuild_index
from vna.cli.exits import Exit
from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    print_json,
    progress,
    require_archive,
)
from vna.observe import start_logging

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild-index")(rebuild)


def rebuild(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Make the index again from the packs alone; no daemon and no other command may run.

    The new index is built beside the old one and replaces it in one step; the old one stays in the
    folder index.old until the next rebuild, or until you remove it. Killed, the command goes on
    where it was when it is run again. It then compares the content with that of the old index, if
    that opens. Exits with 1 when packs are damaged or the content differs.
    """
    settings = configure(config, {"--data": data})
    start_logging(replace(settings.log, level="warning"), "rebuild-index")
    require_archive(settings)
    with progress("rebuilding") as update:
        rebuilt = rebuild_index(settings.archive, update)
    if as_json:
        print_json(_document(rebuilt))
    else:
        _print(rebuilt)
    found = rebuilt.different or rebuilt.recovered.damage
    raise typer.Exit(Exit.FOUND if found else Exit.OK)


def _document(rebuilt: Rebuilt) -> dict[str, object]:
    return {
        "counts": msgspec.structs.asdict(rebuilt.counts),
        "mutations": rebuilt.recovered.mutations,
        "torn_bytes": rebuilt.recovered.torn_bytes,
        "damage": rebuilt.recovered.damage,
        "compared": not rebuilt.uncompared,
        "uncompared": rebuilt.uncompared,
        "different": rebuilt.different,
        "differences": rebuilt.differences,
    }


def _print(rebuilt: Rebuilt) -> None:
    for damage in rebuilt.recovered.damage:
        typer.echo(f"damaged  {damage}")
    for each in rebuilt.differences:
        typer.echo(f"differs  {each.kind} {each.name}: {each.what}")
    if rebuilt.different > len(rebuilt.differences):
        typer.echo(f"         and {rebuilt.different - len(rebuilt.differences)} more")
    if rebuilt.uncompared:
        said = f"not compared with the old index: {rebuilt.uncompared}"
    elif rebuilt.different:
        said = f"{rebuilt.different} differences from the old index, which is kept in index.old"
    else:
        said = "equal to the old index"
    typer.echo(
        f"{rebuilt.counts.instances} instances, {rebuilt.recovered.mutations} mutations applied; {said}"
    )
