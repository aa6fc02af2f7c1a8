"""One operation that a peer asked for, and how it is answered."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from vna.archive import Archive, Ingest
from vna.dimse.association import Association, Buffer
from vna.dimse.commands import RESPONSE, Command, name_of
from vna.dimse.negotiation import Context, Negotiated
from vna.dimse.settings import DimseSettings
from vna.dimse.statuses import COMMENT_LENGTH, Refused, Status, kind_of
from vna.observe import metrics

__all__ = ["Operation"]

MAX_IDENTIFIER: Final = 16 << 20


class Operation(msgspec.Struct, frozen=True):
    """A request and everything it may be served with."""

    archive: Archive
    settings: DimseSettings
    association: Association
    negotiated: Negotiated
    context: Context
    request: Command
    turn: asyncio.Future[None] | None = None
    """Done when the next request may be read while this one goes on; None: when it has ended."""
    begun: Ingest | None = None
    """The object of which a part has been taken where it arrived."""

    @property
    def holds_turn(self) -> bool:
        """Whether what comes next on the association is this operation's."""
        return self.turn is None or not self.turn.done()

    def pass_turn(self) -> None:
        """Let the next request be read, if the peer may send one: this one's data set has been.

        Whoever answers this one counts it out of the association's `working` then.
        """
        if self.turn is not None:
            self.turn.set_result(None)
            self.association.working += 1

    @property
    def cancelled(self) -> bool:
        """Whether the peer has sent C-CANCEL for this request."""
        return self.request.message_id in self.association.cancelled

    async def identifier(self) -> bytes:
        """Return the request's identifier whole. Raises Refused."""
        if not self.request.has_data_set:
            raise Refused(Status.DOES_NOT_MATCH, "the request has no identifier")
        parts, size = [], 0
        async for part in self.association.data():
            size += len(part)
            if size > MAX_IDENTIFIER:
                raise Refused(Status.DOES_NOT_MATCH, "the identifier is too long")
            parts.append(part)
        return b"".join(parts)

    def response(self, status: int, comment: str = "") -> Command:
        """Return a response command set, to which more can be added."""
        return Command(
            field=self.request.field | RESPONSE,
            responded_to=self.request.message_id,
            affected_sop_class=self.request.affected_sop_class or self.context.abstract_syntax,
            affected_sop_uid=self.request.affected_sop_uid,
            status=status,
            comment=comment[:COMMENT_LENGTH],
        )

    def pdus(self, command: Command, data: bytes | None = None) -> list[Buffer]:
        """Return the PDUs of a response; the last one of a request is counted."""
        kind = kind_of(command.status)
        if kind != "pending":
            metrics.DIMSE_OPERATIONS.add(name_of(self.request.field), kind)
        return self.association.message_pdus(self.context.id, command, data)

    def send(self, command: Command, data: bytes | None = None) -> None:
        """Send a response."""
        self.association.writelines(self.pdus(command, data))

    def respond(self, status: int, comment: str = "", offending: tuple[int, ...] = ()) -> None:
        """Send a response without a data set."""
        command = self.response(status, comment)
        command.offending = offending
        self.send(command)
