"""What C-MOVE and C-GET share: which instances are asked for, sub-operations, counters, answers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

from vna.archive import Archive, Run, StoredObject
from vna.dimse.association import AssociationLost
from vna.dimse.identifiers import Identifier, failed_list, read_identifier
from vna.dimse.levels import keys_to, level_of
from vna.dimse.operation import Operation
from vna.dimse.statuses import COMMENT_LENGTH, Refused, Status
from vna.errors import NotFound
from vna.types import Key, Level, Query

__all__ = ["SubOperations", "begin"]

log = logging.getLogger(__name__)

PENDING_INTERVAL_S: Final = 1.0
"""Seconds between pending responses: often enough to show life, too seldom to cost. The first goes
out with the first sub-operation: GDCM takes no second instance before it."""
ALIVE_INTERVAL_S: Final = 1.0
"""Seconds between pending responses while a sub-operation takes long."""
WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})
"""Warning statuses outside Bxxx (PS3.7 C.4)."""
MOST: Final = 0xFFFF
"""The counters are 16 bits wide."""


class SubOperations:
    """The instances still to be sent, and the counters of those that were.

    They are dealt out in shares, one for each association that sends.
    """

    def __init__(self, operation: Operation, objects: list[StoredObject]) -> None:
        self._shares = [deque(objects)]
        self._operation = operation
        self._completed = 0
        self._warned = 0
        self._failed: list[str] = []
        self._why = ""
        self._loop = asyncio.get_running_loop()
        self._begun = self._loop.time()
        self._reported = float("-inf")

    def deal(self, count: int) -> list[deque[StoredObject]]:
        """Deal the instances out in up to `count` shares; return them. Who sends takes from the left."""
        every = [stored for share in self._shares for stored in share]
        self._shares = [
            deque(every[number::count]) for number in range(min(count, len(every)) or 1)
        ]
        return list(self._shares)

    def end(self, share: deque[StoredObject], why: str = "") -> None:
        """Nobody sends a share any more: what is left of it goes to another one, else has failed."""
        others = [each for each in self._shares if each is not share]
        if others:
            others[0].extend(share)
            self._shares = others
        elif share:
            self._fail(share, why)
        share.clear()

    @property
    def _remaining(self) -> int:
        return sum(map(len, self._shares))

    @property
    def stopped(self) -> bool:
        """Whether the requestor cancelled the operation. Raises AssociationLost when it is gone."""
        self._operation.association.check()
        return self._operation.cancelled

    def count(self, stored: StoredObject, status: int | None, why: str = "") -> None:
        """Count the instance by the status of its C-STORE; None when it could not be sent.

        Sends a pending response when one is due.
        """
        if status == Status.SUCCESS:
            self._completed += 1
        elif status is not None and (status >> 12 == 0xB or status in WARNINGS):
            self._warned += 1
        else:
            self._failed.append(stored.sop_uid)
            self._why = self._why or why
            log.warning(
                "%s: sub-operation for %s failed: %s",
                self._operation.association.label,
                stored.sop_uid,
                why or (f"status {status:04X}" if status is not None else "not sent"),
            )
        self._report(self._reported, PENDING_INTERVAL_S)

    def _report(self, since: float, interval: float) -> None:
        """Send a pending response when one is due."""
        now = self._loop.time()
        if now - since >= interval and self._remaining:
            self._reported = now
            self._respond(Status.PENDING, remaining=True)

    def begin(self) -> None:
        """Send a pending response as the destination is connected to.

        DCMTK's movescu, when it is the destination as well, sleeps for a second before it looks for
        our connection, unless a response wakes it.
        """
        if self._remaining:
            self._respond(Status.PENDING, remaining=True)

    def still_waiting(self) -> None:
        """Send a pending response when nothing was heard of us for a while."""
        self._report(max(self._reported, self._begun), ALIVE_INTERVAL_S)

    async def ready(self, first: asyncio.Future[Run]) -> bool:
        """Wait for the begin of a data set, which may be far away; the requestor hears that we live.

        Returns whether it is there, or failed; not when the requestor cancelled. Raises
        AssociationLost.
        """
        while not first.done():
            await asyncio.wait([first], timeout=ALIVE_INTERVAL_S)
            if self.stopped:
                return False
            self.still_waiting()
        return True

    async def attend(self) -> None:
        """Send pending responses while others take their time, until they should go on no more.

        That is when the requestor is gone, or cancelled and what was under way did not end soon.
        """
        waited = cancelled = False
        with suppress(AssociationLost):
            while not waited:
                await asyncio.sleep(ALIVE_INTERVAL_S)
                waited, cancelled = cancelled, self.stopped
                if not cancelled:
                    self.still_waiting()

    def abandon(self, share: deque[StoredObject], count: int) -> None:
        """Count the first instances of a share as failed: nobody waits for their answers any more."""
        if count:
            self._fail(deque(share.popleft() for _ in range(count)), "not answered in time")

    def _fail(self, share: deque[StoredObject], why: str) -> None:
        log.warning(
            "%s: %d sub-operations failed: %s",
            self._operation.association.label,
            len(share),
            why,
        )
        self._failed += [stored.sop_uid for stored in share]
        self._why = self._why or why

    def finish(self) -> None:
        """Send the final response (PS3.4 tables C.4-2 and C.4-3)."""
        operation = self._operation
        identifier = None
        if self._failed:
            identifier = failed_list(operation.context.transfer_syntax, self._failed)
        if self.stopped:
            self._respond(Status.CANCELLED, identifier, remaining=True)
            return
        if not self._failed and not self._warned:
            status = Status.SUCCESS
        elif self._completed or self._warned:
            status = Status.SOME_FAILED
        else:
            status = Status.CANNOT_PERFORM
        self._respond(status, identifier, self._why)

    def _respond(
        self,
        status: int,
        identifier: bytes | None = None,
        comment: str = "",
        *,
        remaining: bool = False,
    ) -> None:
        response = self._operation.response(status)
        response.comment = comment[:COMMENT_LENGTH]
        response.completed = min(self._completed, MOST)
        response.failed = min(len(self._failed), MOST)
        response.warning = min(self._warned, MOST)
        if remaining:
            response.remaining = min(self._remaining, MOST)
        self._operation.send(response, identifier)


async def begin(operation: Operation) -> SubOperations:
    """Read the request's identifier and find what it asks for. Raises Refused."""
    identifier = read_identifier(await operation.identifier(), operation.context.transfer_syntax)
    level = level_of(identifier, operation.context.abstract_syntax)
    path = keys_to(level)
    for tag in path:
        value = identifier.keys.get(tag, "")
        many = "*?\\" if level is Level.PATIENT else "\\" if tag != path[-1] else ""
        if not value or any(mark in value for mark in many):
            raise Refused(Status.DOES_NOT_MATCH, "a unique key is missing or not single", (tag,))
    return SubOperations(
        operation, await operation.archive.run(_select, operation.archive, level, identifier)
    )


def _select(archive: Archive, level: Level, identifier: Identifier) -> list[StoredObject]:
    """Return the live instances that the unique keys name; keys that name nothing add none."""
    path = keys_to(level)
    chosen: list[tuple[str, ...]]
    if level is Level.PATIENT:
        query = Query(Level.STUDY, (Key(path[0], identifier.keys[path[0]]),), returned=frozenset())
        chosen = [(match.study_uid,) for match in archive.query(query)]
    else:
        *above, last = ([uid.strip() for uid in identifier.keys[tag].split("\\")] for tag in path)
        parents = tuple(one for (one,) in above)
        chosen = [(*parents, uid) for uid in dict.fromkeys(last) if uid]
    found: list[StoredObject] = []
    for names in chosen:
        try:
            found += archive.objects(*names)
        except NotFound:
            continue  # PS3.4 C.4.2.2: no match is no sub-operation
    return found
