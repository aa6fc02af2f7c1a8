"""`vna version`: what is installed."""

from __future__ import annotations

import platform

import typer

from vna import __version__
from vna.cli.options import JsonOption, print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("version")(version)


def version(as_json: JsonOption = False) -> None:
    """Say which version of the archive this is."""
    report = {
        "vna": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    if as_json:
        print_json(report)
    else:
        typer.echo(f"vna {__version__} (Python {report['python']}, {report['machine']})")
