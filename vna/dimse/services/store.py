"""C-STORE as SCP (PS3.4 B, PS3.7 9.1.1): from the socket into the archive, then the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from vna.archive import Ingest, Stored
from vna.dimse.association import Buffer
from vna.dimse.operation import Operation
from vna.dimse.statuses import Refused, Status
from vna.errors import VnaError

__all__ = ["store", "store_at_once"]

log = logging.getLogger(__name__)


async def store(operation: Operation) -> None:
    """Take one object; answer success only once it is durable and findable.

    When the connection is lost before the data set's end, nothing of it is kept.
    """
    ingest = _begin(operation)
    try:
        stored = await _take(operation, ingest)
    finally:
        ingest.abort()
    _acknowledge(operation, stored)


def store_at_once(
    operation: Operation, data: Buffer, ended: Callable[[Exception | None], None]
) -> None:
    """The same for an object that is in memory, whole, and small: no task waits for the archive.

    `ended` is called on the event loop when it was acknowledged, or with what there is instead of
    that. What it raises, nobody is called with.
    """

    def told(stored: Stored | Exception) -> None:
        if isinstance(stored, Exception):
            ended(stored)
            return
        try:
            _acknowledge(operation, stored)
        except Exception as error:  # noqa: BLE001  # what is no answer is logged there
            ended(error)
        else:
            ended(None)

    _begin(operation).whole(data, told)


def _begin(operation: Operation) -> Ingest:
    """Begin to take the object of a request. Raises Refused."""
    command, context = operation.request, operation.context
    if not context.scp or command.affected_sop_class != context.abstract_syntax:
        raise Refused(
            Status.SOP_CLASS_NOT_SUPPORTED, "not the SOP class of the presentation context"
        )
    if not command.has_data_set:
        raise Refused(Status.CANNOT_UNDERSTAND, "C-STORE without a data set")
    return operation.archive.ingest(
        form="dataset",
        transfer_syntax=context.transfer_syntax,
        source=operation.negotiated.calling_ae,
        sop_class=command.affected_sop_class,
        sop_uid=command.affected_sop_uid,
    )


def _acknowledge(operation: Operation, stored: Stored) -> None:
    """Answer for an object that is durable. Raises AssociationLost."""
    status = Status.DATA_SET_ODD if stored.warning else Status.SUCCESS
    log.debug(
        "%s: stored %s: %s",
        operation.association.label,
        operation.request.affected_sop_uid,
        stored.outcome,
    )
    operation.association.answer(operation.pdus(operation.response(status, stored.warning)))


async def _take(operation: Operation, ingest: Ingest) -> Stored:
    """Feed the data set to `ingest` as it arrives, then commit.

    One that is refused half-way is still read to its end: peers read no answer before.
    """
    refusal: VnaError | None = None
    async for piece in operation.association.data():
        if refusal is None:
            try:
                await ingest.write(piece)
            except VnaError as error:
                refusal = error
                ingest.abort()
    operation.pass_turn()
    if refusal is not None:
        raise refusal
    return await ingest.commit()
