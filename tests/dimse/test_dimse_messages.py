"""PDUs, command sets, statuses: bytes to values and back."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_FIND_RSP, C_STORE_RQ
from pynetdicom.dimse_primitives import C_FIND, C_STORE

import vna.errors
from vna._native import ProtocolError
from vna.dimse import commands, pdu
from vna.dimse.commands import Command, CommandField
from vna.dimse.pdu import AssociateRequest, ProposedContext, UserInformation
from vna.dimse.statuses import TABLE, Status, failure
from vna.errors import VnaError

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_command_sets_are_those_of_pynetdicom() -> None:
    request = C_STORE()
    request.MessageID = 7
    request.AffectedSOPClassUID = CT
    request.AffectedSOPInstanceUID = "1.2.3"
    request.Priority = 2
    request.MoveOriginatorApplicationEntityTitle = "MOVER"
    request.MoveOriginatorMessageID = 9
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 1
    theirs = b"".join(
        data[1:]
        for block in message.encode_msg(1, 0)
        for _, data in block.presentation_data_value_list
    )
    ours = Command(
        field=CommandField.C_STORE,
        message_id=7,
        affected_sop_class=CT,
        affected_sop_uid="1.2.3",
        priority=2,
        data_set_type=1,
        originator="MOVER",
        originator_id=9,
    )
    assert commands.decode(theirs) == ours
    assert commands.decode(commands.encode(ours)) == ours


def test_pynetdicom_reads_our_response() -> None:
    ours = Command(
        field=CommandField.C_FIND | commands.RESPONSE,
        responded_to=3,
        affected_sop_class=CT,
        status=0xA900,
        comment="why",
        offending=(0x0020000D, 0x00080052),
    )
    message = C_FIND_RSP()
    from io import BytesIO

    from pynetdicom.dsutils import decode

    message.command_set = decode(BytesIO(commands.encode(ours)), True, True)
    primitive = message.message_to_primitive()
    assert isinstance(primitive, C_FIND)
    assert (primitive.Status, primitive.ErrorComment) == (0xA900, "why")
    assert list(primitive.OffendingElement) == [0x0020000D, 0x00080052]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_set_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        commands.decode(data)


REQUEST = AssociateRequest(
    "VNA",
    "PEER",
    tuple(
        ProposedContext(2 * n + 1, f"1.2.{n}", ("1.2.840.10008.1.2", "1.9.9")) for n in range(128)
    ),
    UserInformation(
        max_pdu_length=16384,
        window=(5, 3),
        roles={CT: (False, True)},
        extended={CT: b"\1\0\1"},
    ),
)


def test_associate_request_round_trip() -> None:
    assert pdu.decode_request(pdu.encode_request(REQUEST)) == REQUEST


def test_items_that_are_not_known_are_passed_over() -> None:
    plain = pdu.encode_request(REQUEST)
    user = plain.rindex(b"\x50\x00", 0, plain.rindex(b"\x51\x00\x00\x04"))
    inner = plain[user + 4 :] + b"\x7a\x00\x00\x02ab"
    odd = plain[:user] + b"\x99\x00\x00\x01x" + struct.pack(">BxH", 0x50, len(inner)) + inner
    assert pdu.decode_request(odd) == REQUEST


def test_very_many_items_are_refused_before_they_are_read() -> None:
    plain = pdu.encode_request(pdu.AssociateRequest("VNA", "CALLER", (), pdu.UserInformation()))
    body = bytes((1, 0, 0, 0)) + b"\x30\x00\x00\x031.2" + b"\x40\x00\x00\x011" * 12_000
    context = struct.pack(">BxH", 0x20, len(body)) + body
    assert len(pdu.decode_request(plain + context).contexts) == 1
    with pytest.raises(ProtocolError, match="more than 16384 items"):
        pdu.decode_request(plain + context * 2)


@given(st.data())
def test_any_bytes_are_an_associate_request_or_a_protocol_error(data: st.DataObject) -> None:
    plain = bytearray(pdu.encode_request(REQUEST)[:600])
    for _ in range(data.draw(st.integers(0, 4))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        pdu.decode_request(bytes(plain[: data.draw(st.integers(0, len(plain)))]))


def kinds(kind: type[VnaError] = VnaError) -> list[type[VnaError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in kinds(below))]


@pytest.mark.parametrize("verb", list(TABLE))
def test_c14_every_kind_of_error_has_a_status(verb: CommandField) -> None:
    # other rooms' kinds are found here too, once any test has imported them
    for kind in (kind for kind in kinds() if kind.__module__ == vna.errors.__name__):
        assert kind in TABLE[verb], kind
        answer = failure(verb, kind("x" * 100))
        assert answer.status >> 12 in {0xA, 0xC} or answer.status in {
            Status.NOT_AUTHORIZED,
            Status.SOP_CLASS_NOT_SUPPORTED,
        }
        assert answer.comment == "x" * 64
