"""What goes on in the background: versions are let go of when their time is over, packs compacted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from vna.archive.compact import Compaction, CompactionSettings
from vna.archive.pace import Pace, Stopped
from vna.archive.purge import Purged
from vna.clock import Clock
from vna.errors import VnaError

__all__ = ["upkeep"]

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 60.0
"""Time between two looks for packs to compact."""
RETENTION_EVERY_S = 86_400.0


def upkeep(
    compaction: Compaction,
    settings: CompactionSettings,
    let_go: Callable[[], Purged],
    clock: Clock,
    stop: threading.Event,
) -> None:
    """Let go of versions once a day, and compact what is due, until `stop`."""
    pace = Pace(clock, stop, settings)
    due = clock.monotonic()
    while not stop.is_set():
        try:
            pace(0)
            if clock.monotonic() >= due:
                let_go()
                due = clock.monotonic() + RETENTION_EVERY_S
            if settings.rate_bytes_s:
                compaction.run(settings.dead_percent, pace, stop=stop)
        except Stopped:
            return
        except VnaError as error:
            log.warning("upkeep stops for now: %s", error)
        stop.wait(LOOK_AGAIN_S)
