"""Prefetch: the priors that a reader is going to want are made hot before they are asked for.

Studies that arrive are told by the archive's feed, others by orders. Rules choose priors; each is a
task that is kept until it is done: a recall into the cache of far tiers, then perhaps a send. One
thread follows, chooses and recalls, in the order of the choice; another sends. A tier or a receiver
that is away is tried again, later and later, for a day. docs/design/prefetch.md says why so.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from vna.archive import Archive, Background, Pace, PatientStudy, Stopped
from vna.errors import NotFound, VnaError
from vna.observe import metrics
from vna.workflow.backlog import Backlog, Place, Task
from vna.workflow.facts import facts_of
from vna.workflow.orders import Order, Orders
from vna.workflow.priors import Choice, PrefetchRule, StudyFacts, choose_priors

__all__ = ["Prefetch", "PrefetchingSettings", "Send", "priors_of_order"]

log = logging.getLogger(__name__)

Send: TypeAlias = Callable[[str, str], None]
"""Sends a study, named by its UID, to an AE title. Raises NotFound, and Unavailable to be tried again."""

SECOND_NS: Final = 10**9
DAY_NS: Final = 86_400 * SECOND_NS
LOOK_AGAIN_S: Final = 1.0
KEEP_EVERY_S: Final = 60.0
CHANGES: Final = 4096
"""Changes looked at in one go."""
REMEMBERED: Final = 4096
"""Studies of which it is remembered what was chosen for them."""
FIRST_PAUSE_NS: Final = 30 * SECOND_NS
LONGEST_PAUSE_NS: Final = 3600 * SECOND_NS
GIVE_UP_NS: Final = DAY_NS
JUDGED_AFTER_DAYS: Final = 3.0


@dataclass(frozen=True, slots=True)
class PrefetchingSettings:
    """How priors are prefetched.

    At most `rate_bytes_s` are recalled (0: the background process prefetches nothing). A study that
    arrives with a Study Date more than `arrived_within_days` ago (0: ever) is history itself, and
    asks for nothing. Orders are followed from `ahead_hours` before they are scheduled.
    """

    rate_bytes_s: int = 64 << 20
    arrived_within_days: float = 7.0
    ahead_hours: float = 24.0


def priors_of_order(archive: Archive, rules: Sequence[PrefetchRule], order: Order) -> list[Choice]:
    """Return the priors that rules choose for an order, the newest first.

    If its study is in the archive, that study's own facts are looked at. Raises NotFound for a
    study or a patient of whom nothing is.
    """
    study = archive.study(order.study_uid) if order.study_uid else None
    if study is not None:
        studies = archive.patient_studies(study.patient)
        return _priors(archive, rules, studies, facts_of(study))
    if not order.patient:
        raise NotFound(f"study {order.study_uid} is not in the archive")
    studies = archive.patient_studies(order.patient)
    if not studies:
        raise NotFound("no study of that patient, by ID and issuer, is in the archive")
    return _priors(archive, rules, studies, order.facts(archive.clock.stamp()))


def _priors(
    archive: Archive,
    rules: Sequence[PrefetchRule],
    studies: Iterable[PatientStudy],
    arriving: StudyFacts,
) -> list[Choice]:
    return choose_priors(arriving, map(facts_of, studies), rules, archive.clock.stamp())


class Prefetch:
    """Prefetches for one archive, in its background process.

    `recall` and `deliver` go on until `stop`, each in a thread of its own.
    """

    def __init__(  # noqa: PLR0917
        self,
        archive: Archive,
        data: Path,
        rules: Sequence[PrefetchRule],
        settings: PrefetchingSettings,
        send: Send,
        stop: threading.Event,
    ) -> None:
        self._archive = archive
        self._rules = rules
        self._settings = settings
        self._send = send
        self._stop = stop
        self._clock = archive.clock
        self._orders = Orders(data, self._clock)
        self._backlog = Backlog(data, self._clock)
        self._pace = Pace(self._clock, stop, Background(settings.rate_bytes_s))
        self._chosen: OrderedDict[str, tuple[StudyFacts, frozenset[str]]] = OrderedDict()
        self._begin()

    def recall(self) -> None:
        """Follow, choose and recall, until the stop."""
        due = self._clock.monotonic() + KEEP_EVERY_S
        try:
            while not self._stop.is_set():
                busy = self.look()
                if not self.recall_next() and not busy:
                    self._stop.wait(LOOK_AGAIN_S)
                if self._clock.monotonic() >= due:
                    self.judge()
                    self._backlog.keep()
                    due = self._clock.monotonic() + KEEP_EVERY_S
        finally:
            self._backlog.keep()

    def deliver(self) -> None:
        """Send what was recalled, until the stop."""
        while not self._stop.is_set():
            if not self.send_next():
                self._stop.wait(LOOK_AGAIN_S)

    # what there is to do ----------------------------------------------------------------------
    def look(self) -> bool:
        """Choose priors for what arrived and what was ordered; say whether more may be in the feed."""
        metrics.PREFETCH_WAITING.set(len(self._backlog))
        try:
            for name, order in list(self._due_orders()):
                self._follow_order(order)
                self._orders.done(name)
            return self._follow_feed()
        except VnaError as error:
            log.warning("the prefetch cannot look at what arrives: %s", error)
            return False

    def _begin(self) -> None:
        """Begin at the end of the feed, or where it was left if it is still the same feed."""
        place = self._backlog.place
        if place is not None and place.number:
            left = next(iter(self._archive.changes(place.number - 1, 1)), None)
            if left is not None and (left.seq, left.stamp) == (place.number, place.stamp):
                return
            log.warning("the feed is another one (a new index): it is followed from its end")
        elif place is not None:
            return
        last = self._archive.last_change()
        self._backlog.stand(Place(last.seq, last.stamp) if last is not None else Place())
        self._backlog.keep()

    def _due_orders(self) -> list[tuple[str, Order]]:
        ahead = int(self._settings.ahead_hours * 3600 * SECOND_NS)
        return list(self._orders.due(self._clock.stamp(), ahead))

    def _follow_order(self, order: Order) -> None:
        metrics.PREFETCH_STUDIES.add("ordered")
        try:
            choices = priors_of_order(self._archive, self._rules, order)
        except NotFound as error:
            log.info("an order asks for nothing: %s", error)
            return
        self._take(choices)

    def _follow_feed(self) -> bool:
        place = self._backlog.place
        assert place is not None, "begun"
        changes = self._archive.changes(place.number, CHANGES)
        if not changes:
            return False
        for uid in dict.fromkeys(change.study_uid for change in changes):
            self._follow_study(uid)
        self._backlog.stand(Place(changes[-1].seq, changes[-1].stamp))
        return len(changes) == CHANGES

    def _follow_study(self, uid: str) -> None:
        """Choose priors for a study when it begins to come, and when more is known of it."""
        study = self._archive.study(uid)
        if study is None:
            return
        facts = facts_of(study)
        if self._is_history(facts):
            return
        known, before = self._chosen.get(uid, (None, frozenset[str]()))
        if facts == known:
            return
        if known is None:
            metrics.PREFETCH_STUDIES.add("arrived")
        studies = self._archive.patient_studies(study.patient)
        choices = _priors(self._archive, self._rules, studies, facts)
        self._take([each for each in choices if each.study_uid not in before])
        self._chosen[uid] = facts, before | {each.study_uid for each in choices}
        self._chosen.move_to_end(uid)
        while len(self._chosen) > REMEMBERED:
            self._chosen.popitem(last=False)

    def _is_history(self, arriving: StudyFacts) -> bool:
        days = self._settings.arrived_within_days
        return bool(days) and self._clock.stamp() - arriving.made > days * DAY_NS

    def _take(self, choices: Sequence[Choice]) -> None:
        now = self._clock.stamp()
        tasks = [Task("recall", each.study_uid, each.send_to, since=now) for each in choices]
        if lost := self._backlog.add(tasks):
            metrics.PREFETCHED.add("failed", by=lost)
            log.warning("too much waits to be prefetched: %d priors are not", lost)

    def judge(self) -> None:
        """Count which of the priors that were made hot were read since."""
        try:
            last_reads = self._archive.last_reads()
        except OSError as error:
            log.warning("the access log cannot be read: %s", error)
            return
        read, unread = self._backlog.judge(last_reads, JUDGED_AFTER_DAYS)
        metrics.PREFETCH_READS.add("read", by=read)
        metrics.PREFETCH_READS.add("unread", by=unread)

    # doing it ---------------------------------------------------------------------------------
    def recall_next(self) -> bool:
        """Make the next prior hot that is due; say whether there was one."""
        task = self._backlog.next("recall")
        if task is None:
            return False
        try:
            size = self._archive.warm_cache(task.study_uid, pace=self._pace)
        except Stopped:
            return True
        except NotFound:
            self._end(task, "gone")
        except VnaError as error:
            self._again(task, error)
        else:
            metrics.PREFETCHED_BYTES.add(by=size)
            self._end(task, "recalled" if size else "present")
        return True

    def send_next(self) -> bool:
        """Send the next prior that is to be sent; say whether there was one."""
        task = self._backlog.next("send")
        if task is None:
            return False
        try:
            self._send(task.study_uid, task.to[0])
        except NotFound:
            self._end(task, "gone")
        except VnaError as error:
            self._again(task, error)
        else:
            self._end(task, "sent")
        return True

    def _end(
        self, task: Task, end: Literal["recalled", "present", "sent", "gone", "failed"]
    ) -> None:
        """Have a task done; what was recalled is sent now."""
        metrics.PREFETCHED.add(end)
        sends: list[Task] = []
        if task.verb == "recall" and end in ("recalled", "present"):
            now = self._clock.stamp()
            every = [Task("send", task.study_uid, (title,), since=now) for title in task.to]
            sends = [each for each in every if not self._backlog.was_sent(each)]
        if end == "sent":
            self._backlog.sent(task)
        if end in ("recalled", "sent"):
            self._backlog.ready(task.study_uid)
        self._backlog.replace(task, sends)

    def _again(self, task: Task, error: VnaError) -> None:
        """Try a task again, later each time; for a day."""
        now = self._clock.stamp()
        what = f"prior {task.study_uid} cannot be {'sent' if task.verb == 'send' else 'recalled'}"
        if now - task.since >= GIVE_UP_NS:
            log.error("%s, and is given up: %s", what, error)
            self._end(task, "failed")
            return
        pause = min(FIRST_PAUSE_NS << min(task.tries, 16), LONGEST_PAUSE_NS)
        log.warning("%s, again in %d s: %s", what, pause // SECOND_NS, error)
        metrics.PREFETCHED.add("postponed")
        later = msgspec.structs.replace(task, tries=task.tries + 1, due=now + pause)
        self._backlog.replace(task, [later])
