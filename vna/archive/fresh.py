"""Memory in which the workers of an archive keep what they stored last.

What arrives is mostly read soon: forwarded, looked at, compared. Packs that are written past the page
cache leave nothing there, so the memory that they were written from is kept instead, for all workers.
"""

from __future__ import annotations

import logging
from typing import Final

from vna.archive.settings import ArchiveSettings
from vna.machine import memory_bytes
from vna.storage import Fresh

__all__ = ["fresh_of", "share_fresh"]

log = logging.getLogger(__name__)

TRAY_BYTES: Final = 16 << 20
"""Memory that is used anew at once: thirty CT slices, and one in thirty is cut by its end."""
SHARE: Final = 8
"""It is never more than memory divided by this."""


def share_fresh(settings: ArchiveSettings, workers: int) -> int | None:
    """Make the memory, before any worker; return its descriptor, or None where there is to be none."""
    length = min(settings.fresh_memory_bytes, memory_bytes() // SHARE)
    if not settings.direct_writes or not length:
        return None
    try:
        return Fresh.create(length, workers, TRAY_BYTES)
    except OSError as error:
        log.warning("what is stored is not kept in memory: %s", error.strerror)
        return None


def fresh_of(descriptor: int | None, worker: int) -> Fresh | None:
    """Return the memory as worker `worker`, from 0, uses it; None where there is none."""
    if descriptor is None:
        return None
    try:
        return Fresh(descriptor, worker)
    except OSError as error:
        log.warning("what is stored is not kept in memory: %s", error.strerror)
        return None
