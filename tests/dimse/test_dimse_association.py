"""Conformance lines 1 to 10: associations over real sockets."""

import asyncio
import gc
import logging
import socket
import struct
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom import AE, build_context, build_role
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import (
    ModalityWorklistInformationFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from vna.dimse import commands, pdu
from vna.dimse.commands import Command, CommandField
from vna.dimse.pdu import AssociateRequest, ProposedContext, UserInformation
from vna.types import Remote

RELEASED = (6, bytes(4))
ABORT, REJECT, ACCEPT = 7, 3, 2
IMPLICIT = ("1.2.840.10008.1.2",)


def request(*contexts: ProposedContext, max_pdu_length: int = 0, called: str = "VNA") -> bytes:
    contexts = contexts or (ProposedContext(1, Verification, IMPLICIT),)
    user = UserInformation(max_pdu_length=max_pdu_length)
    return pdu.encode_request(AssociateRequest(called, "RAW", contexts, user))


def pdv(context: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">BxIIBB", 4, len(data) + 6, len(data) + 2, context, flags) + data


ECHO = pdv(
    1,
    3,
    commands.encode(
        Command(field=CommandField.C_ECHO, message_id=1, affected_sop_class=Verification)
    ),
)


def store_command(context: int, sop_uid: str) -> bytes:
    command = Command(
        field=CommandField.C_STORE,
        message_id=1,
        affected_sop_class=CTImageStorage,
        affected_sop_uid=sop_uid,
        priority=0,
        data_set_type=1,
    )
    return pdv(context, 3, commands.encode(command))


def test_c01_unknown_called_ae_title_is_rejected(node: Any, associate: Callable[..., Any]) -> None:
    association = associate(node, called="NOBODY")
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)


def test_c01_any_called_ae_title_when_not_checked(
    start_node: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    assert associate(start_node(check_called_ae=False), called="NOBODY").is_established


def test_c01_unknown_calling_ae_title_is_rejected(
    start_node: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    node = start_node(accept_unknown_callers=False, remotes=(Remote("KNOWN", "127.0.0.1", 104),))
    association = associate(node, calling="STRANGER")
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 3)
    assert associate(node, calling="KNOWN").is_established


@pytest.mark.parametrize(
    "title", [b" " * 16, b"EVIL\nTITLE".ljust(16), "MÜLLER".encode().ljust(16), b"A\\B".ljust(16)]
)
@pytest.mark.parametrize(("at", "reason"), [(10, 7), (26, 3)])
def test_c01_what_is_no_ae_title_is_rejected(
    start_node: Callable[..., Any],
    raw_peer: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    title: bytes,
    at: int,
    reason: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    node = start_node(check_called_ae=False)
    peer = raw_peer(node)
    whole = request()
    peer.send(whole[:at] + title + whole[at + 16 :])
    assert peer.pdu() == (REJECT, bytes((0, 1, 1, reason)))
    peer.close()
    node.idle()
    assert "rejected" in caplog.text
    assert not any("EVIL" in record.getMessage() or record.exc_info for record in caplog.records)


def test_c01_a_known_caller_may_do_what_it_may(
    start_node: Callable[..., Any],
    store: Callable[..., Any],
    instance: Callable[..., Any],
    associate: Callable[..., Any],
) -> None:
    remote = Remote("READER", "127.0.0.1", 104, frozenset({"echo", "query"}))
    node = start_node(remotes=(remote,))
    assert store(node, instance(), calling="READER") == [0x0124]
    assert associate(node, calling="READER").send_c_echo().Status == 0
    assert node.archive.stats().counts.instances == 0


def test_c02_overload_is_a_transient_reject(
    start_node: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    node = start_node(max_associations=2)
    held = [associate(node), associate(node)]
    assert all(association.is_established for association in held)
    refused = associate(node)
    assert refused.is_rejected
    answer = refused.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    for association in held:
        association.release()
    node.idle()
    assert associate(node).is_established


def test_c03_unsupported_syntaxes_have_their_own_results(
    node: Any, associate: Callable[..., Any]
) -> None:
    association = associate(
        node,
        Verification,
        ModalityWorklistInformationFind,
        (CTImageStorage, ["1.2.3.4.5"]),
        (StudyRootQueryRetrieveInformationModelFind, [JPEG2000Lossless]),
    )
    assert [context.abstract_syntax for context in association.accepted_contexts] == [Verification]
    results = {context.abstract_syntax: context.result for context in association.rejected_contexts}
    assert results == {
        ModalityWorklistInformationFind: 3,
        CTImageStorage: 4,
        StudyRootQueryRetrieveInformationModelFind: 4,
    }


def test_c03_the_first_supported_transfer_syntax_of_the_proposer_is_taken(
    node: Any, associate: Callable[..., Any]
) -> None:
    proposed = [
        "1.2.3.4.5",
        DeflatedExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
    ]
    association = associate(
        node,
        (CTImageStorage, proposed),
        (Verification, [ExplicitVRBigEndian, ImplicitVRLittleEndian]),
    )
    assert [str(context.transfer_syntax[0]) for context in association.accepted_contexts] == [
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
    ]


def test_c03_a_private_transfer_syntax_when_configured(
    start_node: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    node = start_node(extra_transfer_syntaxes=("1.2.3.4.5",))
    assert associate(node, (CTImageStorage, ["1.2.3.4.5"])).is_established


def test_c04_128_contexts_with_odd_ids(node: Any, associate: Callable[..., Any]) -> None:
    association = associate(node, *[(f"1.2.3.{n}", [ExplicitVRLittleEndian]) for n in range(128)])
    assert [context.context_id for context in association.accepted_contexts] == list(
        range(1, 257, 2)
    )


@pytest.mark.parametrize(
    "contexts",
    [
        (ProposedContext(2, Verification, IMPLICIT),),
        (ProposedContext(1, Verification, IMPLICIT), ProposedContext(1, Verification, IMPLICIT)),
        (ProposedContext(1, Verification, ()),),
    ],
)
def test_c04_contexts_that_break_the_rules_abort(
    node: Any, raw_peer: Callable[..., Any], contexts: tuple[ProposedContext, ...]
) -> None:
    peer = raw_peer(node)
    peer.send(request(*contexts))
    assert peer.pdu()[0] == ABORT


@pytest.mark.parametrize("limit", [8, 9, 64, 4096])
def test_c05_the_peers_maximum_pdu_length_is_honoured(
    node: Any, raw_peer: Callable[..., Any], limit: int
) -> None:
    peer = raw_peer(node)
    peer.send(request(max_pdu_length=limit))
    assert peer.pdu()[0] == ACCEPT
    peer.send(ECHO)
    got, flags = b"", 0
    while not flags & 2:
        kind, body = peer.pdu()
        assert kind == 4
        assert len(body) <= limit
        got += body[6:]
        flags = body[5]
    assert commands.decode(got).status == 0


def test_c05_ours_is_announced_and_enforced(
    start_node: Callable[..., Any], raw_peer: Callable[..., Any]
) -> None:
    node = start_node(max_pdu_length_bytes=16384)
    peer = raw_peer(node)
    peer.send(request())
    kind, body = peer.pdu()
    assert kind == ACCEPT
    assert b"\x51\x00\x00\x04" + struct.pack(">I", 16384) in body
    peer.send(struct.pack(">BxI", 4, 16385))
    assert peer.pdu()[0] == ABORT


@pytest.mark.parametrize("limit", [0, 16384])
def test_c05_objects_pass_in_pieces(
    start_node: Callable[..., Any],
    get: Callable[..., Any],
    store: Callable[..., Any],
    instance: Callable[..., Any],
    identifier: Callable[..., Any],
    limit: int,
    encoded: Callable[..., bytes],
) -> None:
    node = start_node(max_pdu_length_bytes=limit)
    ds = instance(Rows=512, Columns=512, PixelData=bytes(range(256)) * 2048)
    assert store(node, ds) == [0]
    _, received = get(
        node,
        "study",
        identifier("STUDY", StudyInstanceUID="1.2.3.1"),
        (CTImageStorage, [ExplicitVRLittleEndian]),
    )
    assert received == [encoded(ds)]


def test_c06_artim_closes_a_silent_peer(
    start_node: Callable[..., Any], raw_peer: Callable[..., Any]
) -> None:
    node = start_node(artim_timeout_s=0.05)
    assert raw_peer(node).pdu() == (0, b"")


def test_c06_artim_closes_a_peer_that_stays_after_a_reject(
    start_node: Callable[..., Any], raw_peer: Callable[..., Any]
) -> None:
    peer = raw_peer(start_node(artim_timeout_s=0.05))
    peer.send(request(called="NOBODY"))
    assert peer.pdu()[0] == REJECT
    assert peer.pdu() == (0, b"")


def test_c06_a_forgotten_association_is_aborted(
    start_node: Callable[..., Any], raw_peer: Callable[..., Any]
) -> None:
    peer = raw_peer(start_node(idle_timeout_s=0.05))
    peer.send(request())
    assert peer.pdu()[0] == ACCEPT
    assert peer.pdu()[0] == ABORT
    assert peer.pdu() == (0, b"")


def test_c06_a_data_set_that_does_not_go_on_is_aborted(
    start_node: Callable[..., Any], raw_peer: Callable[..., Any]
) -> None:
    node = start_node(dimse_timeout_s=0.05)
    peer = raw_peer(node)
    peer.send(request(ProposedContext(1, CTImageStorage, IMPLICIT)))
    assert peer.pdu()[0] == ACCEPT
    peer.send(store_command(1, "1.2.9") + pdv(1, 0, b"\x08\x00\x16\x00"))
    assert peer.pdu()[0] == ABORT
    node.idle()


async def _held_back(node: Any) -> None:
    """Return once the peer keeps an association from writing."""
    while not any(a is not None and a._writable for a in node.server._tasks.values()):
        await asyncio.sleep(0.005)


def _asks_for_all(peer: Any) -> None:
    """Have a raw peer associate and ask for a study by C-GET."""
    model = StudyRootQueryRetrieveInformationModelGet
    contexts = (
        ProposedContext(1, model, (ExplicitVRLittleEndian,)),
        ProposedContext(3, CTImageStorage, (ExplicitVRLittleEndian,)),
    )
    user = UserInformation(roles={CTImageStorage: (False, True)})
    peer.send(pdu.encode_request(AssociateRequest("VNA", "RAW", contexts, user)))
    assert peer.pdu()[0] == ACCEPT
    asked = Command(
        field=CommandField.C_GET, message_id=1, affected_sop_class=model, data_set_type=1
    )
    study = b"\x08\x00\x52\x00CS\x06\x00STUDY \x20\x00\x0d\x00UI\x08\x001.2.3.1\x00"
    peer.send(peer.message(asked, study))


@pytest.mark.parametrize("end", ["abort", "half close"])
def test_c06_a_peer_that_ends_and_reads_nothing_more_is_closed_on(
    start_node: Callable[..., Any],
    raw_peer: Callable[..., Any],
    store: Callable[..., Any],
    instance: Callable[..., Any],
    end: str,
) -> None:
    node = start_node(dimse_timeout_s=1.0, idle_timeout_s=1.0)
    assert store(node, instance(PixelData=bytes(32 << 20))) == [0]  # more than sockets hold
    peer = raw_peer(node)
    _asks_for_all(peer)
    node.run(_held_back(node))
    if end == "abort":
        peer.send(pdu.Abort(0, 0).encode())
    else:
        peer.socket.shutdown(socket.SHUT_WR)
    node.idle()


def _sends_on(peer: Any, data: bytes, times: int) -> None:
    for _ in range(times):
        peer.send(data)


def test_who_reads_no_answers_is_not_given_more_of_them(
    node: Any, raw_association: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    peer = raw_association(node, Verification, IMPLICIT[0])
    echo = Command(field=CommandField.C_ECHO, message_id=1, affected_sop_class=Verification)
    echoes = peer.message(echo) * 200
    peer.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        _sends_on(peer, echoes, (32 << 20) // len(echoes))
    peer.close()
    node.idle()
    assert "ended: connection lost: " in caplog.text


async def _in_hand(node: Any) -> weakref.ref[Any] | None:
    for association in node.server._tasks.values():
        if association is not None and association._transport is not None:
            return weakref.ref(association)
    return None


def test_an_association_that_ended_waits_for_no_collection(
    node: Any, raw_association: Callable[..., Any]
) -> None:
    peer = raw_association(node, Verification, IMPLICIT[0])
    association = node.run(_in_hand(node))
    gc.disable()
    try:
        peer.close()
        node.idle()
        give_up = time.monotonic() + 5
        while association() is not None and time.monotonic() < give_up:
            time.sleep(0.01)
        assert association() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["abort", "close", "nonsense"])
def test_c07_a_data_set_cut_short_leaves_nothing(
    node: Any,
    raw_peer: Callable[..., Any],
    instance: Callable[..., Any],
    encoded: Callable[..., bytes],
    end: str,
) -> None:
    ds = instance(ImplicitVRLittleEndian)
    data = encoded(ds)
    peer = raw_peer(node)
    peer.send(request(ProposedContext(1, CTImageStorage, IMPLICIT)))
    assert peer.pdu()[0] == ACCEPT
    peer.send(
        store_command(1, ds.SOPInstanceUID) + pdv(1, 0, data)
    )  # all there, but not said to end
    if end == "abort":
        peer.send(pdu.Abort(0, 0).encode())
    elif end == "nonsense":
        peer.send(b"\xff" * 20)
        assert peer.pdu()[0] == ABORT
    else:
        peer.close()
    node.idle()
    assert node.archive.stats().counts.instances == 0


@pytest.mark.parametrize(("asked", "answered"), [(1, 1), (5, 5), (500, 16), (0, 16)])
def test_c08_the_asynchronous_window_is_negotiated(
    node: Any, associate: Callable[..., Any], asked: int, answered: int
) -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = asked
    window.maximum_number_operations_performed = 5
    association = associate(node, ext_neg=[window])
    assert association.acceptor.asynchronous_operations == (answered, 5)


def test_c08_requests_sent_ahead_are_answered_in_turn(
    node: Any, raw_peer: Callable[..., Any]
) -> None:
    peer = raw_peer(node)
    peer.send(request())
    assert peer.pdu()[0] == ACCEPT
    peer.send(ECHO * 3 + pdu.RELEASE_REQUEST)
    assert [commands.decode(peer.pdu()[1][6:]).status for _ in range(3)] == [0, 0, 0]
    assert peer.pdu() == RELEASED


def test_c09_roles_are_selected_for_c_get(node: Any, associate: Callable[..., Any]) -> None:
    association = associate(
        node,
        StudyRootQueryRetrieveInformationModelGet,
        CTImageStorage,
        ext_neg=[build_role(CTImageStorage, scu_role=True, scp_role=True)],
    )
    selected = association.acceptor.role_selection
    assert set(selected) == {CTImageStorage}
    assert (selected[CTImageStorage].scu_role, selected[CTImageStorage].scp_role) == (True, True)
    ct = next(c for c in association.accepted_contexts if c.abstract_syntax == CTImageStorage)
    assert (ct.as_scu, ct.as_scp) == (True, True)


def test_c09_no_role_is_offered_that_was_not_asked_for(
    node: Any, associate: Callable[..., Any]
) -> None:
    association = associate(
        node, CTImageStorage, ext_neg=[build_role(CTImageStorage, scp_role=True)]
    )
    selected = association.acceptor.role_selection[CTImageStorage]
    assert (bool(selected.scu_role), bool(selected.scp_role)) == (False, True)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(b"\1", b"\1"), (b"\0\1\1", b"\0\1\1"), (b"\1\1\1\1\1", b"\1\1\1\0\0")],
)
def test_c10_query_options_are_negotiated(
    node: Any, associate: Callable[..., Any], asked: bytes, answered: bytes
) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = StudyRootQueryRetrieveInformationModelFind
    item.service_class_application_information = asked
    association = associate(node, StudyRootQueryRetrieveInformationModelFind, ext_neg=[item])
    assert association.acceptor.sop_class_extended == {
        StudyRootQueryRetrieveInformationModelFind: answered
    }


def test_c10_bit_preserving_full_storage_is_said(node: Any, associate: Callable[..., Any]) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = CTImageStorage
    item.service_class_application_information = bytes(6)
    association = associate(node, CTImageStorage, ext_neg=[item])
    assert association.acceptor.sop_class_extended == {CTImageStorage: bytes((2, 0, 3, 0, 0, 0))}


def test_c11_user_identity_is_passed_over(node: Any, associate: Callable[..., Any]) -> None:
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 1
    identity.primary_field = b"someone"
    identity.positive_response_requested = True
    association = associate(node, ext_neg=[identity])
    assert association.is_established
    assert association.acceptor.user_identity is None


def test_nonsense_is_aborted_and_others_go_on(
    node: Any, raw_peer: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    association = associate(node)
    peer = raw_peer(node)
    peer.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert peer.pdu()[0] in {ABORT, 0}
    assert association.send_c_echo().Status == 0


def test_an_unknown_operation_is_answered(node: Any, raw_peer: Callable[..., Any]) -> None:
    peer = raw_peer(node)
    peer.send(request())
    assert peer.pdu()[0] == ACCEPT
    peer.send(pdv(1, 3, commands.encode(Command(field=0x0110, message_id=4))))
    answer = commands.decode(peer.pdu()[1][6:])
    assert (answer.field, answer.responded_to, answer.status) == (0x8110, 4, 0x0211)


def test_close_lets_associations_end_and_aborts_what_does_not(
    start_node: Callable[..., Any], associate: Callable[..., Any]
) -> None:
    node = start_node()
    association = associate(node)
    node.run(node.server.close(0.05))
    association.join(10)
    assert association.is_aborted
    ae = AE()
    ae.requested_contexts = [build_context(Verification)]
    assert node.server.associations == 0
