"""C-GET (PS3.4 C.4.3): the archive sends instances back over the same association."""

from __future__ import annotations

from vna.dimse.association import AssociationLost
from vna.dimse.operation import Operation
from vna.dimse.retrieval import begin, send_instance
from vna.errors import VnaError

__all__ = ["get"]


async def get(operation: Operation) -> None:
    """Send what the identifier asks for to the requestor, which took the SCP role for it.

    An instance without an accepted context for its SOP class and stored transfer syntax fails
    alone; so does one that cannot be read, unless part of it was sent already.
    """
    association, archive = operation.association, operation.archive
    contexts = {
        (context.abstract_syntax, context.transfer_syntax): context
        for context in operation.negotiated.contexts.values()
        if context.scu
    }
    work = await begin(operation)
    message_id = 0
    while work.waiting and not work.stopped:
        stored = work.waiting.popleft()
        context = contexts.get((stored.sop_class, stored.transfer_syntax))
        if context is None:
            why = f"no context for {stored.sop_class} in {stored.transfer_syntax}"
            work.count(stored, None, why)
            continue
        message_id = message_id % 0xFFFF + 1
        try:
            response = await send_instance(
                association,
                context,
                stored,
                archive.stream(archive.dataset(stored)),
                message_id=message_id,
            )
        except AssociationLost:
            raise
        except VnaError as error:
            association.check()
            work.count(stored, None, str(error))
        else:
            work.count(stored, response.status)
    work.finish()
