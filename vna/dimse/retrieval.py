"""What C-MOVE and C-GET share: which instances are asked for, sub-operations, counters, answers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from vna.archive import Archive, Run, StoredObject
from vna.dimse.association import Association, Buffer
from vna.dimse.commands import Command, CommandField
from vna.dimse.identifiers import Identifier, failed_list, read_identifier
from vna.dimse.levels import keys_to, level_of
from vna.dimse.negotiation import Context
from vna.dimse.operation import Operation
from vna.dimse.statuses import COMMENT_LENGTH, Refused, Status
from vna.errors import NotFound
from vna.types import Key, Level, Query

__all__ = ["Ahead", "SubOperations", "begin", "send_instance"]

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

    async def reporting(self, runs: AsyncIterator[Run]) -> AsyncIterator[Run]:
        """Yield the runs of a data set that leaves on another association; pending responses go out."""
        async for run in runs:
            self.still_waiting()
            yield run

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


Rest: TypeAlias = AsyncGenerator[Run, None]
"""What follows the first run of a data set."""


class Ahead:
    """Data sets on their way out: the next one is begun while the one before is on its way."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._begun: tuple[StoredObject, Rest | None, asyncio.Future[Run]] | None = None

    def begin(self, stored: StoredObject) -> None:
        """Begin to read a data set; what is in memory is read at once."""
        at_hand = self._archive.dataset_at_hand(stored)
        if at_hand is not None:
            first = asyncio.get_running_loop().create_future()
            first.set_result(at_hand)
            self._begun = stored, None, first
            return
        runs = self._archive.dataset_runs(stored)
        self._begun = stored, runs, asyncio.ensure_future(anext(runs, []))

    async def first(self, stored: StoredObject) -> asyncio.Future[Run]:
        """Return the first run of a data set to come, begun before or now."""
        if self._begun is None or self._begun[0] is not stored:
            await self.close()
            self.begin(stored)
        assert self._begun is not None, "just begun"
        return self._begun[2]

    @asynccontextmanager
    async def runs(self, stored: StoredObject) -> AsyncIterator[AsyncIterator[Run]]:
        """Give the runs of a data set, begun before or now, for as long as this lasts."""
        await self.first(stored)
        assert self._begun is not None, "just begun"
        (_, rest, first), self._begun = self._begun, None

        async def runs() -> AsyncIterator[Run]:
            yield await first
            if rest is not None:
                async for run in rest:
                    yield run

        try:
            yield runs()
        finally:
            await _end(rest, first)

    def begin_nth(self, waiting: Sequence[StoredObject], number: int) -> None:
        """Begin to read the one behind `number` others of those that wait, if there is one."""
        if number < len(waiting):
            self.begin(waiting[number])

    async def close(self) -> None:
        """Let go of what was begun and is not wanted any more."""
        if self._begun is not None:
            (_, rest, first), self._begun = self._begun, None
            await _end(rest, first)


async def _end(rest: Rest | None, first: asyncio.Future[Run]) -> None:
    if rest is None:
        return
    if not first.done():
        await asyncio.wait([first])
    if not first.cancelled():
        first.exception()  # read: it was raised where the run was wanted, or nobody wants it
    await rest.aclose()


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


async def send_instance(
    association: Association,
    context: Context,
    stored: StoredObject,
    runs: AsyncIterator[Sequence[Buffer]],
    *,
    message_id: int,
    originator: tuple[str, int] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> Command:
    """C-STORE one instance and return the response; `meanwhile` is called while that is waited for.

    `originator` is the AE title and message id of the C-MOVE behind it. Raises AssociationLost,
    or what `runs` raised; the association goes on only if nothing had been sent by then.
    """
    command = Command(
        field=CommandField.C_STORE,
        message_id=message_id,
        affected_sop_class=stored.sop_class,
        affected_sop_uid=stored.sop_uid,
        priority=0,
    )
    if originator is not None:
        command.originator, command.originator_id = originator
    await association.send_stream(context.id, command, runs)
    if meanwhile is not None:
        meanwhile()
    return await association.response(message_id)
