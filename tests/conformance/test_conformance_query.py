"""Conformance lines 20 to 26 and 39 to 43: C-FIND and QIDO-RS are one query with two doors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage

from vna.archive import PlannedQuery
from vna.errors import Corrupt, Unavailable

ALL_OPTIONS = b"\1\1\1"
"""Extended negotiation of C-FIND: relational, combined date and time, fuzzy."""
LEVELS = {
    "STUDY": ("/studies", "0020000D", "StudyInstanceUID"),
    "SERIES": ("/series", "0020000E", "SeriesInstanceUID"),
    "IMAGE": ("/instances", "00080018", "SOPInstanceUID"),
}


@pytest.fixture
def filled(site: Any, sample: Callable[..., Path]) -> Any:
    """Three studies of two patients: CT and MR, one name in three scripts."""
    step = Dataset()
    step.RequestedProcedureID, step.ScheduledProcedureStepID = "R1", "SPS1"
    mr: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "Modality": "MR",
        "StudyInstanceUID": "1.2.4",
        "SeriesInstanceUID": "1.2.4.1",
        "StudyDate": "20260103",
        "StudyTime": "0800",
        "AccessionNumber": "A2",
    }
    files = [
        sample(RequestAttributesSequence=[step]),
        sample(RequestAttributesSequence=[step], Rows=8),
        sample(SeriesInstanceUID="1.2.3.2", Modality="SR", SeriesNumber=2),
        sample(**mr),
        sample(
            StudyInstanceUID="1.2.5",
            SeriesInstanceUID="1.2.5.1",
            PatientID="P2",
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
            StudyDate="20260101",
            StudyTime="235959.5",
            AccessionNumber="B*",
        ),
    ]
    assert {site.stow(file).status for file in files} == {200}  # apart: they come in this order
    return site


@pytest.mark.parametrize(
    ("level", "keys", "found"),
    [
        ("STUDY", {}, 3),
        ("STUDY", {"PatientName": "MULLER^JORG"}, 2),
        ("STUDY", {"PatientName": "müll*"}, 2),
        ("STUDY", {"PatientName": "M?ller^J*"}, 2),
        ("STUDY", {"PatientName": "=山田^太郎"}, 1),
        ("STUDY", {"PatientName": "やまだ*"}, 1),
        ("STUDY", {"PatientName": "*"}, 3),
        ("STUDY", {"PatientID": "P?"}, 3),
        ("STUDY", {"PatientID": "p1"}, 0),
        ("STUDY", {"AccessionNumber": "A*"}, 2),
        ("STUDY", {"AccessionNumber": "A1"}, 1),
        ("STUDY", {"StudyDate": "20260102"}, 1),
        ("STUDY", {"StudyDate": "20260102-"}, 2),
        ("STUDY", {"StudyDate": "-20260102"}, 2),
        ("STUDY", {"StudyDate": "20260101-20260103"}, 3),
        ("STUDY", {"StudyTime": "0800-1015"}, 2),
        # from the evening of the first to the morning of the third, as one moment
        ("STUDY", {"StudyDate": "20260101-20260103", "StudyTime": "2000-0759"}, 2),
        ("STUDY", {"StudyDate": "20260102-20260103", "StudyTime": "1015-0800"}, 2),
        ("STUDY", {"StudyInstanceUID": "1.2.3\\1.2.5\\1.9"}, 2),
        ("STUDY", {"StudyInstanceUID": "1.2.*"}, 0),
        ("STUDY", {"ModalitiesInStudy": "SR"}, 1),
        ("STUDY", {"ModalitiesInStudy": "CT", "PatientID": "P2"}, 1),
        ("STUDY", {"NumberOfStudyRelatedInstances": "3"}, 1),
        ("SERIES", {}, 4),
        ("SERIES", {"StudyInstanceUID": "1.2.3"}, 2),
        ("SERIES", {"Modality": "C?", "PatientID": "P1"}, 1),
        ("SERIES", {"SeriesNumber": "02"}, 1),
        ("SERIES", {"RequestAttributesSequence__ScheduledProcedureStepID": "SPS*"}, 1),
        ("SERIES", {"RequestAttributesSequence__RequestedProcedureID": "R2"}, 0),
        ("IMAGE", {}, 5),
        ("IMAGE", {"SOPClassUID": str(CTImageStorage)}, 4),
        ("IMAGE", {"Rows": "8"}, 1),
        ("IMAGE", {"InstanceNumber": "1", "StudyInstanceUID": "1.2.3"}, 1),
    ],
)
def test_c43_c_find_and_qido_find_the_same_in_the_same_order(
    filled: Any, identifier: Callable[..., Dataset], level: str, keys: dict[str, str], found: int
) -> None:
    path, tag, unique = LEVELS[level]
    by_qido = [one[tag]["Value"][0] for one in filled.search(path, **keys).json()]
    statuses, answers = filled.c_find(
        identifier(level, **({unique: ""} | keys)), options=ALL_OPTIONS
    )
    assert statuses == [0xFF00] * found + [0]
    assert [str(answer[unique].value) for answer in answers] == by_qido
    assert len(by_qido) == found


def test_c43_fuzzy_matching_is_the_same_through_both_doors(
    filled: Any, identifier: Callable[..., Dataset]
) -> None:
    by_qido = filled.search("/studies", PatientName="jörg mull", fuzzymatching="true").json()
    _, answers = filled.c_find(
        identifier("STUDY", PatientName="jörg mull", StudyInstanceUID=""), options=ALL_OPTIONS
    )
    assert [str(answer.StudyInstanceUID) for answer in answers] == ["1.2.3", "1.2.4"]
    assert [one["0020000D"]["Value"][0] for one in by_qido] == ["1.2.3", "1.2.4"]
    assert filled.search("/studies", PatientName="jörg mull").json() == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "2026*"),
        ("StudyDate", "yesterday"),
        ("StudyTime", "1?"),
        ("PatientBirthDate", "19700132-x"),
        ("NumberOfStudyRelatedInstances", "many"),
    ],
)
def test_c22_what_is_no_value_of_its_vr_is_refused_by_both_doors(
    filled: Any, identifier: Callable[..., Dataset], keyword: str, value: str
) -> None:
    refused = filled.search("/studies", **{keyword: value})
    assert refused.status == 400
    assert keyword in refused.json()["detail"]
    query = identifier("STUDY", PatientID="")
    query.add_new(keyword, "LO", value)  # as text, whatever the attribute's VR
    statuses, answers = filled.c_find(query)
    assert (statuses, answers) == ([0xA900], [])


def test_c22_date_and_time_are_matched_apart_until_negotiated(
    filled: Any, identifier: Callable[..., Dataset]
) -> None:
    query = identifier(
        "STUDY", StudyDate="20260101-20260103", StudyTime="0759-1100", StudyInstanceUID=""
    )
    found = [str(answer.StudyInstanceUID) for answer in filled.c_find(query)[1]]
    assert found == ["1.2.3", "1.2.4"]
    together = filled.c_find(query, options=b"\0\1\0")[1]
    assert len(together) == 3


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({"PatientID": "P2", "NumberOfStudyRelatedSeries": ""}, 0xFF00),
        ({"PatientID": "P2", "NumberOfPatientRelatedStudies": "1"}, 0xFF01),
        ({"PatientID": "P2", "InstanceAvailability": "ONLINE"}, 0xFF01),
        ({"PatientID": "P2", "SeriesDescription": ""}, 0xFF01),
    ],
)
def test_c23_pending_says_whether_every_key_was_supported(
    filled: Any, identifier: Callable[..., Dataset], keys: dict[str, str], status: int
) -> None:
    statuses, _ = filled.c_find(identifier("STUDY", **keys))
    assert statuses == [status, 0]


@pytest.mark.parametrize(
    ("error", "status", "code"), [(Unavailable, 0xA700, 503), (Corrupt, 0xC000, 500)]
)
def test_c23_a_query_that_fails_is_told(
    filled: Any,
    identifier: Callable[..., Dataset],
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    status: int,
    code: int,
) -> None:
    def fail(*_: Any) -> Any:
        raise error("the index is not well")
        yield

    monkeypatch.setattr(PlannedQuery, "matches", fail)
    assert filled.c_find(identifier("STUDY", PatientID="P1"))[0] == [status]
    assert filled.search("/studies").status == code


def test_c26_counts_at_every_level(filled: Any, identifier: Callable[..., Dataset]) -> None:
    patient = identifier(
        "PATIENT",
        PatientID="P1",
        NumberOfPatientRelatedStudies="",
        NumberOfPatientRelatedSeries="",
        NumberOfPatientRelatedInstances="",
    )
    _, (answer,) = filled.c_find(patient, root="patient")
    assert answer.NumberOfPatientRelatedStudies == 2
    assert answer.NumberOfPatientRelatedSeries == 3
    assert answer.NumberOfPatientRelatedInstances == 4
    series = identifier(
        "SERIES", StudyInstanceUID="1.2.3", NumberOfSeriesRelatedInstances="", RetrieveAETitle=""
    )
    _, answers = filled.c_find(series)
    assert [answer.NumberOfSeriesRelatedInstances for answer in answers] == [2, 1]
    assert {answer.RetrieveAETitle for answer in answers} == {"VNA"}
    assert {answer.InstanceAvailability for answer in answers} == {"ONLINE"}


def test_c25_a_name_is_the_same_text_through_both_doors(
    filled: Any, identifier: Callable[..., Dataset]
) -> None:
    _, (answer,) = filled.c_find(identifier("STUDY", PatientID="P2", PatientName=""))
    assert answer.SpecificCharacterSet == "ISO_IR 192"
    (name,) = filled.search("/studies", PatientID="P2").json()[0]["00100010"]["Value"]
    groups = (name["Alphabetic"], name["Ideographic"], name["Phonetic"])
    assert tuple(str(answer.PatientName).split("=")) == groups
    assert groups == ("Yamada^Tarou", "山田^太郎", "やまだ^たろう")


def test_c42_a_time_zone_is_said_to_be_ignored(filled: Any) -> None:
    answer = filled.search("/studies", StudyDate="20260102", TimezoneOffsetFromUTC="+0100")
    assert len(answer.json()) == 1
    assert "TimezoneOffsetFromUTC" in answer.headers["Warning"]


def test_c43_each_item_has_its_own_values_through_both_doors(
    site: Any, sample: Callable[..., Path], identifier: Callable[..., Dataset]
) -> None:
    told = [("A", ""), ("", "H1"), ("B", "H2")]
    ids = [Dataset() for _ in told]
    for item, (number, issuer) in zip(ids, told, strict=True):
        item.PatientID = number
        if issuer:
            item.IssuerOfPatientID = issuer
    site.stow(sample(OtherPatientIDsSequence=ids))
    asked = identifier("STUDY")
    asked.OtherPatientIDsSequence = []
    _, (answer,) = site.c_find(asked)
    items = answer.OtherPatientIDsSequence
    assert [(item.PatientID, item.IssuerOfPatientID) for item in items] == told
    (study,) = site.search("/studies", includefield="OtherPatientIDsSequence").json()
    found = study["00101002"]["Value"]
    texts = [
        [item[tag].get("Value", [""])[0] for tag in ("00100020", "00100021")] for item in found
    ]
    assert list(map(tuple, texts)) == told
