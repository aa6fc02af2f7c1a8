"""C-GET (PS3.4 C.4.3): the archive sends instances back over the same association."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from vna.dimse.association import AssociationLost
from vna.dimse.negotiation import Context
from vna.dimse.operation import Operation
from vna.dimse.retrieval import Ahead, SubOperations, begin, send_instance
from vna.errors import VnaError

__all__ = ["get"]


async def get(operation: Operation) -> None:
    """Send what the identifier asks for to the requestor, which took the SCP role for it.

    An instance without an accepted context for its SOP class and stored transfer syntax fails
    alone; so does one that cannot be read, unless part of it was sent already.
    """
    contexts = {
        (context.abstract_syntax, context.transfer_syntax): context
        for context in operation.negotiated.contexts.values()
        if context.scu
    }
    work = await begin(operation)
    ahead = Ahead(operation.archive)
    try:
        await _send_all(operation, work, contexts, ahead)
        work.finish()
    finally:
        await ahead.close()


async def _send_all(
    operation: Operation,
    work: SubOperations,
    contexts: Mapping[tuple[str, str], Context],
    ahead: Ahead,
) -> None:
    association = operation.association
    message_id = 0
    (waiting,) = work.deal(1)
    while waiting and not work.stopped:
        stored = waiting[0]
        context = contexts.get((stored.sop_class, stored.transfer_syntax))
        if context is None:
            waiting.popleft()
            why = f"no context for {stored.sop_class} in {stored.transfer_syntax}"
            work.count(stored, None, why)
            continue
        message_id = message_id % 0xFFFF + 1
        if not await work.ready(await ahead.first(stored)):
            return
        waiting.popleft()
        try:
            async with ahead.runs(stored) as runs:
                response = await send_instance(
                    association,
                    context,
                    stored,
                    runs,
                    message_id=message_id,
                    meanwhile=partial(ahead.begin_nth, waiting, 0),
                )
        except AssociationLost:
            raise
        except VnaError as error:
            association.check()
            work.count(stored, None, str(error))
        else:
            work.count(stored, response.status)
