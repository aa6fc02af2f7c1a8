"""The command `vna`: one file per command.

Glossary
    exit code   what a script learns; `vna.cli.exits` lists them, docs/cli.md documents them
    report      what a command prints on standard output; progress and errors go to standard error
"""

from vna.cli.main import app, main
from vna.cli.page import commands, commands_page

__all__ = ["app", "commands", "commands_page", "main"]
