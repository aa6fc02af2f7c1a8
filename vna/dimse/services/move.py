"""C-MOVE (PS3.4 C.4.2): the archive sends instances to a third application entity."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from functools import partial

from vna.archive import StoredObject
from vna.dimse.ahead import Ahead
from vna.dimse.association import AssociationLost
from vna.dimse.operation import Operation
from vna.dimse.retrieval import SubOperations, begin
from vna.dimse.scu import Scu
from vna.dimse.sending import contexts_of
from vna.dimse.statuses import Refused, Status
from vna.dimse.stores import pair_of
from vna.errors import VnaError
from vna.types import Remote

__all__ = ["move"]

log = logging.getLogger(__name__)


async def move(operation: Operation) -> None:
    """Send what the identifier asks for to the move destination; answer with the counters.

    A destination that cannot be reached, or is lost on the way, fails the instances left. An
    instance whose stored transfer syntax the destination does not accept fails alone.
    """
    title = operation.request.move_destination
    destination = operation.settings.remote(title)
    if destination is None or "move_destination" not in destination.may:
        raise Refused(Status.DESTINATION_UNKNOWN, f"unknown move destination {title}")
    work = await begin(operation)
    await _Move(operation, work, destination).send()
    work.finish()


@dataclass(frozen=True, slots=True)
class _Move:
    """The sub-operations of one C-MOVE, over as many associations as the destination takes."""

    operation: Operation
    work: SubOperations
    destination: Remote
    associated: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first association is there, or will never be: who takes one only takes that."""

    async def send(self) -> None:
        """Send what waits; what no association could be had for has failed. Raises AssociationLost.

        A requestor that cancels or leaves is not kept waiting by a destination that does not answer.
        """
        first, *others = self.work.deal(self.destination.associations)
        shares = [self._send_share(first), *map(self._send_beside, others)]
        sends = [asyncio.create_task(share) for share in shares]
        attended = asyncio.ensure_future(self._attend(sends))
        try:
            errors = await asyncio.gather(*sends, return_exceptions=True)
        finally:
            attended.cancel()
        for error in errors:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _attend(self, sends: list[asyncio.Task[None]]) -> None:
        await self.work.attend()
        for send in sends:
            send.cancel()

    async def _send_beside(self, waiting: deque[StoredObject]) -> None:
        await self.associated.wait()
        await self._send_share(waiting)

    async def _send_share(self, waiting: deque[StoredObject]) -> None:
        """Send a share of the instances, over one association at a time."""
        ahead = Ahead(self.operation.archive)
        why = ""
        try:
            while waiting and not self.work.stopped and not why:
                try:
                    await self._send_some(waiting, ahead)
                except VnaError as error:
                    self.operation.association.check()
                    why = str(error)
            if not self.work.stopped:
                self.work.end(waiting, why)
        finally:
            self.associated.set()
            await ahead.close()

    async def _send_some(self, waiting: deque[StoredObject], ahead: Ahead) -> None:
        """Send as many of the waiting instances as one association has contexts for."""
        operation, work, destination = self.operation, self.work, self.destination
        contexts = contexts_of(waiting)
        assert operation.request.message_id is not None, "checked by the decoder"
        originator = (operation.negotiated.calling_ae, operation.request.message_id)
        proposed = ((sop_class, (syntax,)) for sop_class, syntax in contexts)

        def done(stored: StoredObject, status: int) -> bool:
            work.count(stored, status)
            return not work.stopped

        async with Scu(destination, operation.settings, proposed, originator, work.begin) as scu:
            self.associated.set()
            while waiting and pair_of(waiting[0]) in contexts and not work.stopped:
                try:
                    await scu.stores.send_at_hand(waiting, ahead, done)
                except asyncio.CancelledError:
                    work.abandon(waiting, scu.stores.under_way)
                    raise
                if not waiting or work.stopped or pair_of(waiting[0]) not in contexts:
                    return
                await self._send_one(scu, waiting, ahead)
                if scu.lost:
                    return  # it broke off in the middle of that instance; the rest gets another try

    async def _send_one(self, scu: Scu, waiting: deque[StoredObject], ahead: Ahead) -> None:
        """Send the first of the waiting instances, unless the requestor cancels before it begins."""
        work, stored = self.work, waiting[0]
        status, why = None, ""
        if not scu.stores.takes(stored):
            why = f"{self.destination.ae_title} does not accept {stored.sop_class} in {stored.transfer_syntax}"
        else:
            if not await work.ready(await ahead.first(stored)):
                return
            try:
                async with ahead.runs(stored) as runs:
                    status = await scu.c_store(stored, runs, partial(ahead.begin_nth, waiting, 1))
            except AssociationLost:
                raise
            except asyncio.CancelledError:
                work.abandon(waiting, 1)
                raise
            except VnaError as error:  # it cannot be read; the others may well be
                why = str(error)
        waiting.popleft()
        work.count(stored, status, why)
