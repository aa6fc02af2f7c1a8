"""`vna cache`: what of far tiers is kept on the SSD."""

from __future__ import annotations

from typing import Annotated

import typer

from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    open_archive,
    print_json,
    progress,
)

__all__ = ["app"]

app = typer.Typer(help="See, fill and empty the cache of far tiers.", no_args_is_help=True)


@app.command("status")
def status(
    data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Say how much the cache of far tiers holds; works beside a running daemon."""
    with open_archive(configure(config, {"--data": data}), "cache status") as archive:
        state = archive.cache_state()
    if as_json:
        print_json(state)
    else:
        typer.echo(f"{state.bytes} bytes of at most {state.limit_bytes}")


@app.command("warm")
def warm(
    study: Annotated[str, typer.Option("--study", metavar="UID", help="Study Instance UID.")],
    series: Annotated[
        str | None, typer.Option("--series", metavar="UID", help="Series Instance UID.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a study, or a series of it, into the cache; works beside a running daemon.

    What is in the cache already, or on tiers that need none, is not fetched.
    """
    with (
        open_archive(configure(config, {"--data": data}), "cache warm") as archive,
        progress("fetching series") as update,
    ):
        fetched = archive.warm_cache(study, series, update)
    if as_json:
        print_json({"bytes": fetched})
    else:
        typer.echo(f"{fetched} bytes fetched")


@app.command("drop")
def drop(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Empty the cache; works beside a running daemon. What is read is fetched again."""
    with open_archive(configure(config, {"--data": data}), "cache drop") as archive:
        freed = archive.drop_cache()
    if as_json:
        print_json({"bytes": freed})
    else:
        typer.echo(f"{freed} bytes freed")
