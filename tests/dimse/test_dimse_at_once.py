"""C-STOREs of small objects: taken where they arrive, answered like all others."""

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

import vna.archive.ingest
from vna._native import Landing
from vna.archive import ArchiveSettings, Ingest, Stored
from vna.archive.commit import Proposal
from vna.archive.ingest import SMALL_PIECE
from vna.dimse.association import Association, AssociationLost
from vna.dimse.commands import RESPONSE, Command, CommandField
from vna.dimse.machine import Data, Machine, Message
from vna.dimse.pdu import (
    RELEASE_REQUEST,
    AssociateAccept,
    AssociateRequest,
    PduType,
    UserInformation,
    encode_request,
)
from vna.dimse.settings import DimseSettings
from vna.errors import Invalid
from vna.types import DeleteCommit, Level

WAIT_S = 60
REQUEST = AssociateRequest("VNA", "RAW", (), UserInformation())


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each object was ended: `conclude` where it arrived, or `commit` by a task."""
    ways: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        does = getattr(Ingest, name)

        def call(*args: Any) -> Any:
            ways.append(name)
            return does(*args)

        return call

    for name in ("conclude", "commit"):
        monkeypatch.setattr(Ingest, name, noted(name))
    return ways


@pytest.fixture
def piece_taken(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a piece of an object has been taken where it arrived."""
    event = threading.Event()
    take = Ingest.take

    def noted(ingest: Ingest, piece: Any) -> None:
        take(ingest, piece)
        event.set()

    monkeypatch.setattr(Ingest, "take", noted)
    return event


@pytest.fixture
def associated(raw_association: Callable[..., Any]) -> Any:
    """Return a raw peer with context 1 for CT."""
    return lambda node: raw_association(node, CTImageStorage, ExplicitVRLittleEndian)


@pytest.fixture
def peer(node: Any, associated: Any) -> Any:
    """A raw peer with context 1 for CT."""
    return associated(node)


@pytest.fixture
def message(instance: Callable[..., Any], encoded: Callable[..., Any]) -> Any:
    """Return the PDUs of a C-STORE of an instance, a new one; it can be sent under a wrong UID."""

    def make(
        peer: Any, message_id: int, pixels: bytes | None = None, ds: Any = None, **wrong: str
    ) -> bytes:
        ds = ds or instance()
        if pixels is not None:
            ds.PixelData = pixels
        command = Command(
            field=CommandField.C_STORE,
            message_id=message_id,
            priority=0,
            data_set_type=1,
            **(
                {"affected_sop_class": CTImageStorage, "affected_sop_uid": ds.SOPInstanceUID}
                | wrong
            ),
        )
        return bytes(peer.message(command, encoded(ds)))

    return make


class Held:
    """Holds the thread that commits until it is let go."""

    def __init__(self, archive: Any) -> None:
        held, self._go_on = threading.Event(), threading.Event()

        def hold(stamp: int) -> DeleteCommit:
            held.set()
            self._go_on.wait(WAIT_S)
            return DeleteCommit(stamp, Level.INSTANCE, "9.9", "nothing has this UID")

        archive._committer.submit(Proposal(hold))
        assert held.wait(WAIT_S)

    def let_go(self) -> None:
        self._go_on.set()


def test_what_is_small_takes_no_task(node: Any, peer: Any, message: Any, taken: Any) -> None:
    peer.send(message(peer, 1))
    assert (peer.command().responded_to, taken) == (1, ["conclude"])
    peer.send(message(peer, 2, bytes(SMALL_PIECE)))
    assert (peer.command().status, taken) == (0, ["conclude", "commit"])
    assert node.archive.stats().counts.instances == 2


def test_what_comes_in_pieces_takes_no_task(node: Any, peer: Any, message: Any, taken: Any) -> None:
    whole = message(peer, 1, bytes(SMALL_PIECE // 2))
    for start in range(0, len(whole), 70_001):
        peer.send(whole[start : start + 70_001])
    assert (peer.command().status, taken) == (0, ["conclude"])
    assert node.archive.stats().counts.instances == 1


def test_what_turns_out_large_is_handed_to_a_task(
    node: Any, peer: Any, message: Any, taken: Any, piece_taken: Any, instance: Any, encoded: Any
) -> None:
    ds = instance()
    whole = message(peer, 1, bytes(range(256)) * (SMALL_PIECE // 256), ds)
    peer.send(whole[:100_000])
    assert piece_taken.wait(WAIT_S)
    peer.send(whole[100_000:])
    assert (peer.command().status, taken) == (0, ["commit"])
    peer.send(message(peer, 2))
    assert (peer.command().status, taken) == (0, ["commit", "conclude"])
    stored = node.archive.objects(ds.StudyInstanceUID)
    (stored,) = [found for found in stored if found.sop_uid == ds.SOPInstanceUID]
    assert node.dataset(stored) == encoded(ds), "each piece once"
    assert node.archive.load().held_bytes == 0


def test_a_refusal_half_way_is_answered_at_the_end(
    node: Any, peer: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def refuse(ingest: Ingest, _: object) -> None:
        ingest.abort()
        refused.set()
        raise Invalid("not today")

    whole = message(peer, 1, bytes(200_000))
    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "take", refuse)
        peer.send(whole[:100_000])
        assert refused.wait(WAIT_S)
        peer.send(whole[100_000:])
        answer = peer.command()
    assert (answer.responded_to, answer.status, answer.comment) == (1, 0xC000, "not today")
    peer.send(message(peer, 2))
    assert peer.command().status == 0
    assert node.archive.load().held_bytes == 0


def test_nothing_is_kept_of_what_does_not_come_whole(
    node: Any, peer: Any, message: Any, piece_taken: Any
) -> None:
    peer.send(message(peer, 1, bytes(200_000))[:100_000])
    assert piece_taken.wait(WAIT_S)
    assert node.archive.load().held_bytes > 0
    peer.close()
    node.idle()
    assert node.archive.load().held_bytes == 0
    assert node.archive.stats().counts.instances == 0


def test_compressing_is_left_to_a_task(
    start_node: Callable[..., Any], tmp_path: Path, associated: Any, message: Any, taken: Any
) -> None:
    peer = associated(start_node(ArchiveSettings(data=tmp_path / "data", codec="zstd")))
    peer.send(message(peer, 1))
    assert (peer.command().status, taken) == (0, ["commit"])


def test_the_release_waits_for_the_answer(node: Any, peer: Any, message: Any) -> None:
    held = Held(node.archive)
    peer.send(message(peer, 1) + RELEASE_REQUEST)
    held.let_go()
    assert peer.command().responded_to == 1
    assert peer.pdu()[0] == PduType.RELEASE_RP


def test_requests_sent_ahead_wait_for_their_turn(node: Any, peer: Any, message: Any) -> None:
    held = Held(node.archive)
    peer.send(b"".join(message(peer, number) for number in range(1, 5)))
    held.let_go()
    assert [peer.command().responded_to for _ in range(4)] == [1, 2, 3, 4]
    assert node.archive.stats().counts.instances == 4


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"affected_sop_uid": "9.9.9"}, 0xA900),
        ({"affected_sop_class": "1.2.840.10008.1.1"}, 0x0122),
    ],
)
def test_a_refusal_is_answered_and_others_go_on(
    node: Any, peer: Any, message: Any, wrong: dict[str, str], status: int
) -> None:
    peer.send(message(peer, 1, **wrong))
    assert peer.command().status == status
    peer.send(message(peer, 2))
    assert peer.command().status == 0
    assert node.archive.stats().counts.instances == 1
    assert node.archive.load().held_bytes == 0


def test_what_is_under_way_when_the_connection_is_lost_is_kept(
    node: Any, peer: Any, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    connection_lost = Association.connection_lost

    def noted(association: Association, exc: Exception | None) -> None:
        connection_lost(association, exc)
        lost.set()

    monkeypatch.setattr(Association, "connection_lost", noted)
    held = Held(node.archive)
    peer.send(message(peer, 1))
    peer.close()
    assert lost.wait(WAIT_S)
    held.let_go()
    node.idle()
    assert node.archive.stats().counts.instances == 1
    assert node.archive.load().held_bytes == 0


def test_our_own_work_is_not_the_peers_silence(
    start_node: Callable[..., Any],
    associated: Any,
    message: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = threading.Semaphore(0)
    watch = Association._watch

    def noted(association: Association) -> None:
        watch(association)
        looks.release()

    monkeypatch.setattr(Association, "_watch", noted)
    node = start_node(idle_timeout_s=0.2)
    peer = associated(node)
    held = Held(node.archive)
    peer.send(message(peer, 1))
    for _ in range(6):  # at 0.2 s each, all but the first ones when it is under way
        assert looks.acquire(timeout=WAIT_S)
    held.let_go()
    assert peer.command().status == 0


def test_a_fault_of_ours_ends_the_association_and_nothing_else(
    node: Any,
    peer: Any,
    message: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fault(*_: object) -> Stored:
        raise RuntimeError("a fault")

    monkeypatch.setattr(vna.archive.ingest, "propose", fault)
    peer.send(message(peer, 1))
    assert peer.pdu()[0] == PduType.ABORT
    node.idle()
    assert "a fault" in caplog.text
    assert node.archive.load().held_bytes == 0


def test_answers_keep_their_bytes_when_the_peer_reads_late() -> None:
    pieces = [bytes([number]) * (3 << 20) for number in (1, 2)]

    async def received() -> bytes:
        async with _connected() as (association, theirs):
            association.answer([pieces[0][:5], pieces[0][5:]])
            association.answer([pieces[1]])
            association.answer([b"end"])
            association.close()
            with theirs.makefile("rb") as file:
                data = await asyncio.to_thread(file.read)
        with pytest.raises(AssociationLost):
            association.answer([b"late"])
        return data

    assert uvloop.run(received()) == b"".join([*pieces, b"end"])


def _store(number: int) -> Message:
    return Message(1, Command(field=CommandField.C_STORE, message_id=number, data_set_type=1))


def _response(number: int) -> Message:
    return Message(1, Command(field=CommandField.C_STORE | RESPONSE, responded_to=number, status=0))


@asynccontextmanager
async def _connected(**settings: float) -> AsyncGenerator[tuple[Association, socket.socket]]:
    """Yield an association over a connection, and the peer's end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    association = Association(Machine(acceptor=True), DimseSettings(**settings), Landing())
    await asyncio.get_running_loop().connect_accepted_socket(lambda: association, ours)
    with theirs:
        yield association, theirs
        association.close()
        await association.closed


def test_a_slow_link_is_not_the_peers_silence() -> None:
    async def told() -> None:
        async with _connected(dimse_timeout_s=2.0) as (association, theirs):
            association.machine.receive(0, PduType.ASSOCIATE_RQ, encode_request(REQUEST))
            association.machine.accept(AssociateAccept("VNA", "RAW", (), UserInformation()))
            association.busy = True
            answer = asyncio.create_task(association.event())
            association.write(bytes(2 << 20))
            theirs.setblocking(False)
            left = 2 << 20
            while left:  # for twice as long
                left -= len(theirs.recv(min(left, 100_000)))
                await asyncio.sleep(0.2)
            assert not association.lost
            with pytest.raises(AssociationLost, match="no answer within the DIMSE timeout"):
                await asyncio.wait_for(answer, WAIT_S)

    uvloop.run(told())


def test_a_request_among_the_responses_of_a_get_ends_the_association() -> None:
    async def told() -> None:
        async with _connected() as (association, _):
            responses = asyncio.create_task(association.responses(lambda _: True))
            await asyncio.sleep(0)
            association._take(_store(7))
            with pytest.raises(AssociationLost, match="no response where one was due"):
                await asyncio.wait_for(responses, WAIT_S)

    uvloop.run(told())


def test_a_request_behind_the_last_response_keeps_its_data() -> None:
    async def taken() -> bytes:
        async with _connected() as (association, _):
            responses = asyncio.create_task(association.responses(lambda _: False))
            await asyncio.sleep(0)
            pieces = Data(b"first", last=False), Data(b"last", last=True)
            for event in (_store(7), pieces[0], _response(1), pieces[1]):
                association._take(event)
            association._answer()  # as after all that came at once
            await responses
            message = await association.message()
            assert message is not None
            assert message.command.message_id == 7
            return b"".join([bytes(piece) async for piece in association.data()])

    assert uvloop.run(taken()) == b"firstlast"


@pytest.mark.parametrize("early", [False, True])
def test_what_fails_at_a_response_is_told_to_who_waits_for_it(*, early: bool) -> None:
    """Also where the response was there before, or something else has woken who waits."""

    def fail(_: list[Command]) -> bool:
        raise Invalid("no such response")

    async def told() -> None:
        async with _connected() as (association, _):
            association.asking = association.ahead = True
            if early:
                association._take(_response(1))
            responses = asyncio.create_task(association.responses(fail))
            await asyncio.sleep(0)
            if not early:
                association._take(_store(7))
                association._take(_response(1))
                association._answer()
            with pytest.raises(Invalid, match="no such response"):
                await asyncio.wait_for(responses, WAIT_S)

    uvloop.run(told())
