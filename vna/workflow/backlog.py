"""What a prefetch has yet to do, and how far it has followed the feed: kept over restarts.

A file of the data folder, `prefetch/state.json`, as it is no content of the archive: losing it costs
what waited. It is written when tasks come or are done; the place in the feed alone only now and
then, so that some of it may be looked at twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from vna.clock import Clock
from vna.folders import make_folder, write_durably

__all__ = ["Backlog", "Place", "Task"]

log = logging.getLogger(__name__)

FILE: Final = "prefetch/state.json"
SECOND_NS: Final = 10**9
DAY_NS: Final = 86_400 * SECOND_NS
MOST: Final = 10_000
"""Tasks that wait; more are not taken."""


class Task(msgspec.Struct, frozen=True):
    """A prior to make hot, or to send to an AE title.

    `to` are those that it is sent to: afterwards for a recall, for a send the one. It was tried
    `tries` times since it came at `since`, and is due at `due` (ns since 1970).
    """

    verb: Literal["recall", "send"]
    study_uid: str
    to: tuple[str, ...] = ()
    tries: int = 0
    since: int = 0
    due: int = 0

    @property
    def what(self) -> tuple[str, str, tuple[str, ...]]:
        """What two tasks have in common that are the same."""
        return self.verb, self.study_uid, self.to


class Place(msgspec.Struct, frozen=True):
    """A place in the feed: number and stamp of the last change that was looked at."""

    number: int = 0
    stamp: int = 0


class _State(msgspec.Struct):
    place: Place | None = None
    tasks: list[Task] = []
    ready: dict[str, int] = {}
    sent: dict[str, int] = {}


class Backlog:
    """Tasks in the order in which they came. Thread-safe; one process of an archive has it."""

    def __init__(self, data: Path, clock: Clock) -> None:
        self._path = data / FILE
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._read()

    @property
    def place(self) -> Place | None:
        """Where the feed is followed from; None at the very first time."""
        return self._state.place

    def __len__(self) -> int:
        return len(self._state.tasks)

    def stand(self, place: Place) -> None:
        """Note how far the feed was followed; `keep` writes it."""
        with self._lock:
            self._state.place = place

    def add(self, tasks: Iterable[Task]) -> int:
        """Take tasks that do not wait already; return how many there was no room for. Durable."""
        with self._lock:
            waiting = {each.what for each in self._state.tasks}
            new = {each.what: each for each in tasks if each.what not in waiting}
            room = max(MOST - len(waiting), 0)
            taken = list(new.values())[:room]
            if taken:
                self._state.tasks += taken
                self._write()
            return len(new) - len(taken)

    def next(self, verb: str) -> Task | None:
        """Return the first task of a kind that is due."""
        now = self._clock.stamp()
        with self._lock:
            tasks = (each for each in self._state.tasks if each.verb == verb and each.due <= now)
            return next(tasks, None)

    def replace(self, task: Task, others: Iterable[Task] = ()) -> None:
        """Have a task done; others wait instead, at its end. Durable."""
        with self._lock:
            left = [each for each in self._state.tasks if each.what != task.what]
            waiting = {each.what for each in left}
            self._state.tasks = left + [each for each in others if each.what not in waiting]
            self._write()

    def ready(self, study_uid: str) -> None:
        """Note that a prior is hot, or was sent, now: who reads it from now on finds it so."""
        with self._lock:
            self._state.ready[study_uid] = self._clock.stamp()

    def was_sent(self, task: Task) -> bool:
        """Say whether a study was sent to the same AE title in the last day."""
        at = self._state.sent.get(_label(task), 0)
        return self._clock.stamp() - at < DAY_NS

    def sent(self, task: Task) -> None:
        """Note that a study was sent, now."""
        now = self._clock.stamp()
        with self._lock:
            self._state.sent = {
                label: at for label, at in self._state.sent.items() if now - at < DAY_NS
            }
            self._state.sent[_label(task)] = now

    def judge(self, last_reads: Mapping[str, int], days: float) -> tuple[int, int]:
        """Return how many priors that are ready were read since, and how many not for `days`.

        Each is judged once.
        """
        oldest = self._clock.stamp() - int(days * DAY_NS)
        with self._lock:
            ready = self._state.ready
            # The access log knows the second.
            read = [uid for uid, at in ready.items() if last_reads.get(uid, 0) >= at - SECOND_NS]
            unread = [uid for uid, at in ready.items() if at < oldest and uid not in read]
            for uid in (*read, *unread):
                del ready[uid]
        return len(read), len(unread)

    def keep(self) -> None:
        """Write what was noted."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        """A disk that is full or fails is no reason to stop: the file is as it was before."""
        try:
            make_folder(self._path.parent)
            write_durably(self._path, msgspec.json.encode(self._state))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error)

    def _read(self) -> _State:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_State)
        except FileNotFoundError:
            return _State()
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("%s cannot be read, what waited is forgotten: %s", self._path, error)
            return _State()


def _label(task: Task) -> str:
    return f"{task.study_uid} {task.to[0]}"
