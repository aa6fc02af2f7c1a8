"""C-GET (PS3.4 C.4.3): the archive sends instances back over the same association."""

from __future__ import annotations

from functools import partial

from vna.archive import StoredObject
from vna.dimse.ahead import Ahead
from vna.dimse.association import AssociationLost
from vna.dimse.operation import Operation
from vna.dimse.retrieval import SubOperations, begin
from vna.dimse.stores import Stores, pair_of
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
    stores = Stores(
        operation.association,
        lambda stored: contexts.get(pair_of(stored)),
        window=operation.negotiated.sub_operations,
    )
    ahead = Ahead(operation.archive)
    operation.association.asking = True
    try:
        await _send_all(operation, work, stores, ahead)
        work.finish()
    finally:
        operation.association.asking = False
        await ahead.close()


async def _send_all(
    operation: Operation, work: SubOperations, stores: Stores, ahead: Ahead
) -> None:
    (waiting,) = work.deal(1)

    def done(stored: StoredObject, status: int) -> bool:
        work.count(stored, status)
        return not work.stopped

    while waiting and not work.stopped:
        await stores.send_at_hand(waiting, ahead, done)
        if not waiting or work.stopped:
            return
        stored = waiting[0]
        if not stores.takes(stored):
            waiting.popleft()
            why = f"no context for {stored.sop_class} in {stored.transfer_syntax}"
            work.count(stored, None, why)
            continue
        if not await work.ready(await ahead.first(stored)):
            return
        try:
            async with ahead.runs(stored) as runs:
                status = await stores.send(stored, runs, partial(ahead.begin_nth, waiting, 1))
        except AssociationLost:
            raise
        except VnaError as error:
            operation.association.check()
            waiting.popleft()
            work.count(stored, None, str(error))
        else:
            waiting.popleft()
            work.count(stored, status)
