"""Conformance lines 20 to 26: C-FIND over real sockets."""

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from vna.dimse.commands import Command, CommandField

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
STATUSES = {"pending": 0xFF00, "unsupported": 0xFF01, "success": 0x0000, "cancel": 0xFE00}


@pytest.fixture
def filled(node: Any, store: Callable[..., Any], instance: Callable[..., Dataset]) -> Any:
    """Two patients; P1 has studies 1.2.3.1 (CT, two series) and 1.2.5.1 (MR), P2 has 1.2.6.1."""

    def request(number: str) -> Sequence:
        item = Dataset()
        item.RequestedProcedureID = number
        item.ScheduledProcedureStepID = f"S{number}"
        return Sequence([item])

    sent = store(
        node,
        instance(AccessionNumber="A1", StudyTime="101500", RequestAttributesSequence=request("R1")),
        instance(AccessionNumber="A1", StudyTime="101500", RequestAttributesSequence=request("R1")),
        instance(
            SeriesInstanceUID="1.2.3.3", AccessionNumber="A1", StudyTime="101500", Modality="SR"
        ),
        instance(
            StudyInstanceUID="1.2.5.1",
            SeriesInstanceUID="1.2.5.2",
            StudyDate="20240229",
            Modality="MR",
        ),
        instance(
            StudyInstanceUID="1.2.6.1",
            SeriesInstanceUID="1.2.6.2",
            PatientID="P2",
            SpecificCharacterSet=["", "ISO 2022 IR 87"],
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
            StudyDate="20230101",
        ),
    )
    assert sent == [0] * 5
    return node


def values(answers: list[Dataset], keyword: str) -> list[Any]:
    return sorted(str(answer[keyword].value) for answer in answers)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("root", "level", "keys", "wanted"),
    [
        ("patient", "PATIENT", {}, {"PatientID": ["P1", "P2"]}),
        ("patient", "STUDY", {"PatientID": "P1"}, {"StudyInstanceUID": ["1.2.3.1", "1.2.5.1"]}),
        ("study", "STUDY", {}, {"StudyInstanceUID": ["1.2.3.1", "1.2.5.1", "1.2.6.1"]}),
        (
            "study",
            "SERIES",
            {"StudyInstanceUID": "1.2.3.1"},
            {"SeriesInstanceUID": ["1.2.3.2", "1.2.3.3"], "Modality": ["CT", "SR"]},
        ),
        (
            "patient",
            "IMAGE",
            {"PatientID": "P1", "StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.2"},
            {
                "SOPInstanceUID": ["1.2.3.4.1", "1.2.3.4.2"],
                "InstanceNumber": ["1", "2"],
                "Rows": ["4", "4"],
            },
        ),
    ],
)
def test_c20_both_roots_every_level(
    filled: Any,
    find: Callable[..., Any],
    identifier: Callable[..., Dataset],
    syntax: str,
    root: str,
    level: str,
    keys: dict[str, str],
    wanted: dict[str, list[str]],
) -> None:
    query = identifier(level, **keys)
    for keyword in wanted:
        if keyword not in query:
            setattr(query, keyword, None)
    statuses, answers = find(filled, root, query, syntax)
    assert [status.Status for status in statuses] == [0xFF00] * len(answers) + [0]
    for keyword, expected in wanted.items():
        assert values(answers, keyword) == expected
    assert {answer.QueryRetrieveLevel for answer in answers} == {level}


@pytest.mark.parametrize(
    ("keys", "studies"),
    [
        ({"PatientName": "DOE^JANE"}, ["1.2.3.1", "1.2.5.1"]),
        ({"PatientName": "doe*"}, ["1.2.3.1", "1.2.5.1"]),
        ({"PatientName": "D?e^*"}, ["1.2.3.1", "1.2.5.1"]),
        ({"PatientID": "P2"}, ["1.2.6.1"]),
        ({"StudyDate": "20240101-20240131"}, ["1.2.3.1"]),
        ({"StudyDate": "20240201-"}, ["1.2.5.1"]),
        ({"StudyDate": "-20231231"}, ["1.2.6.1"]),
        ({"StudyInstanceUID": ["1.2.3.1", "1.2.6.1", "1.9"]}, ["1.2.3.1", "1.2.6.1"]),
        ({"ModalitiesInStudy": "SR"}, ["1.2.3.1"]),
        ({"AccessionNumber": "A1"}, ["1.2.3.1"]),
        ({"AccessionNumber": "A2"}, []),
    ],
)
def test_c21_matching(
    filled: Any,
    find: Callable[..., Any],
    identifier: Callable[..., Dataset],
    keys: dict[str, Any],
    studies: list[str],
) -> None:
    query = identifier("STUDY", **({"StudyInstanceUID": ""} | keys))
    statuses, answers = find(filled, "study", query)
    assert values(answers, "StudyInstanceUID") == studies
    assert statuses[-1].Status == 0


def test_c21_names_in_other_scripts(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    for name in ("Yamada*", "=山田^太郎", "==やまだ*"):
        query = identifier(
            "STUDY", SpecificCharacterSet="ISO_IR 192", PatientName=name, PatientID=""
        )
        assert values(find(filled, "study", query)[1], "PatientID") == ["P2"], name


def test_c21_sequence(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    item = Dataset()
    item.RequestedProcedureID = "R1"
    item.ScheduledProcedureStepID = ""
    query = identifier("SERIES", StudyInstanceUID="1.2.3.1", SeriesInstanceUID="")
    query.RequestAttributesSequence = Sequence([item])
    _, answers = find(filled, "study", query)
    assert values(answers, "SeriesInstanceUID") == ["1.2.3.2"]
    (found,) = answers[0].RequestAttributesSequence
    assert (found.RequestedProcedureID, found.ScheduledProcedureStepID) == ("R1", "SR1")


def test_c23_no_match_is_a_single_success(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    statuses, answers = find(filled, "study", identifier("STUDY", PatientID="NOBODY"))
    assert [status.Status for status in statuses] == [0]
    assert answers == []


def test_c23_a_key_that_is_not_supported_is_pending_with_ff01(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    query = identifier("STUDY", PatientID="P2", PixelSpacing=None, SeriesDescription="")
    statuses, answers = find(filled, "study", query)
    assert [status.Status for status in statuses] == [0xFF01, 0]
    assert answers[0].PixelSpacing is None
    assert answers[0].SeriesDescription == ""


@pytest.mark.parametrize(
    ("root", "level", "keys"),
    [("study", "PATIENT", {}), ("study", "FRAME", {}), ("patient", "", {"PatientID": "P1"})],
)
def test_c23_no_such_level(
    node: Any,
    find: Callable[..., Any],
    identifier: Callable[..., Dataset],
    root: str,
    level: str,
    keys: dict[str, str],
) -> None:
    statuses, _ = find(node, root, identifier(level, **keys))
    assert [status.Status for status in statuses] == [0xA900]
    assert statuses[0].OffendingElement == 0x00080052


@pytest.mark.parametrize(
    "keys", [{"StudyDate": "2024*"}, {"StudyDate": "junk"}, {"StudyTime": "1?"}]
)
def test_c22_no_wildcards_in_dates_and_times(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset], keys: dict[str, str]
) -> None:
    statuses, answers = find(filled, "study", identifier("STUDY", **keys))
    assert [status.Status for status in statuses] == [0xA900]
    assert next(iter(keys)) in statuses[0].ErrorComment
    assert answers == []


def test_c23_an_identifier_that_cannot_be_read(node: Any, raw_find: Callable[..., Any]) -> None:
    answers = raw_find(node, b"\x08\x00\x52\x00CS\xff\x00STUDY ")
    assert [answer.status for answer in answers] == [0xA900]
    assert answers[0].comment == "the identifier is cut short"


def test_c23_cancel_ends_the_answers(
    node: Any,
    store: Callable[..., Any],
    instance: Callable[..., Dataset],
    raw_find: Callable[..., Any],
) -> None:
    assert store(node, *[instance() for _ in range(3)]) == [0, 0, 0]
    answers = raw_find(
        node,
        b"\x08\x00\x52\x00CS\x06\x00IMAGE "
        + _uid(0x0020000D, "1.2.3.1")
        + _uid(0x0020000E, "1.2.3.2"),
        cancel=True,
    )
    assert [answer.status for answer in answers] == [0xFE00]


def _uid(tag: int, uid: str) -> bytes:
    raw = uid.encode() + b"\0" * (len(uid) % 2)
    return (
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + b"UI"
        + len(raw).to_bytes(2, "little")
        + raw
    )


@pytest.mark.parametrize(
    ("root", "level", "keys", "offending"),
    [
        ("patient", "STUDY", {}, 0x00100020),
        ("patient", "STUDY", {"PatientID": "P*"}, 0x00100020),
        ("study", "SERIES", {}, 0x0020000D),
        ("study", "SERIES", {"StudyInstanceUID": ["1.2.3.1", "1.2.5.1"]}, 0x0020000D),
        ("study", "IMAGE", {"StudyInstanceUID": "1.2.3.1"}, 0x0020000E),
    ],
)
def test_c24_a_missing_unique_key_is_refused(
    filled: Any,
    find: Callable[..., Any],
    identifier: Callable[..., Dataset],
    root: str,
    level: str,
    keys: dict[str, Any],
    offending: int,
) -> None:
    statuses, answers = find(filled, root, identifier(level, **keys))
    assert [status.Status for status in statuses] == [0xA900]
    assert statuses[0].OffendingElement == offending
    assert "unique key" in statuses[0].ErrorComment
    assert answers == []


def test_c24_unless_relational_queries_were_negotiated(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = PatientRootQueryRetrieveInformationModelFind
    item.service_class_application_information = b"\1"
    query = identifier("SERIES", PatientID="P1", SeriesInstanceUID="", Modality="")
    _, answers = find(filled, "patient", query, ext_neg=[item])
    assert values(answers, "SeriesInstanceUID") == ["1.2.3.2", "1.2.3.3", "1.2.5.2"]


def test_c25_character_sets(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    query = identifier("STUDY", PatientID="", PatientName="", StudyInstanceUID="")
    _, answers = find(filled, "study", query)
    by_id = {answer.PatientID: answer for answer in answers}
    assert "SpecificCharacterSet" not in by_id["P1"]
    assert by_id["P2"].SpecificCharacterSet == "ISO_IR 192"
    assert str(by_id["P2"].PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    ("element", "answered"),
    [(b"SS\x02\x00\xff\xff", None), (b"LO\x04\x00many", None), (b"DS\x02\x0016", 16)],
)
def test_c26_a_number_that_does_not_fit_its_vr_is_answered_empty(
    node: Any,
    raw_store: Callable[..., Command],
    instance: Callable[..., Dataset],
    encoded: Callable[..., bytes],
    find: Callable[..., Any],
    identifier: Callable[..., Dataset],
    element: bytes,
    answered: int | None,
) -> None:
    ds, rows = instance(), b"\x28\x00\x10\x00"
    data = encoded(ds).replace(rows + b"US\x02\x00\x04\x00", rows + element)
    assert raw_store(node, ds, data).status == 0
    query = identifier("IMAGE", StudyInstanceUID="1.2.3.1", SeriesInstanceUID="1.2.3.2", Rows=None)
    statuses, (answer,) = find(node, "study", query)
    assert [status.Status for status in statuses] == [0xFF00, 0]
    assert answer.Rows == answered


def test_c26_computed_attributes(
    filled: Any, find: Callable[..., Any], identifier: Callable[..., Dataset]
) -> None:
    query = identifier(
        "STUDY",
        StudyInstanceUID="1.2.3.1",
        ModalitiesInStudy="",
        NumberOfStudyRelatedSeries=None,
        NumberOfStudyRelatedInstances=None,
        InstanceAvailability="",
        RetrieveAETitle="",
    )
    statuses, (answer,) = find(filled, "study", query)
    assert [status.Status for status in statuses] == [0xFF00, 0]
    assert sorted(answer.ModalitiesInStudy) == ["CT", "SR"]
    assert (answer.NumberOfStudyRelatedSeries, answer.NumberOfStudyRelatedInstances) == (2, 3)
    assert (answer.InstanceAvailability, answer.RetrieveAETitle) == ("ONLINE", "VNA")


@pytest.mark.interop
def test_c20_dcmtk_finds(filled: Any, tool: Callable[..., Any]) -> None:
    found = tool(
        "findscu",
        "-v",
        "-S",
        "-aec",
        "VNA",
        "-k",
        "QueryRetrieveLevel=STUDY",
        "-k",
        "PatientID=P1",
        "-k",
        "StudyInstanceUID",
        "-k",
        "PatientName",
        "127.0.0.1",
        filled.port,
    )
    output = found.stdout + found.stderr
    assert output.count("Doe^Jane") == 2
    assert "1.2.5.1" in output


@pytest.fixture
def raw_find(raw_association: Callable[..., Any]) -> Callable[..., list[Command]]:
    """C-FIND with identifier bytes (explicit little endian); return the responses."""

    def run(node: Any, identifier: bytes, *, cancel: bool = False) -> list[Command]:
        peer = raw_association(
            node, StudyRootQueryRetrieveInformationModelFind, ExplicitVRLittleEndian
        )
        request = Command(
            field=CommandField.C_FIND,
            message_id=5,
            affected_sop_class=StudyRootQueryRetrieveInformationModelFind,
            priority=0,
            data_set_type=1,
        )
        out = peer.message(request, identifier)
        if cancel:
            out += peer.message(Command(field=CommandField.C_CANCEL, responded_to=5))
        peer.send(out)
        answers = [peer.command()]
        while answers[-1].status in {0xFF00, 0xFF01}:
            peer.pdu()
            answers.append(peer.command())
        return answers

    return run
