"""The upper layer state machine (PS3.8 9.2) of one association, either side. No I/O, no clock.

What the deframer found goes in by `receive`, which says what it means; the other methods are our
own moves and return the bytes to send. A move that the state does not allow raises ProtocolError,
upon which the caller sends `abort` and closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from vna._native import ProtocolError
from vna.dimse import commands, pdu
from vna.dimse.commands import Command
from vna.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    PduType,
)

__all__ = ["Data", "Event", "Machine", "Message", "ReleaseRequested", "Released", "State"]


COMMAND_BYTES: Final = 512
"""What a command takes in memory beside its text."""


class State(Enum):
    """States of PS3.8 table 9-10, by the number there."""

    IDLE = 1
    AWAIT_REQUEST = 2
    DECIDING = 3
    AWAIT_ACCEPT = 5
    ESTABLISHED = 6
    AWAIT_RELEASE_REPLY = 7
    RELEASING = 8
    AWAIT_CLOSE = 13


class Message(msgspec.Struct, frozen=True):
    """A command arrived; `Data` follow when it says so. `begun` is what was made of data before them.

    `held` is the memory that it takes, in bytes.
    """

    context: int
    command: Command
    begun: Any = None
    held: int = 0


class Data(msgspec.Struct, frozen=True):
    """The next bytes of the data set that belongs to the last message."""

    data: bytes | memoryview
    last: bool


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer wants to release; answer with `release_reply`."""


@dataclass(frozen=True, slots=True)
class Released:
    """The peer confirmed our release; the connection may close."""


Event: TypeAlias = (
    AssociateRequest
    | AssociateAccept
    | AssociateReject
    | Abort
    | Message
    | Data
    | ReleaseRequested
    | Released
)


class Machine:
    """One association's protocol state. `state` may be read, not set."""

    def __init__(self, *, acceptor: bool) -> None:
        self.state = State.AWAIT_REQUEST if acceptor else State.IDLE
        self._contexts: frozenset[int] = frozenset()
        self._data_context: int | None = None

    @property
    def artim(self) -> bool:
        """Whether the ARTIM timer runs: the peer owes us a first word, or the end of the connection."""
        state = self.state
        return state is State.AWAIT_REQUEST or state is State.AWAIT_CLOSE

    @property
    def in_message(self) -> bool:
        """Whether a data set has been announced and not ended."""
        return self._data_context is not None

    def receive(self, kind: int, which: int, content: Any) -> Event | None:
        """Return what an event of the deframer means; None when it is to be passed over."""
        # Compared by identity: the hash of a State is a call of Python's, and this is the path of data.
        state = self.state
        over = state is State.AWAIT_CLOSE or state is State.IDLE
        if over and (kind, which) != (0, PduType.ABORT):
            return None  # table 9-10, AA-6: all is ignored but A-ABORT, which closes (AA-2)
        if kind == 0:
            return self._receive_pdu(which, content)
        if state is not State.ESTABLISHED and state is not State.AWAIT_RELEASE_REPLY:
            raise ProtocolError("P-DATA-TF outside an association")
        if which not in self._contexts:
            raise ProtocolError(
                f"P-DATA-TF for presentation context {which}, which was not accepted"
            )
        if kind == 1:
            if self._data_context is not None:
                raise ProtocolError("a command in the middle of a data set")
            command = commands.decode(content)
            if command.has_data_set:
                self._data_context = which
            return Message(which, command, held=COMMAND_BYTES + len(content))
        if which != self._data_context:
            raise ProtocolError("a data set that no command announced")
        if kind == 3:
            self._data_context = None
        return Data(content, last=kind == 3)

    def _receive_pdu(self, kind: int, content: bytes) -> Event | None:
        event: Event | None = None
        match kind, self.state:
            case PduType.ABORT, _:
                event, self.state = pdu.decode_abort(content), State.IDLE
            case PduType.ASSOCIATE_RQ, State.AWAIT_REQUEST:
                event, self.state = pdu.decode_request(content), State.DECIDING
            case PduType.ASSOCIATE_AC, State.AWAIT_ACCEPT:
                event, self.state = pdu.decode_accept(content), State.ESTABLISHED
                self._contexts = event.accepted
            case PduType.ASSOCIATE_RJ, State.AWAIT_ACCEPT:
                event, self.state = pdu.decode_reject(content), State.IDLE
            case PduType.RELEASE_RQ, State.ESTABLISHED if not self.in_message:
                event, self.state = ReleaseRequested(), State.RELEASING
            case PduType.RELEASE_RQ, State.AWAIT_RELEASE_REPLY:
                event = ReleaseRequested()  # both asked (AR-8): answer, and go on waiting for ours
            case PduType.RELEASE_RP, State.AWAIT_RELEASE_REPLY:
                event, self.state = Released(), State.IDLE
            case _:
                raise ProtocolError(f"PDU of type {kind} in state {self.state.name}")
        return event

    def request(self, request: AssociateRequest) -> bytes:
        """Ask for an association on a connection that was just made."""
        self._expect(State.IDLE)
        self.state = State.AWAIT_ACCEPT
        return pdu.encode_request(request)

    def accept(self, accept: AssociateAccept) -> bytes:
        """Accept the association that was requested."""
        self._expect(State.DECIDING)
        self.state = State.ESTABLISHED
        self._contexts = accept.accepted
        return pdu.encode_accept(accept)

    def reject(self, reject: AssociateReject) -> bytes:
        """Reject the association that was requested; the peer is to close."""
        self._expect(State.DECIDING)
        self.state = State.AWAIT_CLOSE
        return reject.encode()

    def release(self) -> bytes:
        """Ask for release."""
        self._expect(State.ESTABLISHED)
        self.state = State.AWAIT_RELEASE_REPLY
        return pdu.RELEASE_REQUEST

    def release_reply(self) -> bytes:
        """Agree to the peer's release; the peer is to close."""
        if self.state is State.RELEASING:
            self.state = State.AWAIT_CLOSE
        else:
            self._expect(State.AWAIT_RELEASE_REPLY)
        return pdu.RELEASE_REPLY

    def abort(self, source: int, reason: int) -> bytes:
        """Give up; the peer is to close."""
        self.state = State.AWAIT_CLOSE
        return Abort(source, reason).encode()

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise ProtocolError(f"not possible in state {self.state.name}")
