"""docs/cli.md, written from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from vna.cli.exits import EXIT_CODES
from vna.cli.main import app

__all__ = ["commands", "commands_page"]


def commands(application: typer.Typer = app) -> Iterator[tuple[str, Any]]:
    """Yield each command's full name and the command, groups left out."""
    yield from _below("vna", get_command(application))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        yield name, command
    for child in children.values():
        yield from _below(f"{name} {child.name}", child)


def commands_page() -> str:
    """Return docs/cli.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# The command `vna`"
    yield ""
    yield "Reports go to standard output, progress bars (on a terminal only), logs and errors to standard"
    yield "error. With `--json` a report is one JSON object on one line."
    yield ""
    yield "This page is written by `make docs`; a test fails when it is out of date."
    yield ""
    yield "| exit code | meaning |"
    yield "|---|---|"
    for code, text in EXIT_CODES.items():
        yield f"| {code:d} | {text} |"
    for name, command in commands():
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        options = [each for each in command.params if each.param_type_name == "option"]
        yield ""
        yield f"## {' '.join([name, *(each.metavar for each in arguments)])}"
        yield str(command.help)
        if arguments or options:
            yield ""
            yield "| | |"
            yield "|---|---|"
        for each in arguments:
            yield f"| `{each.metavar}` | {each.help} |"
        for each in options:
            yield f"| `{' '.join(filter(None, [each.opts[0], each.metavar]))}` | {each.help} |"
