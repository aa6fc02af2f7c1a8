"""The acceptor's side of one association: negotiate, then serve one request after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from vna._native import ProtocolError
from vna.archive import Archive
from vna.dimse.association import UNEXPECTED_PDU, Association, AssociationLost, Buffer
from vna.dimse.commands import CommandField, name_of
from vna.dimse.machine import Message
from vna.dimse.negotiation import REJECT_LOCAL_LIMIT, SMALLEST_PDU, Negotiated, negotiate
from vna.dimse.operation import Operation
from vna.dimse.outstanding import Outstanding
from vna.dimse.pdu import AssociateReject, AssociateRequest
from vna.dimse.services.echo import echo
from vna.dimse.services.find import find
from vna.dimse.services.get import get
from vna.dimse.services.move import move
from vna.dimse.services.store import Arrival, Ended, store
from vna.dimse.settings import DimseSettings
from vna.dimse.statuses import Refused, Status, failure
from vna.errors import VnaError
from vna.observe import metrics
from vna.types.remote import Permission

__all__ = ["Acceptor"]

log = logging.getLogger(__name__)

Service: TypeAlias = Callable[[Operation], Awaitable[None]]

SERVICES: Final[dict[int, tuple[Permission, Service]]] = {
    CommandField.C_ECHO: ("echo", echo),
    CommandField.C_STORE: ("store", store),
    CommandField.C_FIND: ("query", find),
    CommandField.C_MOVE: ("retrieve", move),
    CommandField.C_GET: ("retrieve", get),
}
"""Per verb: what a remote needs in its `may`, and who serves it."""


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Serves associations with an archive. `has_room` says whether one more is wanted."""

    archive: Archive
    settings: DimseSettings
    has_room: Callable[[], bool]

    async def attend(self, association: Association) -> None:
        """Serve one association from its request to its end; never raises."""
        try:
            negotiated = await self._negotiate(association)
            if negotiated is not None:
                await self._serve_all(association, negotiated)
                log.info("%s: released", association.label)
            metrics.ASSOCIATIONS.add("released" if negotiated is not None else "rejected")
        except AssociationLost as lost:
            metrics.ASSOCIATIONS.add("aborted")
            log.info("%s: ended: %s", association.label, lost)
        except ProtocolError as error:
            metrics.ASSOCIATIONS.add("aborted")
            log.warning("%s: aborted, protocol error: %s", association.label, error)
            association.abort(UNEXPECTED_PDU, f"protocol error: {error}")
        except Exception:
            metrics.ASSOCIATIONS.add("aborted")
            log.exception("%s: aborted, internal error", association.label)
            association.abort(why="internal error")

    async def _negotiate(self, association: Association) -> Negotiated | None:
        request = await association.event()
        if not isinstance(request, AssociateRequest):
            raise ProtocolError(f"unexpected {type(request).__name__}")
        association.label = f"{request.calling_ae or '?'} at {association.label}"
        answer = negotiate(request, self.settings) if self.has_room() else REJECT_LOCAL_LIMIT
        if isinstance(answer, AssociateReject):
            log.warning(
                "%s: association to %s rejected (result %d, source %d, reason %d)",
                association.label,
                request.called_ae or "?",
                answer.result,
                answer.source,
                answer.reason,
            )
            association.write(association.machine.reject(answer))
            return None
        if 0 < answer.max_pdu_length < SMALLEST_PDU:
            raise ProtocolError(f"a maximum PDU length of {answer.max_pdu_length} carries nothing")
        association.peer_max_pdu_length = answer.max_pdu_length
        association.ahead = answer.window > 1
        association.write(association.machine.accept(answer.accept))
        log.info(
            "%s: accepted, %d of %d contexts, peer is %s",
            association.label,
            len(answer.contexts),
            len(request.contexts),
            request.user.implementation_version,
        )
        return answer

    async def _serve_all(self, association: Association, negotiated: Negotiated) -> None:
        """Serve requests until the peer releases the association and all have been answered."""
        outstanding = Outstanding(negotiated.window)

        def offer(message: Message, first: Buffer) -> Arrival | None:
            return self._arrival(association, negotiated, outstanding, message, first)

        try:
            while (message := await association.message(offer)) is not None:
                await self._serve(association, negotiated, outstanding, message)
        finally:
            await outstanding.settle()
        association.write(association.machine.release_reply())

    async def _serve(
        self,
        association: Association,
        negotiated: Negotiated,
        outstanding: Outstanding,
        message: Message,
    ) -> None:
        command = message.command
        if command.is_response:
            raise ProtocolError(f"response {command.field:04X} to nothing")
        context = negotiated.contexts[message.context]
        ahead = command.field == CommandField.C_STORE and outstanding.window > 1
        turn = asyncio.get_running_loop().create_future() if ahead else None
        operation = Operation(
            self.archive,
            self.settings,
            association,
            negotiated,
            context,
            command,
            turn,
            message.begun,
        )
        association.busy = True
        try:
            await association.drained()  # who does not read its answers is not given more of them
            if turn is not None:
                await outstanding.begin(self._answer_meanwhile(operation), turn)
            else:
                await outstanding.settle()
                await self._answer(operation)
        finally:
            association.busy = False

    async def _answer_meanwhile(self, operation: Operation) -> None:
        """Answer an operation beside others; never raises."""
        try:
            await self._answer(operation)
        except AssociationLost:
            pass  # whoever reads the association is told
        except Exception:
            log.exception("%s: aborted, internal error", operation.association.label)
            operation.association.abort(why="internal error")
        finally:
            if not operation.holds_turn:
                operation.association.working -= 1

    def _arrival(
        self,
        association: Association,
        negotiated: Negotiated,
        outstanding: Outstanding,
        message: Message,
        first: Buffer,
    ) -> Arrival | None:
        """Return what takes the object of a C-STORE where it arrives, if it needs no task so far."""
        command = message.command
        if (
            command.field != CommandField.C_STORE
            or outstanding.full
            or association.held_back
            or not self.archive.takes_at_once(len(first))
        ):
            return None
        context = negotiated.contexts[message.context]
        operation = Operation(
            self.archive, self.settings, association, negotiated, context, command
        )
        try:
            self._service(operation)
            return Arrival(operation, message, partial(self._noted, operation, outstanding))
        except Refused:
            return None  # which a task answers

    def _noted(self, operation: Operation, outstanding: Outstanding) -> Ended:
        """Count an operation that no task waits for; return what ends it."""
        association, end = operation.association, outstanding.note()
        association.working += 1

        def ended(error: Exception | None) -> None:
            try:
                if error is not None:
                    self._fail(operation, error)
            except AssociationLost:
                pass  # whoever reads the association is told
            except Exception:
                log.exception("%s: aborted, internal error", association.label)
                association.abort(why="internal error")
            finally:
                association.working -= 1
                end()

        return ended

    async def _answer(self, operation: Operation) -> None:
        try:
            await self._service(operation)(operation)
        except (Refused, VnaError) as error:
            if operation.holds_turn and not isinstance(error, AssociationLost):
                await operation.association.skip_data()
            self._fail(operation, error)

    def _service(self, operation: Operation) -> Service:
        """Return who serves an operation. Raises Refused."""
        permission, service = SERVICES.get(operation.request.field, (None, None))
        if permission is None or service is None:
            raise Refused(Status.UNRECOGNIZED_OPERATION, "unrecognized operation")
        remote = self.settings.remote(operation.negotiated.calling_ae)
        if remote is not None and permission not in remote.may:
            raise Refused(Status.NOT_AUTHORIZED, f"{remote.ae_title} may not {permission}")
        return service

    def _fail(self, operation: Operation, error: Exception) -> None:
        """Answer an operation that failed. Raises AssociationLost, and what is no answer."""
        association, request = operation.association, operation.request
        if isinstance(error, Refused):
            answer = error.failure
        elif isinstance(error, VnaError) and not isinstance(error, AssociationLost):
            association.check()
            answer = failure(CommandField(request.field), error)
        else:
            raise error
        # The comment on a query may quote its keys, which are the patient's.
        why = "a query" if request.field == CommandField.C_FIND else answer.comment
        log.warning(
            "%s: %s %s: status %04X, %s",
            association.label,
            name_of(request.field),
            request.affected_sop_uid,
            answer.status,
            why,
        )
        operation.respond(answer.status, answer.comment, answer.offending)
