"""`vna config`: files of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vna.cli.options import ConfigOption, JsonOption, configure, print_json
from vna.config import load, toml

__all__ = ["app"]

app = typer.Typer(help="Check and show settings.", no_args_is_help=True)


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File of settings (TOML).")],
) -> None:
    """Validate a file of settings; name each problem and exit with 2 when there is one."""
    load(file)
    typer.echo(f"{file} is valid")


@app.command("show")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print the effective settings: those of the file, and the defaults of all others."""
    settings = configure(config, {})
    if as_json:
        print_json(settings.document())
    else:
        typer.echo(toml(settings), nl=False)
