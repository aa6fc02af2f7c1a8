"""Conformance lines 27 to 30: C-MOVE and C-GET over real sockets."""

import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
)

from vna.archive import Archive
from vna.errors import Corrupt
from vna.types import Remote

CT = (CTImageStorage, [ExplicitVRLittleEndian])
STUDY = "1.2.3.1"


def counters(answer: Dataset) -> tuple[int | None, ...]:
    return tuple(
        answer.get(f"NumberOf{kind}Suboperations")
        for kind in ("Remaining", "Completed", "Failed", "Warning")
    )


def test_c27_unknown_destination(
    start_node: Callable[..., Any], move: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    silent = Remote("SILENT", "127.0.0.1", 1, frozenset({"echo"}))
    node = start_node(remotes=(silent,))
    for title in ("NOWHERE", "SILENT"):  # the second is known, but may not be a destination
        ((answer, _),) = move(node, "study", title, identifier("STUDY", StudyInstanceUID=STUDY))
        assert answer.Status == 0xA801
        assert title in answer.ErrorComment


@pytest.mark.parametrize(
    ("root", "level", "keys", "sent"),
    [
        ("patient", "PATIENT", {"PatientID": "P1"}, [0, 1, 2]),
        ("patient", "STUDY", {"PatientID": "P1", "StudyInstanceUID": STUDY}, [0, 1, 2]),
        ("study", "STUDY", {"StudyInstanceUID": STUDY}, [0, 1, 2]),
        ("study", "STUDY", {"StudyInstanceUID": [STUDY, "1.9.9"]}, [0, 1, 2]),
        ("study", "SERIES", {"StudyInstanceUID": STUDY, "SeriesInstanceUID": "1.2.3.3"}, [2]),
        (
            "study",
            "IMAGE",
            {
                "StudyInstanceUID": STUDY,
                "SeriesInstanceUID": "1.2.3.2",
                "SOPInstanceUID": ["1.2.3.4.1", "1.2.3.4.2"],
            },
            [0, 1],
        ),
        ("study", "STUDY", {"StudyInstanceUID": "1.9.9"}, []),
        ("patient", "PATIENT", {"PatientID": "NOBODY"}, []),
    ],
)
@pytest.mark.parametrize("verb", ["move", "get"])
def test_c28_what_is_asked_for_arrives_identical_and_is_counted(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    get: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
    encoded: Callable[..., bytes],
    verb: str,
    root: str,
    level: str,
    keys: dict[str, Any],
    sent: list[int],
) -> None:
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    query = identifier(level, **keys)
    if verb == "move":
        answers, received = move(node, root, "THERE", query), there.data
    else:
        answers, received = get(node, root, query, CT)
    final, failed = answers[-1]
    if verb == "move" and sent:  # movescu looks for a connection when it has read something
        begun, _ = answers.pop(0)
        assert begun.Status == 0xFF00
        assert counters(begun) == (len(sent), 0, 0, 0)
    if len(sent) > 1:
        assert answers[0][0].Status == 0xFF00
        assert counters(answers[0][0]) == (len(sent) - 1, 1, 0, 0)
    assert final.Status == 0
    assert counters(final) == (None, len(sent), 0, 0)
    assert failed is None
    assert received == [encoded(three[number]) for number in sent]


@pytest.mark.parametrize(
    ("root", "level", "keys", "offending"),
    [
        ("patient", "PATIENT", {}, 0x00100020),
        ("patient", "PATIENT", {"PatientID": "*"}, 0x00100020),
        ("study", "STUDY", {"StudyInstanceUID": ""}, 0x0020000D),
        ("study", "SERIES", {"SeriesInstanceUID": "1.2"}, 0x0020000D),
        (
            "study",
            "SERIES",
            {"StudyInstanceUID": ["1.2", "1.3"], "SeriesInstanceUID": "1.2"},
            0x0020000D,
        ),
    ],
)
def test_c28_unique_keys_are_required(
    start_node: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    root: str,
    level: str,
    keys: dict[str, Any],
    offending: int,
) -> None:
    node = start_node(remotes=(Remote("THERE", "127.0.0.1", 1),))
    ((answer, _),) = move(node, root, "THERE", identifier(level, **keys))
    assert answer.Status == 0xA900
    assert answer.OffendingElement == offending


def test_c28_some_failed_is_b000_with_their_list(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
) -> None:
    there = destination("THERE", [CT])
    there.status = lambda number: {1: 0xB000, 2: 0xA700}.get(number, 0)
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    final, failed = move(node, "study", "THERE", identifier("STUDY", StudyInstanceUID=STUDY))[-1]
    assert final.Status == 0xB000
    assert counters(final) == (None, 1, 1, 1)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == three[1].SOPInstanceUID


def test_c28_a_transfer_syntax_that_is_not_accepted_fails_alone(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    get: Callable[..., Any],
    identifier: Callable[..., Dataset],
    instance: Callable[..., Dataset],
) -> None:
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    objects = [instance(), instance(ImplicitVRLittleEndian), instance(sop_class=MRImageStorage)]
    assert store(node, *objects) == [0, 0, 0]
    query = identifier("STUDY", StudyInstanceUID=STUDY)
    for answers in (move(node, "study", "THERE", query), get(node, "study", query, CT)[0]):
        final, failed = answers[-1]
        assert final.Status == 0xB000
        assert counters(final) == (None, 1, 2, 0)
        assert failed is not None
        assert set(failed.FailedSOPInstanceUIDList) == {ds.SOPInstanceUID for ds in objects[1:]}
    assert [str(request.AffectedSOPInstanceUID) for request in there.requests] == [
        objects[0].SOPInstanceUID
    ]


def test_c28_no_destination_to_reach_fails_all(
    start_node: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
    free_port: Callable[[], int],
) -> None:
    node = start_node(remotes=(Remote("GONE", "127.0.0.1", free_port()),))
    assert store(node, *three) == [0, 0, 0]
    final, failed = move(node, "study", "GONE", identifier("STUDY", StudyInstanceUID=STUDY))[-1]
    assert final.Status == 0xA702
    assert counters(final) == (None, 0, 3, 0)
    assert failed is not None
    assert len(failed.FailedSOPInstanceUIDList) == 3


@pytest.mark.parametrize("verb", ["move", "get"])
def test_c28_an_instance_that_cannot_be_read_fails_alone(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    get: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    whole = Archive.dataset_runs

    async def damaged(archive: Archive, stored: Any) -> AsyncIterator[Any]:
        if stored.sop_uid == three[1].SOPInstanceUID:
            raise Corrupt("a pack is damaged")
        async for run in whole(archive, stored):
            yield run

    monkeypatch.setattr(Archive, "dataset_runs", damaged)
    monkeypatch.setattr(Archive, "datasets_at_hand", lambda *_: (run for run in ()))
    query = identifier("STUDY", StudyInstanceUID=STUDY)
    answers = (
        move(node, "study", "THERE", query) if verb == "move" else get(node, "study", query, CT)[0]
    )
    final, failed = answers[-1]
    assert final.Status == 0xB000
    assert counters(final) == (None, 2, 1, 0)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == three[1].SOPInstanceUID


def test_c28_more_contexts_than_an_association_has(
    start_node: Callable[..., Any],
    associate: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    instance: Callable[..., Dataset],
) -> None:
    there = start_node()
    node = start_node(remotes=(Remote("VNA", "127.0.0.1", there.port),))
    classes = [f"1.2.3.9.{number}" for number in range(130)]
    for some in (classes[:100], classes[100:]):
        association = associate(node, *[(uid, [ExplicitVRLittleEndian]) for uid in some])
        for uid in some:
            assert association.send_c_store(instance(sop_class=uid)).Status == 0
    final, _ = move(node, "study", "VNA", identifier("STUDY", StudyInstanceUID=STUDY))[-1]
    assert final.Status == 0
    assert counters(final) == (None, 130, 0, 0)
    assert there.sop_uids(STUDY) == node.sop_uids(STUDY)


@pytest.mark.parametrize("most", [10, 1])
def test_c28_a_move_uses_as_many_associations_as_the_destination_allows(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    instance: Callable[..., Dataset],
    encoded: Callable[..., bytes],
    most: int,
) -> None:
    there = destination("THERE", [CT], most)
    node = start_node(remotes=(replace(there.remote, associations=3),))
    sent = [instance() for _ in range(8)]
    assert set(store(node, *sent)) == {0}
    together = threading.Barrier(3)

    def at_once(number: int) -> int:
        if most > 1 and number <= 3:
            together.wait(60)
        return 0

    there.status = at_once
    answers = move(node, "study", "THERE", identifier("STUDY", StudyInstanceUID=STUDY))
    final, failed = answers[-1]
    assert (final.Status, failed) == (0, None)
    assert counters(final) == (None, 8, 0, 0)
    assert sorted(there.data) == sorted(map(encoded, sent))


def test_c28_what_no_association_takes_fails_once(
    start_node: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
) -> None:
    node = start_node(remotes=(Remote("NOBODY", "127.0.0.1", 1, associations=2),))
    assert store(node, *three) == [0, 0, 0]
    answers = move(node, "study", "NOBODY", identifier("STUDY", StudyInstanceUID=STUDY))
    final, failed = answers[-1]
    assert final.Status == 0xA702
    assert counters(final) == (None, 0, 3, 0)
    assert sorted(failed.FailedSOPInstanceUIDList) == sorted(ds.SOPInstanceUID for ds in three)


def test_c29_sub_operations_name_the_move_behind_them(
    start_node: Callable[..., Any],
    destination: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
) -> None:
    there = destination("THERE", [CT])
    node = start_node(remotes=(there.remote,))
    assert store(node, *three) == [0, 0, 0]
    move(node, "study", "THERE", identifier("STUDY", StudyInstanceUID=STUDY), calling="MOVER")
    originators = {
        (request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
        for request in there.requests
    }
    assert originators == {("MOVER", 1)}
    assert set(there.peers) == {"VNA"}
    assert [request.MessageID for request in there.requests] == [1, 2, 3]


def test_c30_a_cancelled_get_tells_what_remains(
    node: Any,
    store: Callable[..., Any],
    associate: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
) -> None:
    from pynetdicom import build_role, evt

    assert store(node, *three) == [0, 0, 0]
    model = StudyRootQueryRetrieveInformationModelGet
    received: list[str] = []

    def on_store(event: Any) -> int:
        received.append(event.request.AffectedSOPInstanceUID)
        context = next(c for c in event.assoc.accepted_contexts if c.abstract_syntax == model)
        event.assoc.send_c_cancel(1, context_id=context.context_id)
        return 0

    association = associate(
        node,
        model,
        CT,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
    )
    answers = list(association.send_c_get(identifier("STUDY", StudyInstanceUID=STUDY), model))
    final, _ = answers[-1]
    assert final.Status == 0xFE00
    assert counters(final) == (2, 1, 0, 0)
    assert received == [three[0].SOPInstanceUID]


@pytest.mark.interop
def test_c28_dcmtk_gets_and_moves(
    start_node: Callable[..., Any],
    tool: Callable[..., Any],
    corpus: Path,
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    node = start_node(remotes=(Remote("MOVESCU", "127.0.0.1", port),))
    slices = sorted((corpus / "dcm_qa_ct/In/Philips/S21610/S3010").glob("I*"))[:8]
    tool("dcmsend", "-aec", "VNA", "127.0.0.1", node.port, *slices)
    sent = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, slices)}
    study = next(iter(sent.values())).StudyInstanceUID
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    for name, command in {
        "moved": ["movescu", "-S", "-aet", "MOVESCU", "-aec", "VNA", "-aem", "MOVESCU", "+P", port],
        "got": ["getscu", "-S", "-aec", "VNA"],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        tool(*command, "-od", folder, *keys, "127.0.0.1", node.port)
        arrived = [pydicom.dcmread(path) for path in folder.iterdir()]
        assert len(arrived) == len(sent)
        for ds in arrived:
            assert ds == sent[ds.SOPInstanceUID]
