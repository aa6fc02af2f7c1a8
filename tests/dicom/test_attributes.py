import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom import attributes as a
from vna.types import Level

REQUIRED_FOR_QIDO = {  # PS3.18 table 10.6.1-5
    Level.PATIENT: ["PatientName", "PatientID"],
    Level.STUDY: [
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "StudyInstanceUID",
        "StudyID",
    ],
    Level.SERIES: [
        "Modality",
        "SeriesInstanceUID",
        "SeriesNumber",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "RequestAttributesSequence.ScheduledProcedureStepID",
        "RequestAttributesSequence.RequestedProcedureID",
    ],
    Level.INSTANCE: ["SOPClassUID", "SOPInstanceUID", "InstanceNumber"],
}
ANSWERED_BY_QIDO = [  # PS3.18 tables 10.6.3-3 to -5
    "InstanceAvailability",
    "TimezoneOffsetFromUTC",
    "RetrieveURL",
    "PatientBirthDate",
    "PatientSex",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
    "SeriesDescription",
    "NumberOfSeriesRelatedInstances",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
]

BY_KEYWORD = {row.keyword: row for row in a.TABLE}


def test_required_attributes_are_at_their_level():
    for level, keywords in REQUIRED_FOR_QIDO.items():
        for keyword in keywords:
            assert BY_KEYWORD[keyword].level is level
    assert set(ANSWERED_BY_QIDO) <= set(BY_KEYWORD)


def test_no_path_and_no_code_stands_twice():
    assert len(a.BY_PATH) == len(a.TABLE)
    codes = [row.code for row in a.TABLE if row.code]
    assert len(codes) == len(set(codes))
    assert not any(row.code and row.computed for row in a.TABLE)


def test_codes_are_part_of_the_index_format():
    """A change here makes every existing index wrong: it needs a new schema version."""
    assert {row.keyword: row.code for row in a.TABLE if row.code} == {
        "PatientName": 1,
        "PatientID": 2,
        "PatientBirthDate": 3,
        "StudyDate": 16,
        "AccessionNumber": 17,
        "StudyID": 18,
        "ReferringPhysicianName": 19,
        "Modality": 32,
        "PerformedProcedureStepStartDate": 33,
        "RequestAttributesSequence.RequestedProcedureID": 34,
        "RequestAttributesSequence.ScheduledProcedureStepID": 35,
        "SOPClassUID": 48,
    }


def test_constants_name_their_attributes():
    for name, value in vars(a).items():
        if name.isupper() and isinstance(value, int) and value > 0xFFFF:
            assert a.BY_PATH[value].keyword.upper() == name.replace("_", "")


def test_computed_attributes_are_not_looked_for_in_objects():
    assert not a.COMPUTED & set(a.INTEREST)
    assert a.COMPUTED | set(a.INTEREST) == set(a.BY_PATH)
    assert a.EVERY_LEVEL <= a.COMPUTED


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({a.PATIENT_ID: ["12"]}, "\x0012"),
        ({a.PATIENT_ID: [" 12 "], a.ISSUER_OF_PATIENT_ID: ["St. Anne"]}, "St. Anne\x0012"),
        ({a.PATIENT_ID: [], a.STUDY_INSTANCE_UID: ["1.2"]}, "\0\x001.2"),
        ({a.PATIENT_ID: ["  "], a.STUDY_INSTANCE_UID: ["1.2"]}, "\0\x001.2"),
        ({a.ISSUER_OF_PATIENT_ID: ["X"], a.STUDY_INSTANCE_UID: ["1.2"]}, "\0\x001.2"),
    ],
)
def test_patient_key(values, key):
    assert a.patient_key(values) == key


def test_unknown_patients_do_not_merge():
    one, two = ({a.STUDY_INSTANCE_UID: [uid]} for uid in ("1.1", "1.2"))
    assert a.patient_key(one) != a.patient_key(two)


def test_long_patient_keys_stay_apart():
    one, two = ({a.PATIENT_ID: ["é" * 400 + end]} for end in "ab")
    keys = {a.patient_key(one), a.patient_key(two)}
    assert len(keys) == 2
    assert all(len(key.encode()) <= a.MAX_PATIENT_KEY for key in keys)


@given(
    st.dictionaries(
        st.sampled_from([a.PATIENT_ID, a.ISSUER_OF_PATIENT_ID]),
        st.lists(st.text(st.characters(codec="utf-8")), max_size=2),
    )
)
def test_a_named_patient_never_has_the_key_of_an_unknown_one(values):
    key = a.patient_key(values | {a.STUDY_INSTANCE_UID: ["1.2"]})
    known = bool(
        values.get(a.PATIENT_ID) and values[a.PATIENT_ID][0].strip(" \0").replace("\0", "")
    )
    assert key.startswith("\0\0") is not known
    assert len(key.encode()) <= a.MAX_PATIENT_KEY
