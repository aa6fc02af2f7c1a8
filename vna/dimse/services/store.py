"""C-STORE as SCP (PS3.4 B, PS3.7 9.1.1): from the socket into the archive, then the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from vna.archive import Ingest, Stored
from vna.dimse.machine import Data, Message
from vna.dimse.operation import Operation
from vna.dimse.statuses import Refused, Status
from vna.errors import VnaError

__all__ = ["Arrival", "Ended", "store"]

log = logging.getLogger(__name__)

Ended: TypeAlias = Callable[[Exception | None], None]
"""Told on the event loop that an operation was answered, or what there is instead of an answer."""


async def store(operation: Operation) -> None:
    """Take one object; answer success only once it is durable and findable.

    When the connection is lost before the data set's end, nothing of it is kept.
    """
    ingest = operation.begun or _begin(operation)
    try:
        stored = await _take(operation, ingest)
    finally:
        ingest.abort()
    _acknowledge(operation, stored)


class Arrival:
    """An object that is taken where it arrives, while it arrives: no task waits for the archive.

    One that turns out to be large is left to `store`.
    """

    def __init__(self, operation: Operation, message: Message, noted: Callable[[], Ended]) -> None:
        """Begin to take the object of `message`. Raises Refused.

        `noted` is called when all has come, and what it returns when that was answered.
        """
        self._operation = operation
        self._message = message
        self._noted = noted
        self._ingest = _begin(operation)
        self._arrived = 0
        self._refusal: Exception | None = None

    def take(self, data: Data) -> Message | None:
        """Take the next piece; or return the message, if the object is for a task from there on.

        One that is refused half-way is still read to its end: peers read no answer before.
        """
        if self._refusal is None:
            self._arrived += len(data.data)
            if not self._operation.archive.takes_at_once(self._arrived):
                return msgspec.structs.replace(self._message, begun=self._ingest)
            try:
                self._ingest.take(data.data)
            except Exception as error:  # noqa: BLE001  # what is no answer is logged at the end
                self._refusal = error
        if data.last:
            self._conclude(self._noted())
        return None

    def lost(self) -> None:
        """Keep nothing of an object that does not come whole."""
        self._ingest.abort()

    def _conclude(self, ended: Ended) -> None:
        def told(stored: Stored | Exception) -> None:
            if isinstance(stored, Exception):
                ended(stored)
                return
            try:
                _acknowledge(self._operation, stored)
            except Exception as error:  # noqa: BLE001  # what is no answer is logged there
                ended(error)
            else:
                ended(None)

        if self._refusal is not None:
            ended(self._refusal)
            return
        try:
            self._ingest.conclude(told)
        except Exception as error:  # noqa: BLE001  # what is no answer is logged there
            ended(error)


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
