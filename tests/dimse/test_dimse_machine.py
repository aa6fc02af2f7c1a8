"""The upper layer state machine, without I/O."""

from dataclasses import replace

import pytest

from vna._native import ProtocolError
from vna.dimse import commands, pdu
from vna.dimse.commands import Command, CommandField
from vna.dimse.machine import Data, Machine, Message, Released, ReleaseRequested, State
from vna.dimse.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ProposedContext,
    UserInformation,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
REQUEST = AssociateRequest(
    "VNA",
    "PEER",
    (ProposedContext(1, CT, (EXPLICIT,)), ProposedContext(3, CT, ("1.2.3",))),
    UserInformation(),
)
ACCEPT = AssociateAccept(
    "VNA", "PEER", (ContextResult(1, 0, EXPLICIT), ContextResult(3, 4, "1.2.3")), UserInformation()
)
STORE = Command(field=CommandField.C_STORE, message_id=7, data_set_type=1, affected_sop_class=CT)
ECHO = Command(field=CommandField.C_ECHO, message_id=8)


def established() -> Machine:
    machine = Machine(acceptor=True)
    machine.receive(0, 1, pdu.encode_request(REQUEST))
    machine.accept(ACCEPT)
    return machine


def requestor() -> Machine:
    machine = Machine(acceptor=False)
    machine.request(REQUEST)
    machine.receive(0, 2, pdu.encode_accept(ACCEPT))
    return machine


def test_request_accept_release() -> None:
    machine = Machine(acceptor=True)
    assert machine.artim
    request = machine.receive(0, 1, pdu.encode_request(REQUEST))
    assert isinstance(request, AssociateRequest)
    assert (request.called_ae, request.calling_ae) == ("VNA", "PEER")
    assert request.contexts == REQUEST.contexts
    assert machine.state is State.DECIDING
    assert not machine.artim
    machine.accept(ACCEPT)
    assert machine.state is State.ESTABLISHED
    assert isinstance(machine.receive(0, 5, pdu.RELEASE_REQUEST), ReleaseRequested)
    assert machine.release_reply() == pdu.RELEASE_REPLY
    assert machine.state is State.AWAIT_CLOSE
    assert machine.artim


def test_reject_waits_for_the_peer_to_close() -> None:
    machine = Machine(acceptor=True)
    machine.receive(0, 1, pdu.encode_request(REQUEST))
    rejected = machine.reject(AssociateReject(1, 1, 7))
    assert rejected == bytes.fromhex("03 00 00000004 00 01 01 07")
    assert machine.artim
    assert machine.receive(0, 1, pdu.encode_request(REQUEST)) is None


def test_requestor_learns_what_was_accepted() -> None:
    machine = Machine(acceptor=False)
    machine.request(REQUEST)
    accept = machine.receive(0, 2, pdu.encode_accept(ACCEPT))
    assert isinstance(accept, AssociateAccept)
    assert accept.contexts == ACCEPT.contexts
    assert accept.accepted == {1}


def test_an_odd_sop_class_is_proposed_without_a_warning() -> None:
    context = ProposedContext(1, "1.2.03", ("1.2.840.10008.1.2",))
    request = replace(REQUEST, contexts=(context,))
    assert pdu.decode_request(pdu.encode_request(request)).contexts == (context,)


def test_requestor_learns_of_a_rejection() -> None:
    machine = Machine(acceptor=False)
    machine.request(REQUEST)
    assert machine.receive(0, 3, AssociateReject(2, 3, 2).encode()) == AssociateReject(2, 3, 2)
    assert machine.state is State.IDLE


def test_both_sides_release_at_once() -> None:
    machine = requestor()
    machine.release()
    assert isinstance(machine.receive(0, 5, pdu.RELEASE_REQUEST), ReleaseRequested)
    assert machine.release_reply() == pdu.RELEASE_REPLY
    assert isinstance(machine.receive(0, 6, pdu.RELEASE_REPLY), Released)


def test_message_with_data_set() -> None:
    machine = established()
    message = machine.receive(1, 1, commands.encode(STORE))
    assert isinstance(message, Message)
    assert message.command.affected_sop_class == CT
    assert machine.in_message
    assert machine.receive(2, 1, b"ab") == Data(b"ab", last=False)
    assert machine.receive(3, 1, b"cd") == Data(b"cd", last=True)
    assert not machine.in_message


@pytest.mark.parametrize(
    ("kind", "which", "content"),
    [
        (1, 3, commands.encode(ECHO)),  # a context that was refused
        (1, 5, commands.encode(ECHO)),  # a context that nobody proposed
        (3, 1, b"ab"),  # a data set without a command
        (1, 1, b"\0\0\0\0"),  # not a command set
        (1, 1, commands.encode(Command(field=CommandField.C_ECHO))),  # no message id
        (0, 1, pdu.encode_request(REQUEST)),  # a second association on this one
        (0, 2, pdu.encode_accept(ACCEPT)),
        (0, 6, pdu.RELEASE_REPLY),
        (0, 9, b"\x09\0\0\0\0\0"),  # a PDU type that does not exist
    ],
)
def test_what_the_protocol_forbids(kind: int, which: int, content: bytes) -> None:
    with pytest.raises(ProtocolError):
        established().receive(kind, which, content)


def test_a_command_or_release_inside_a_data_set_is_refused() -> None:
    machine = established()
    machine.receive(1, 1, commands.encode(STORE))
    with pytest.raises(ProtocolError):
        machine.receive(1, 1, commands.encode(ECHO))
    with pytest.raises(ProtocolError):
        machine.receive(0, 5, pdu.RELEASE_REQUEST)


def test_data_before_an_association_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Machine(acceptor=True).receive(1, 1, commands.encode(ECHO))


def test_abort_ends_everything() -> None:
    machine = established()
    assert machine.receive(0, 7, Abort(2, 1).encode()) == Abort(2, 1)
    assert machine.receive(1, 1, commands.encode(ECHO)) is None
    assert established().abort(2, 2) == bytes.fromhex("07 00 00000004 0000 02 02")


def test_abort_instead_of_closing_ends_the_wait() -> None:
    machine = established()
    machine.receive(0, 5, pdu.RELEASE_REQUEST)
    machine.release_reply()
    assert machine.receive(0, 5, pdu.RELEASE_REQUEST) is None
    assert machine.receive(0, 7, Abort(0, 0).encode()) == Abort(0, 0)
    assert not machine.artim


def test_moves_out_of_turn_are_refused() -> None:
    machine = Machine(acceptor=True)
    for move in (machine.release, machine.release_reply, lambda: machine.accept(ACCEPT)):
        with pytest.raises(ProtocolError):
            move()
