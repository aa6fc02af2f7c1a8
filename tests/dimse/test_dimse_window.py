"""Conformance line 8: operations that are under way at once on one association."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.sop_class import Verification

from vna.archive.commit import Proposal
from vna.dimse.commands import Command, CommandField
from vna.dimse.pdu import (
    RELEASE_REQUEST,
    AssociateRequest,
    PduType,
    ProposedContext,
    UserInformation,
    encode_request,
)
from vna.types import DeleteCommit, Level

WINDOW = 3
WAIT_S = 60


@pytest.fixture
def idle_s() -> float:
    """How long the archive waits for a next request."""
    return 600.0


@pytest.fixture
def node(start_node: Callable[..., Any], idle_s: float) -> Any:
    return start_node(idle_timeout_s=idle_s)


@pytest.fixture
def peer(node: Any, raw_peer: Callable[..., Any]) -> Any:
    """A raw peer that may have three operations under way; context 1 is CT, 3 is verification."""
    peer = raw_peer(node)
    contexts = (
        ProposedContext(1, CTImageStorage, (ExplicitVRLittleEndian,)),
        ProposedContext(3, Verification, (ExplicitVRLittleEndian,)),
    )
    user = UserInformation(window=(WINDOW, 1))
    peer.send(encode_request(AssociateRequest("VNA", "RAW", contexts, user)))
    assert peer.pdu()[0] == PduType.ASSOCIATE_AC
    return peer


@pytest.fixture
def message(peer: Any, instance: Callable[..., Any], encoded: Callable[..., Any]) -> Any:
    """Return the PDUs of a C-STORE of a new instance; it can be sent under a wrong UID."""

    def make(message_id: int, pixels: int = 32, **wrong: str) -> bytes:
        ds = instance(PixelData=bytes(pixels))
        named = {"affected_sop_class": ds.SOPClassUID, "affected_sop_uid": ds.SOPInstanceUID}
        command = Command(
            field=CommandField.C_STORE,
            message_id=message_id,
            priority=0,
            data_set_type=1,
            **(named | wrong),
        )
        return bytes(peer.message(command, encoded(ds)))

    return make


@contextmanager
def nothing_is_committed(archive: Any) -> Iterator[None]:
    """Hold the thread that commits while this lasts."""
    held, go_on = threading.Event(), threading.Event()

    def hold(stamp: int) -> DeleteCommit:
        held.set()
        go_on.wait(WAIT_S)
        return DeleteCommit(stamp, Level.INSTANCE, "9.9", "nothing has this UID")

    archive._committer.submit(Proposal(hold))
    assert held.wait(WAIT_S)
    try:
        yield
    finally:
        go_on.set()


def test_c08_stores_are_taken_up_to_the_window_while_earlier_ones_become_durable(
    node: Any, peer: Any, message: Any
) -> None:
    with nothing_is_committed(node.archive):
        for number in range(1, WINDOW + 3):
            peer.send(message(number))
        end = time.monotonic() + WAIT_S
        while node.archive.load().queue < WINDOW:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert node.archive.load().queue == WINDOW
    answers = [peer.command() for _ in range(WINDOW + 2)]
    assert {(each.responded_to, each.status) for each in answers} == {
        (number, 0) for number in range(1, WINDOW + 3)
    }
    assert node.archive.stats().counts.instances == WINDOW + 2


def test_c08_a_refusal_among_stores_is_answered_as_its_own(
    node: Any, peer: Any, message: Any
) -> None:
    peer.send(
        message(1)
        + message(2, affected_sop_uid="9.9.9")
        + message(3, affected_sop_class=Verification)
        + message(4)
    )
    statuses = {each.responded_to: each.status for each in (peer.command() for _ in range(4))}
    assert (statuses[1], statuses[3], statuses[4]) == (0, 0x0122, 0)
    assert statuses[2] >> 12 in {0xA, 0xC}
    assert node.archive.stats().counts.instances == 2


def test_c08_other_requests_and_the_release_wait_for_stores_under_way(
    node: Any, peer: Any, message: Any
) -> None:
    echo = Command(field=CommandField.C_ECHO, message_id=7, affected_sop_class=Verification)
    with nothing_is_committed(node.archive):
        peer.send(message(1) + message(2))
        peer.send(peer.message(echo).replace(b"\x01\x03", b"\x03\x03", 1) + RELEASE_REQUEST)
    answers = [peer.command() for _ in range(3)]
    assert {each.responded_to for each in answers[:2]} == {1, 2}
    assert (answers[2].responded_to, answers[2].status) == (7, 0)
    assert peer.pdu()[0] == PduType.RELEASE_RP


def test_c08_stores_under_way_when_the_connection_is_lost_are_kept(
    node: Any, peer: Any, message: Any
) -> None:
    with nothing_is_committed(node.archive):
        peer.send(message(1) + message(2))
        end = time.monotonic() + WAIT_S
        while node.archive.load().queue < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        peer.close()
    node.idle()
    assert node.archive.stats().counts.instances == 2


@pytest.mark.parametrize("idle_s", [0.5])
def test_our_own_work_on_a_large_object_is_not_the_peers_silence(
    node: Any, peer: Any, message: Any, idle_s: float
) -> None:
    with nothing_is_committed(node.archive):
        peer.send(message(1, pixels=2 << 20))
        time.sleep(2 + idle_s)  # the timers are looked at each second
    assert peer.command().status == 0
