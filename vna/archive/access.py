"""The access log: which series were read when, how often, and from which tier.

Reads are counted in memory, and added to a file of the day once a minute by a thread of its own: no
read waits for it, and a crash loses the last minute. docs/format/access.md draws the files. When they
pass their limit the oldest leave; when a study was last read stays, in `last.jsonl`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from vna.clock import Clock
from vna.errors import Unavailable
from vna.folders import make_folder, write_durably

__all__ = [
    "ACCESS_FOLDER",
    "Access",
    "AccessKind",
    "AccessLog",
    "Accesses",
    "TierReads",
    "moment_of",
]

log = logging.getLogger(__name__)

ACCESS_FOLDER = "access"
LAST_FILE = "last.jsonl"
WRITE_EVERY_S = 60.0
MINUTE_NS = 60 * 10**9
MOST_PENDING = 20_000
"""Series, kinds and tiers that are counted apart in memory; with more they are written earlier."""

AccessKind: TypeAlias = Literal["dataset", "frame", "bulk"]
Key: TypeAlias = tuple[str, str, AccessKind, int, int]
"""Study and series, kind, tier, and the minute."""

_encode = msgspec.json.Encoder().encode


class Access(msgspec.Struct, frozen=True):
    """Reads of one series, of one kind, from one tier, in one minute: a line of the log.

    `time` is of the first, ISO 8601 in UTC to the second. In `last.jsonl` only `time` and `study` say
    something.
    """

    time: str
    study: str
    series: str = ""
    kind: str = ""
    tier: str = ""
    reads: int = 0
    bytes: int = 0


_decode = msgspec.json.Decoder(Access).decode


@dataclass(slots=True)
class TierReads:
    """Reads from a tier, and their bytes."""

    reads: int = 0
    bytes: int = 0


class AccessLog:
    """Takes notes of reads. Thread-safe; `note` never waits for a disk."""

    def __init__(
        self, data: Path, names: Mapping[int, str], clock: Clock, limit_bytes: int
    ) -> None:
        """Files are kept up to `limit_bytes`; 0 notes nothing. `names` are those of tiers."""
        self._folder = data / ACCESS_FOLDER
        self._names = names
        self._clock = clock
        self._limit = limit_bytes
        self._pending: dict[Key, list[int]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def note(
        self,
        study_uid: str,
        series_uid: str,
        kind: AccessKind,
        tier: int,
        size: int,
        *,
        reads: int = 1,
    ) -> None:
        """Count a read, or `reads` of them, of so many bytes."""
        if not self._limit:
            return
        stamp = self._clock.stamp()
        key = (study_uid, series_uid, kind, tier, stamp // MINUTE_NS)
        with self._lock:
            counted = self._pending.get(key)
            if counted is not None:
                counted[1] += reads
                counted[2] += size
                return
            self._pending[key] = [stamp, reads, size]
            if len(self._pending) >= MOST_PENDING:
                self._wake.set()
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name="access", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what was counted; on failure it is lost, and the log says so."""
        with self._writing:
            with self._lock:
                pending, self._pending = self._pending, {}
            lines: dict[str, list[bytes]] = {}
            for (study, series, kind, tier, _), (stamp, reads, size) in pending.items():
                time = _when(stamp)
                name = self._names.get(tier, f"tier {tier}")
                access = Access(time, study, series, kind, name, reads, size)
                lines.setdefault(time[:10], []).append(_encode(access))
            try:
                for day, some in sorted(lines.items()):
                    self._append(day, b"\n".join(some) + b"\n")
            except OSError as error:
                log.warning("%d lines of the access log are lost: %s", len(pending), error)

    def close(self) -> None:
        """Write what was counted, and stop."""
        with self._lock:
            self._closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(WRITE_EVERY_S)
            self._wake.clear()
            try:
                self.flush()
            except Exception:  # loop boundary: what is read later is to be noted
                log.exception("lines of the access log are lost")

    def _append(self, day: str, text: bytes) -> None:
        make_folder(self._folder)
        with _locked(self._folder):
            path = self._folder / f"{day}.jsonl"
            new = not path.exists()
            with path.open("ab") as file:
                file.write(text)
            if new:
                _fold(self._folder, self._limit)


class Accesses:
    """What the access log says, as far as it is written. Thread-safe.

    Methods raise Unavailable where it cannot be read.
    """

    def __init__(self, data: Path) -> None:
        self._folder = data / ACCESS_FOLDER
        self._last: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._lock = threading.Lock()

    def last(self) -> Mapping[str, int]:
        """Return when each study was last read, ns since 1970; reads what is new since the last call."""
        with self._lock, _reading(self._folder):
            sizes = dict(_sizes(self._folder))
            if sizes.get(LAST_FILE) != self._read.get(LAST_FILE):
                self._read.pop(LAST_FILE, None)  # it was written anew
            for name, size in sizes.items():
                start = self._read.get(name, 0)
                if start < size:
                    self._read[name] = _latest(self._folder / name, start, self._last)
        return self._last

    def since(self, stamp: int = 0) -> Iterator[Access]:
        """Yield the lines of the log from `stamp` on, roughly in order."""
        begin = _when(stamp)
        with _reading(self._folder):
            for path in _files(self._folder):
                if path.name != LAST_FILE and path.stem >= begin[:10]:
                    yield from (each for each, _ in _lines(path, 0) if each.time >= begin)

    def by_tier(self, stamp: int) -> dict[str, TierReads]:
        """Return reads by the name of their tier, from `stamp` on."""
        found: dict[str, TierReads] = {}
        for access in self.since(stamp):
            reads = found.setdefault(access.tier, TierReads())
            reads.reads += access.reads
            reads.bytes += access.bytes
        return found


def moment_of(time: str) -> int:
    """Return a time of the log as ns since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(time)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 10**9


def _when(stamp: int) -> str:
    return f"{datetime.fromtimestamp(stamp // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _files(folder: Path) -> list[Path]:
    """Return the files, the days in order."""
    return sorted(folder.glob("*.jsonl"))


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for path in _files(folder):
        try:
            yield path.name, path.stat().st_size
        except FileNotFoundError:
            continue  # folded away just now


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"the access log in {folder} cannot be read: {error}") from error


def _lines(path: Path, start: int) -> Iterator[tuple[Access, int]]:
    """Yield whole lines from `start` on and where each ends; what a crash tore is passed over."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                start += len(line)
                if line.endswith(b"\n"):
                    try:
                        yield _decode(line), start
                    except msgspec.DecodeError:
                        continue
    except FileNotFoundError:
        return  # folded away just now


def _latest(path: Path, start: int, last: dict[str, int]) -> int:
    """Note in `last` what a file says from `start` on; return where its last whole line ends."""
    for access, end in _lines(path, start):
        start = end
        try:
            stamp = moment_of(access.time)
        except ValueError:
            continue
        last[access.study] = max(stamp, last.get(access.study, 0))
    return start


def _fold(folder: Path, limit: int) -> None:
    """Remove the oldest days past the limit, the newest never; what was read last stays."""
    days = [path for path in _files(folder) if path.name != LAST_FILE]
    size = sum(path.stat().st_size for path in days)
    while size > limit and len(days) > 1:
        oldest = days.pop(0)
        size -= oldest.stat().st_size
        last: dict[str, int] = {}
        _latest(folder / LAST_FILE, 0, last)
        _latest(oldest, 0, last)
        lines = [_encode({"time": _when(at), "study": study}) for study, at in last.items()]
        write_durably(folder / LAST_FILE, b"\n".join(lines) + b"\n")
        oldest.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Be the only process that writes."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
