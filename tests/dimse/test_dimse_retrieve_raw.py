"""Conformance lines 27 to 30 with peers made of bytes: cancelled, hung up, answered oddly."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

import vna.dimse.stores
from vna.archive import Archive, Run, StoredObject
from vna.dimse.commands import RESPONSE, Command, CommandField
from vna.dimse.pdu import (
    RELEASE_REQUEST,
    AssociateRequest,
    PduType,
    ProposedContext,
    UserInformation,
    encode_request,
)

CT = (CTImageStorage, [ExplicitVRLittleEndian])
MOVE = StudyRootQueryRetrieveInformationModelMove


@pytest.fixture
def raw_move(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    raw_association: Callable[..., Any],
    three: list[Dataset],
) -> tuple[Any, Any, Any]:
    """Return an archive with three instances, the destination THERE, and a raw peer that may move them."""
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    return node, there, raw_association(node, MOVE, ExplicitVRLittleEndian)


def _study_identifier() -> bytes:
    return b"\x08\x00\x52\x00CS\x06\x00STUDY \x20\x00\x0d\x00UI\x08\x001.2.3.1\x00"


def test_c30_a_cancelled_move_tells_what_remains(
    raw_move: tuple[Any, Any, Any],
) -> None:
    node, there, peer = raw_move

    def cancel(number: int) -> int:
        if number == 2:  # while the second sub-operation is under way
            peer.send(peer.message(Command(field=CommandField.C_CANCEL, responded_to=9)))
            node.run(_cancelled(node))
        return 0

    there.status = cancel
    peer.send(_move(peer))
    answer = peer.command()
    while answer.status == 0xFF00:  # pending responses come each second
        answer = peer.command()
    assert answer.status == 0xFE00
    assert (answer.remaining, answer.completed, answer.failed) == (1, 2, 0)
    assert len(there.requests) == 2


@pytest.mark.parametrize("hangs_up", [False, True])
def test_c30_a_destination_that_does_not_answer_keeps_no_cancelled_move(
    raw_move: tuple[Any, Any, Any], hangs_up: bool
) -> None:
    node, there, peer = raw_move
    answer = threading.Event()

    def silent(number: int) -> int:
        if hangs_up:
            peer.close()
        else:
            peer.send(peer.message(Command(field=CommandField.C_CANCEL, responded_to=9)))
        answer.wait(30)
        return 0

    there.status = silent
    request = Command(
        field=CommandField.C_MOVE,
        message_id=9,
        affected_sop_class=MOVE,
        move_destination="THERE",
        priority=0,
        data_set_type=1,
    )
    begin = time.monotonic()
    peer.send(peer.message(request, _study_identifier()))
    try:
        if not hangs_up:
            response = peer.command()
            while response.status == 0xFF00:
                response = peer.command()
            assert response.status == 0xFE00
            assert (response.remaining, response.completed, response.failed) == (2, 0, 1)
            peer.close()
        node.idle()
        assert time.monotonic() - begin < 10
    finally:
        answer.set()
        for thread in threading.enumerate():
            if isinstance(thread, Association):  # pynetdicom's, which closes its socket
                thread.join(30)


async def _cancelled(node: Any) -> None:
    while not any(a is not None and 9 in a.cancelled for a in node.server._tasks.values()):
        await asyncio.sleep(0.005)


@pytest.fixture
def window() -> tuple[int, int] | None:
    """What the peer of `raw_get` proposes: operations that it invokes, and performs, at once."""
    return None


@pytest.fixture
def raw_get(
    node: Any,
    store: Callable[..., Any],
    raw_peer: Callable[..., Any],
    three: list[Dataset],
    window: tuple[int, int] | None,
) -> Any:
    """A peer made of bytes that has asked for three instances by C-GET, message id 9."""
    assert store(node, *three) == [0, 0, 0]
    model = StudyRootQueryRetrieveInformationModelGet
    peer = raw_peer(node)
    contexts = (
        ProposedContext(1, model, (ExplicitVRLittleEndian,)),
        ProposedContext(3, CTImageStorage, (ExplicitVRLittleEndian,)),
    )
    user = UserInformation(roles={CTImageStorage: (False, True)}, window=window)
    peer.send(encode_request(AssociateRequest("VNA", "RAW", contexts, user)))
    assert peer.pdu()[0] == PduType.ASSOCIATE_AC
    peer.send(_get(peer, 9))
    return peer


def _move(peer: Any) -> bytes:
    request = Command(
        field=CommandField.C_MOVE,
        message_id=9,
        affected_sop_class=MOVE,
        move_destination="THERE",
        data_set_type=1,
    )
    return bytes(peer.message(request, _study_identifier()))


def _get(peer: Any, message_id: int) -> bytes:
    request = Command(
        field=CommandField.C_GET,
        message_id=message_id,
        affected_sop_class=StudyRootQueryRetrieveInformationModelGet,
        priority=0,
        data_set_type=1,
    )
    return bytes(peer.message(request, _study_identifier()))


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


def _stores(peer: Any, count: int) -> list[Command]:
    """Return the next C-STORE requests; their data sets and pending responses are passed over."""
    requests: list[Command] = []
    while len(requests) < count:
        command = peer.command()
        if command.field == CommandField.C_STORE:
            _skip_data_set(peer)
            requests.append(command)
    return requests


def _final(peer: Any, message_id: int = 9) -> Command:
    """Return the final response to the retrieval; pending ones are passed over."""
    while (command := peer.command()).status == 0xFF00:
        assert command.responded_to == message_id
    assert command.responded_to == message_id
    return command


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for counts as in memory, though it be read from a disk."""

    def read(archive: Archive, objects: list[StoredObject]) -> Iterator[Run]:
        return ([*archive.dataset(stored)] for stored in objects)

    monkeypatch.setattr(Archive, "datasets_at_hand", read)


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("window", [(1, 2), (1, 0)])
def test_c08_sub_operations_are_under_way_together_and_answered_in_any_order(
    raw_get: Any, three: list[Dataset], window: tuple[int, int]
) -> None:
    first, *others = _stores(raw_get, window[1] or 3)  # none of them answered
    for request in others[::-1]:
        raw_get.send(raw_get.message(_answer(request)))
    rest = _stores(raw_get, 3 - 1 - len(others))
    for request in [*rest, first]:
        status = 0xB000 if request is first else 0
        raw_get.send(raw_get.message(_answer(request, status=status)))
    final = _final(raw_get)
    assert (final.status, final.completed, final.warning, final.failed) == (0xB000, 2, 1, 0)
    took = [request.affected_sop_uid for request in (first, *others, *rest)]
    assert took == [ds.SOPInstanceUID for ds in three]


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("window", [(1, 2)])
def test_c29_a_message_id_that_waits_for_its_response_is_not_used_anew(
    raw_get: Any, window: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vna.dimse.stores, "LAST_MESSAGE_ID", 2)
    first, second = _stores(raw_get, window[1])
    raw_get.send(raw_get.message(_answer(second)))
    (third,) = _stores(raw_get, 1)
    assert third.message_id != first.message_id
    raw_get.send(raw_get.message(_answer(third)) + raw_get.message(_answer(first)))
    assert _final(raw_get).completed == 3


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("window", [(1, 2)])
def test_c30_what_is_under_way_at_a_cancel_is_waited_for(
    raw_get: Any, node: Any, window: tuple[int, int]
) -> None:
    first, second = _stores(raw_get, window[1])
    raw_get.send(raw_get.message(Command(field=CommandField.C_CANCEL, responded_to=9)))
    for request in (second, first):
        raw_get.send(raw_get.message(_answer(request)))
    final = _final(raw_get)
    assert (final.status, final.remaining, final.completed) == (0xFE00, 1, 2)


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("window", [(1, 2)])
@pytest.mark.parametrize("cancelled", [False, True])
def test_c30_responses_that_come_together_count_each(
    raw_get: Any, window: tuple[int, int], cancelled: bool
) -> None:
    requests = _stores(raw_get, window[1])
    messages = [raw_get.message(_answer(request)) for request in requests]
    if cancelled:
        messages.append(raw_get.message(Command(field=CommandField.C_CANCEL, responded_to=9)))
    raw_get.send(b"".join(messages))
    if not cancelled:
        (last,) = _stores(raw_get, 1)
        raw_get.send(raw_get.message(_answer(last)))
    final = _final(raw_get)
    counted = (0xFE00, 1, 2) if cancelled else (0, None, 3)
    assert (final.status, final.remaining, final.completed) == counted


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("window", [(1, 2)])
def test_c29_a_second_response_to_one_request_ends_the_association(
    raw_get: Any, window: tuple[int, int]
) -> None:
    first, _ = _stores(raw_get, window[1])
    answer = raw_get.message(_answer(first))
    raw_get.send(answer + answer)
    kind, _ = raw_get.pdu()
    while kind == PduType.DATA:  # the third instance, and pending responses
        kind, _ = raw_get.pdu()
    assert kind == PduType.ABORT


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


@pytest.fixture(params=[False, True])
def at_hand(request: pytest.FixtureRequest) -> None:
    """What is asked for is in memory, and is not."""
    if request.param:
        request.getfixturevalue("in_memory")


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("window", [(4, 1)])
def test_c08_requests_beside_a_get_are_answered_behind_it(
    raw_get: Any, window: tuple[int, int]
) -> None:
    echo = Command(field=CommandField.C_ECHO, message_id=11)
    cancel = Command(field=CommandField.C_CANCEL, responded_to=12)
    (first,) = _stores(raw_get, 1)
    raw_get.send(_get(raw_get, 10) + raw_get.message(_answer(first)))
    (second,) = _stores(raw_get, 1)
    both = raw_get.message(_answer(second, data_set_type=1), b"x" * 40_000)
    raw_get.send(both + raw_get.message(echo) + _get(raw_get, 12) + raw_get.message(cancel))
    (third,) = _stores(raw_get, 1)
    raw_get.send(raw_get.message(_answer(third)))
    assert _final(raw_get).completed == 3
    for _ in range(3):
        (request,) = _stores(raw_get, 1)
        raw_get.send(raw_get.message(_answer(request)))
    assert _final(raw_get, 10).completed == 3
    assert (_final(raw_get, 11).status, _final(raw_get, 12).status) == (0, 0xFE00)


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("window", [None, (4, 1)])
def test_c08_a_release_beside_a_get_ends_the_association(
    raw_get: Any, window: tuple[int, int] | None
) -> None:
    _stores(raw_get, 1)
    raw_get.send(RELEASE_REQUEST)
    kind, _ = raw_get.pdu()
    while kind == PduType.DATA:  # pending responses
        kind, _ = raw_get.pdu()
    assert kind == PduType.ABORT


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("window", [(4, 1)])
def test_c08_more_beside_a_get_than_is_held_ends_the_association(
    raw_get: Any, node: Any, window: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    _stores(raw_get, 1)
    store = Command(field=CommandField.C_STORE, message_id=10, data_set_type=1)
    with caplog.at_level("INFO"):
        with suppress(ConnectionError):  # it ends in the middle of it
            raw_get.send(raw_get.message(store, bytes(2 << 20)))
        node.idle()
    assert "more was sent beside a C-GET" in caplog.text


def test_requests_beside_a_move_are_held_up_to_a_limit(
    raw_move: tuple[Any, Any, Any],
) -> None:
    _, there, peer = raw_move
    echoes = peer.message(Command(field=CommandField.C_ECHO, message_id=11)) * 1000
    limit, sent = 200, 0

    def flood(number: int) -> int:
        nonlocal sent
        if number == 1:
            peer.socket.settimeout(0.5)
            with suppress(TimeoutError):
                while sent < limit:
                    peer.send(echoes)
                    sent += 1
        return 0

    there.status = flood
    peer.send(_move(peer))
    peer.socket.settimeout(60)
    while peer.command().status == 0xFF00:
        pass
    assert sent < limit  # 16 MB, of which sockets hold some
    assert peer.command().responded_to == 11


def test_a_requestor_that_hangs_up_stops_the_move(
    raw_move: tuple[Any, Any, Any],
) -> None:
    node, there, peer = raw_move

    def hang_up(number: int) -> int:
        if number == 1:
            peer.close()
            node.run(_lost(node))
        return 0

    there.status = hang_up
    peer.send(_move(peer))
    node.idle()
    assert len(there.requests) == 1


async def _lost(node: Any) -> None:
    while not any(a is not None and a.lost for a in node.server._tasks.values()):
        await asyncio.sleep(0.005)
