"""What follows on an association: P-DATA-TF, command sets, release; cut anywhere, it is the same.

The first byte of an input says into how large pieces the stream is cut.
"""

from __future__ import annotations

from contextlib import suppress

from fuzzing import Target

from vna._native import Deframer, Landing, ProtocolError, pdata
from vna.dimse import commands
from vna.dimse.commands import Command, CommandField
from vna.dimse.machine import Data, Machine, Message
from vna.dimse.negotiation import Negotiated, negotiate
from vna.dimse.pdu import (
    RELEASE_REQUEST,
    Abort,
    AssociateRequest,
    ProposedContext,
    UserInformation,
    encode_request,
)
from vna.dimse.settings import DimseSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
REQUEST = AssociateRequest(
    "VNA", "FUZZ", (ProposedContext(1, CT, ("1.2.840.10008.1.2.1",)),), UserInformation()
)
MAX_PDU = 16384
ENDED: list[object] = ["the association is over"]


class Messages(Target):
    name = "messages"

    def seeds(self) -> list[bytes]:
        store = Command(
            field=CommandField.C_STORE,
            message_id=1,
            affected_sop_class=CT,
            affected_sop_uid="1.2.3",
            priority=0,
            data_set_type=1,
        )
        answer = Command(
            field=0x8020, responded_to=1, status=0xFF00, offending=(0x00100010,), comment="why"
        )
        cancel = Command(field=CommandField.C_CANCEL, responded_to=1)
        sent = encode_request(REQUEST)
        streams = [
            sent + _message(store, bytes(range(256)) * 3) + RELEASE_REQUEST,
            sent + _message(answer) + _message(cancel) + Abort(0, 0).encode(),
            sent + _message(store, b"\1" * 3_000),
        ]
        return [bytes([piece]) + stream for piece in (1, 7, 255) for stream in streams]

    def check(self, data: bytes) -> None:
        if not data:
            return
        size, stream = data[0], data[1:]
        whole = _received(stream, max(len(stream), 1))
        assert _received(stream, max(size, 1)) == whole
        for event in whole:
            if isinstance(event, Command):
                _round_trip(event)
        with suppress(ProtocolError):
            _round_trip(commands.decode(stream))


def _message(command: Command, data: bytes | None = None) -> bytes:
    out = pdata(1, commands.encode(command), command=True, last=True, max_pdu_length=0)
    if data is not None:
        out += pdata(1, data, command=False, last=True, max_pdu_length=512)
    return b"".join(out)


def _received(stream: bytes, size: int) -> list[object]:
    """Return what an acceptor makes of a stream that comes in pieces: data of one data set joined.

    A breach ends the association, and what its piece completed before it is lost with it
    (`Deframer.received`): then nothing but the end is compared.
    """
    deframer, machine, landing = Deframer(MAX_PDU), Machine(acceptor=True), Landing()
    seen: list[object] = []
    try:
        for at in range(0, len(stream), size):
            piece = stream[at : at + size]
            landing.room()[: len(piece)] = piece
            for event in deframer.received(landing, len(piece)):
                meant = machine.receive(*event)
                if isinstance(meant, AssociateRequest):
                    answer = negotiate(meant, DimseSettings(check_called_ae=False))
                    if not isinstance(answer, Negotiated):
                        return ENDED
                    machine.accept(answer.accept)
                if isinstance(meant, Data) and seen and isinstance(seen[-1], Data):
                    if not seen[-1].last:
                        meant = Data(bytes(seen.pop().data) + bytes(meant.data), meant.last)
                elif isinstance(meant, Message):
                    seen.append(meant.context)
                    meant = meant.command
                seen.append(meant)
    except ProtocolError:
        return ENDED
    return [each for each in seen if each != Data(b"", last=False)]


def _round_trip(command: Command) -> None:
    """What was read can be written: the same, but for characters that no command set may have."""
    once = commands.decode(commands.encode(command))
    assert commands.decode(commands.encode(once)) == once
    assert (once.field, once.message_id, once.responded_to) == (
        command.field,
        command.message_id,
        command.responded_to,
    )
