"""Conformance lines 27 to 30 with peers made of bytes: cancelled, hung up, answered oddly."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from vna.dimse.commands import RESPONSE, Command, CommandField
from vna.dimse.pdu import (
    AssociateRequest,
    PduType,
    ProposedContext,
    UserInformation,
    encode_request,
)

CT = (CTImageStorage, [ExplicitVRLittleEndian])


def _study_identifier() -> bytes:
    return b"\x08\x00\x52\x00CS\x06\x00STUDY \x20\x00\x0d\x00UI\x08\x001.2.3.1\x00"


def test_c30_a_cancelled_move_tells_what_remains(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    raw_association: Callable[..., Any],
    three: list[Dataset],
) -> None:
    model = StudyRootQueryRetrieveInformationModelMove
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    peer = raw_association(node, model, ExplicitVRLittleEndian)

    def cancel(number: int) -> int:
        if number == 2:  # while the second sub-operation is under way
            peer.send(peer.message(Command(field=CommandField.C_CANCEL, responded_to=9)))
            node.run(_cancelled(node))
        return 0

    there.status = cancel
    request = Command(
        field=CommandField.C_MOVE,
        message_id=9,
        affected_sop_class=model,
        move_destination="THERE",
        priority=0,
        data_set_type=1,
    )
    peer.send(peer.message(request, _study_identifier()))
    answer = peer.command()
    while answer.status == 0xFF00:  # pending responses come each second
        answer = peer.command()
    assert answer.status == 0xFE00
    assert (answer.remaining, answer.completed, answer.failed) == (1, 2, 0)
    assert len(there.requests) == 2


async def _cancelled(node: Any) -> None:
    while not any(a is not None and a.cancelled == 9 for a in node.server._tasks.values()):
        await asyncio.sleep(0.005)


@pytest.fixture
def raw_get(
    node: Any, store: Callable[..., Any], raw_peer: Callable[..., Any], three: list[Dataset]
) -> Any:
    """A peer made of bytes that has asked for three instances by C-GET, message id 9."""
    assert store(node, *three) == [0, 0, 0]
    model = StudyRootQueryRetrieveInformationModelGet
    peer = raw_peer(node)
    contexts = (
        ProposedContext(1, model, (ExplicitVRLittleEndian,)),
        ProposedContext(3, CTImageStorage, (ExplicitVRLittleEndian,)),
    )
    user = UserInformation(roles={CTImageStorage: (False, True)})
    peer.send(encode_request(AssociateRequest("VNA", "RAW", contexts, user)))
    assert peer.pdu()[0] == PduType.ASSOCIATE_AC
    request = Command(
        field=CommandField.C_GET,
        message_id=9,
        affected_sop_class=model,
        priority=0,
        data_set_type=1,
    )
    peer.send(peer.message(request, _study_identifier()))
    return peer


def _skip_data_set(peer: Any) -> None:
    last = False
    while not last:
        kind, body = peer.pdu()
        assert kind == PduType.DATA
        last = bool(body[5] & 2)


def _answer(request: Command, **changes: Any) -> Command:
    response = {
        "field": CommandField.C_STORE | RESPONSE,
        "responded_to": request.message_id,
        "affected_sop_class": request.affected_sop_class,
        "affected_sop_uid": request.affected_sop_uid,
        "status": 0,
    }
    return Command(**(response | changes))


def test_c29_a_data_set_with_a_response_is_passed_over(raw_get: Any) -> None:
    asked = []
    while (command := raw_get.command()).status != 0:
        if command.field == CommandField.C_STORE:
            asked.append(command.message_id)
            _skip_data_set(raw_get)
            raw_get.send(raw_get.message(_answer(command, data_set_type=1), b"x" * 40_000))
    assert asked == [1, 2, 3]
    assert (command.completed, command.failed, command.warning) == (3, 0, 0)


@pytest.mark.parametrize("changes", [{"responded_to": 77}, {"field": CommandField.C_ECHO}])
def test_c29_no_response_where_one_is_due_ends_the_association(
    raw_get: Any, changes: dict[str, Any]
) -> None:
    request = raw_get.command()
    _skip_data_set(raw_get)
    raw_get.send(raw_get.message(_answer(request)))
    while (request := raw_get.command()).field != CommandField.C_STORE:
        pass
    _skip_data_set(raw_get)
    raw_get.send(raw_get.message(_answer(request, message_id=5, **changes)))
    assert raw_get.pdu()[0] == PduType.ABORT


def test_a_requestor_that_hangs_up_stops_the_move(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    raw_association: Callable[..., Any],
    three: list[Dataset],
) -> None:
    model = StudyRootQueryRetrieveInformationModelMove
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    peer = raw_association(node, model, ExplicitVRLittleEndian)

    def hang_up(number: int) -> int:
        if number == 1:
            peer.close()
            node.run(_lost(node))
        return 0

    there.status = hang_up
    request = Command(
        field=CommandField.C_MOVE,
        message_id=9,
        affected_sop_class=model,
        move_destination="THERE",
        data_set_type=1,
    )
    peer.send(peer.message(request, _study_identifier()))
    node.idle()
    assert len(there.requests) == 1


async def _lost(node: Any) -> None:
    while not any(a is not None and a.lost for a in node.server._tasks.values()):
        await asyncio.sleep(0.005)
