"""C-MOVE (PS3.4 C.4.2): the archive sends instances to a third application entity."""

from __future__ import annotations

import logging
from functools import partial

from vna.dimse.association import AssociationLost
from vna.dimse.operation import Operation
from vna.dimse.retrieval import Ahead, SubOperations, begin
from vna.dimse.scu import Scu
from vna.dimse.sending import contexts_of, pair_of
from vna.dimse.statuses import Refused, Status
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
    ahead = Ahead(operation.archive)
    try:
        while work.waiting and not work.stopped:
            try:
                await _send_some(operation, work, destination, ahead)
            except VnaError as error:
                operation.association.check()
                work.fail_waiting(str(error))
        work.finish()
    finally:
        await ahead.close()


async def _send_some(
    operation: Operation, work: SubOperations, destination: Remote, ahead: Ahead
) -> None:
    """Send as many of the waiting instances as one association has contexts for."""
    contexts = contexts_of(work.waiting)
    assert operation.request.message_id is not None, "checked by the decoder"
    originator = (operation.negotiated.calling_ae, operation.request.message_id)
    async with Scu(destination, operation.settings, ((cls, (ts,)) for cls, ts in contexts)) as scu:
        while work.waiting and pair_of(work.waiting[0]) in contexts and not work.stopped:
            stored = work.waiting[0]
            if scu.context(*pair_of(stored)) is None:
                work.waiting.popleft()
                why = f"{destination.ae_title} does not accept {stored.sop_class} in {stored.transfer_syntax}"
                work.count(stored, None, why)
                continue
            status, why = None, ""
            if not await work.ready(await ahead.first(stored)):
                return
            try:
                async with ahead.runs(stored) as runs:
                    status = await scu.c_store(
                        stored,
                        work.reporting(runs),
                        originator=originator,
                        meanwhile=partial(ahead.begin_nth, work.waiting, 1),
                    )
            except AssociationLost:
                raise
            except VnaError as error:  # it cannot be read; the others may well be
                why = str(error)
            work.waiting.popleft()
            work.count(stored, status, why)
            if scu.lost:
                return  # it broke off in the middle of that instance; the rest gets another try
