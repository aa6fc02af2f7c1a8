"""The scrub: reads all blobs back, each copy, over and over, at a set rate; knows how far it is.

It goes through the blobs that the index needs, in the order of their digests: a position that stays
good whatever is stored or compacted meanwhile. Each batch is read in the order of packs. The state
is a file of the data folder, `scrub.json`, as it is no content of the archive: losing it costs a
part of a pass.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vna.archive.pace import LONGEST_WAIT_S, Background
from vna.archive.quarantine import Quarantine
from vna.clock import Clock
from vna.folders import write_durably
from vna.index import Index
from vna.storage import HOT, AwayPack, tier_of
from vna.types import BlobPlace

__all__ = ["Scrub", "ScrubSettings", "ScrubState", "read_scrub_state"]

log = logging.getLogger(__name__)

BATCH = 512
"""Blobs read between two notes of the position."""
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class ScrubSettings(Background):
    """How hard the scrub works.

    A pass over all blobs begins `every_days` after the one before began, or when that has ended.
    Copies on tiers below the hot one are read back too if `lower_tiers` says so.
    """

    every_days: float = 30.0
    lower_tiers: bool = False


class ScrubState(msgspec.Struct, frozen=True):
    """How far the scrub is: stamps of begin and end of a pass (0: not yet), the digest it read last.

    `blobs`, `bytes` and `damaged` count what this pass has read and found, `away` what it could not
    read as its tier is away; when it has ended they stay until the next one begins.
    """

    begun: int = 0
    ended: int = 0
    position: str = ""
    blobs: int = 0
    bytes: int = 0
    damaged: int = 0
    away: int = 0


def read_scrub_state(path: Path) -> ScrubState:
    """Return the state noted at `path`; the first one if there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ScrubState)
    except FileNotFoundError:
        return ScrubState()
    except msgspec.MsgspecError as error:
        log.warning("%s cannot be read, the scrub begins anew: %s", path, error)
        return ScrubState()


class Scrub:
    """Passes over all blobs; one process at a time, one thread."""

    def __init__(
        self,
        index: Index,
        quarantine: Quarantine,
        clock: Clock,
        path: Path,
        settings: ScrubSettings,
    ) -> None:
        self._index = index
        self._quarantine = quarantine
        self._clock = clock
        self._path = path
        self._settings = settings
        self._state = read_scrub_state(path)

    def run(self, stop: threading.Event) -> None:
        """Scrub until `stop` is set. Raises VnaError or OSError when the archive or disk fails."""
        while not stop.is_set():
            wait_s = self._wait_s()
            if wait_s:
                stop.wait(wait_s)
            else:
                self.step(stop)

    def step(self, stop: threading.Event) -> None:
        """Read one batch and note the position; the last one ends the pass."""
        if self._state.ended or not self._state.begun:
            self._begin()
        after = bytes.fromhex(self._state.position)
        with self._index.read() as reader:
            batch = reader.blobs(after, BATCH)
            placed = [
                (place, digest)
                for digest, _ in batch
                for place in reader.places(digest)
                if self._settings.lower_tiers or tier_of(place.pack) == HOT
            ]
        for place, digest in sorted(placed, key=lambda each: (each[0].pack, each[0].offset)):
            self._read(digest, place, stop)
            if stop.is_set():
                return
        if batch:
            self._note(position=batch[-1][0].hex())
        if len(batch) < BATCH:
            self._end()

    def _begin(self) -> None:
        self._quarantine.look_again()
        self._state = ScrubState(begun=self._clock.stamp())
        log.info("scrub begins a pass")

    def _end(self) -> None:
        self._note(ended=self._clock.stamp(), position="")
        state = self._state
        level = logging.WARNING if state.damaged or state.away else logging.INFO
        log.log(
            level,
            "scrub ended a pass: %d blobs, %d bytes, %d damaged, %d not read: their tier is away",
            state.blobs,
            state.bytes,
            state.damaged,
            state.away,
        )

    def _read(self, digest: bytes, place: BlobPlace, stop: threading.Event) -> None:
        begun = self._clock.monotonic()
        try:
            reason = self._quarantine.verdict(digest, place)
        except AwayPack:
            self._state = msgspec.structs.replace(self._state, away=self._state.away + 1)
            return
        if reason:
            log.error("scrub: blob %s: %s", digest.hex(), reason)
        state = self._state
        self._state = msgspec.structs.replace(
            state,
            blobs=state.blobs + 1,
            bytes=state.bytes + place.size,
            damaged=state.damaged + bool(reason),
        )
        due_s = place.size / self._settings.rate_bytes_s
        stop.wait(max(begun + due_s - self._clock.monotonic(), 0))

    def _note(self, *, position: str, ended: int = 0) -> None:
        self._state = msgspec.structs.replace(self._state, position=position, ended=ended)
        try:
            write_durably(self._path, msgspec.json.encode(self._state))
        except OSError as error:
            # A full disk, say. It goes on, and with it compaction, which frees space.
            log.warning("how far the scrub is cannot be noted: %s: %s", self._path, error.strerror)

    def _wait_s(self) -> float:
        """Return how long there is nothing to do, looked at again each minute at least."""
        now = self._clock.stamp()
        if not self._settings.within_hours(now):
            return LONGEST_WAIT_S
        if not self._state.ended:
            return 0.0
        if self._state.begun > now:
            return 0.0  # the clock was set back: nobody knows when that was
        left = self._state.begun + int(self._settings.every_days * DAY_NS) - now
        return min(max(left / 10**9, 0.0), LONGEST_WAIT_S)
