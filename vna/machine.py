"""What this process has of the machine it runs on."""

from __future__ import annotations

import os
from contextlib import suppress
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

__all__ = ["memory_bytes"]

GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """Return how much memory this process may have: the machine's, or its control groups' limit."""
    machine = os.sysconf("SC_PHYS_PAGES") * PAGESIZE
    return min([machine, *_limits()])


def _limits() -> list[int]:
    """Return what this process's control group, and those it is in, may have (cgroup v2)."""
    found = []
    with suppress(OSError):
        for line in OWN_GROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                group = GROUPS / line.removeprefix("0::/")
                for each in (group, *group.parents):
                    with suppress(OSError, ValueError):  # "max", or no limit at this level
                        found.append(int((each / "memory.max").read_text(encoding="ascii")))
    return found
