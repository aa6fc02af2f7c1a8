"""The entry point: commands, and the one place where an error becomes an exit code."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from vna.cli import (
    backup,
    bench,
    cache,
    check,
    compact,
    config,
    delete,
    import_,
    prefetch,
    purge,
    rebuild,
    restore,
    restore_backup,
    serve,
    stats,
    tier,
    version,
    versions,
)
from vna.cli.exits import EXIT_CODES, Exit
from vna.config import ConfigError
from vna.errors import Conflict, NotFound, VnaError

__all__ = ["app", "main"]

app = typer.Typer(
    rich_markup_mode="markdown",  # a table of settings, [web], is no tag of a style
    name="vna",
    help="A vendor neutral archive: stores, finds and serves DICOM objects over DIMSE and DICOMweb.",
    epilog="Exit codes: "
    + "; ".join(f"{code:d} {text}" for code, text in EXIT_CODES.items())
    + ".",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    serve,
    import_,
    stats,
    check,
    rebuild,
    versions,
    delete,
    restore,
    purge,
    compact,
    prefetch,
    backup,
    restore_backup,
    version,
):
    command.register(app)
app.add_typer(bench.app, name="bench")
app.add_typer(tier.app, name="tier")
app.add_typer(cache.app, name="cache")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command that the command line names, and exit."""
    problems = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        app()
    except ConfigError as error:
        problems.print(str(error))
        sys.exit(Exit.USAGE)
    except (Conflict, NotFound) as error:
        problems.print(f"vna: {error}")
        sys.exit(Exit.NOTHING)
    except (VnaError, OSError) as error:  # such as a report that goes to a full disk
        problems.print(f"vna: {error}")
        sys.exit(Exit.UNAVAILABLE)
