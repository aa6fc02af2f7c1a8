"""Exit codes of every command."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EXIT_CODES", "Exit"]


class Exit(IntEnum):
    """What a command says to the shell."""

    OK = 0
    FOUND = 1
    USAGE = 2
    UNAVAILABLE = 3
    NOTHING = 4


EXIT_CODES = {
    Exit.OK: "done",
    Exit.FOUND: "done, with findings: `import` did not take every object, `check` or a backup met "
    "damage, `rebuild-index` met damage or other content than before, `restore` left something deleted, `compact` a pack where it was, `prefetch` a prior that could not be recalled or sent",
    Exit.USAGE: "the command line or the configuration is wrong",
    Exit.UNAVAILABLE: "the archive cannot be used: its folder is in use or not an archive, "
    "a port is taken, the disk is full or fails; or a tier is away: the rest is done",
    Exit.NOTHING: "nothing was done: what the command names is not in the archive, or not in a state "
    "for it, or the question was answered with no",
}
