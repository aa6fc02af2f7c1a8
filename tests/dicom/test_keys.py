import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom import attributes as a
from vna.dicom.keys import _PREFERENCE, MAX_VALUE, WORD, keys_of, plan
from vna.dicom.matching import compile_query
from vna.errors import Invalid
from vna.types import Key, Level, Query

KEYED = [row for row in a.TABLE if row.code]
UID_OF = {Level.STUDY: a.STUDY_INSTANCE_UID, Level.SERIES: a.SERIES_INSTANCE_UID}
UID_OF[Level.INSTANCE] = a.SOP_INSTANCE_UID


def test_every_keyed_attribute_has_a_place_in_the_preference():
    assert set(_PREFERENCE) == {row.keyword for row in KEYED}
    assert all(row.code < WORD for row in KEYED)


def test_keys_of_a_patient():
    patient = {
        a.PATIENT_NAME: ["Müller-Lüd^Jörg=山田"],
        a.PATIENT_ID: ["Ab 12 "],
        a.PATIENT_BIRTH_DATE: ["1980.02.03"],
        0x0010_0040: ["M"],
    }
    assert sorted(keys_of(Level.PATIENT, patient)) == sorted(
        [
            b"\1muller-lud^jorg\1",
            b"\1" + "山田".encode() + b"\1",
            b"\x81muller\1",
            b"\x81lud\1",
            b"\x81jorg\1",
            b"\x81" + "山田".encode() + b"\1",
            b"\2Ab 12\1",
            b"\x0319800203\1",
        ]
    )
    assert keys_of(Level.STUDY, patient) == []


def test_values_without_use_have_no_key():
    study = {a.STUDY_DATE: ["yesterday"], a.ACCESSION_NUMBER: [" "], a.STUDY_ID: []}
    assert keys_of(Level.STUDY, study) == []


def test_equal_values_have_one_key():
    series = {0x0040_0275_0040_1001: ["RP1", "RP1", "RP2"]}
    assert len(keys_of(Level.SERIES, series)) == 2


@given(st.sampled_from(KEYED), st.lists(st.text(max_size=500), max_size=3))
def test_keys_are_short_and_begin_with_a_code(row, values):
    for key in keys_of(row.level, {row.path: values}):
        assert len(key) <= 1 + MAX_VALUE + 1
        assert key[0] & ~WORD == row.code
        assert 0 not in key
        assert key.endswith(b"\1")


def planned(level, *keys, **options):
    found = plan(Query(level, tuple(Key(*key) for key in keys), **options))
    return found.reason, found.level


@pytest.mark.parametrize(
    ("keys", "reason", "level"),
    [
        ([(a.SOP_INSTANCE_UID, "1.1"), (a.STUDY_INSTANCE_UID, "1")], "SOPInstanceUID", "INSTANCE"),
        (
            [(a.STUDY_INSTANCE_UID, "1\\2"), (a.PATIENT_ID, "1")],
            "StudyInstanceUID list of 2",
            "STUDY",
        ),
        ([(a.PATIENT_ID, "1"), (a.ACCESSION_NUMBER, "A")], "AccessionNumber exact", "STUDY"),
        ([(a.PATIENT_ID, "1"), (a.STUDY_DATE, "20240101")], "PatientID exact", "PATIENT"),
        ([(a.PATIENT_ID, "1*"), (a.STUDY_DATE, "20240101")], "StudyDate exact", "STUDY"),
        ([(a.PATIENT_NAME, "Doe*"), (a.MODALITY, "CT")], "Modality exact", "SERIES"),
        ([(a.PATIENT_NAME, "Doe*"), (a.STUDY_DATE, "20240101-")], "PatientName range", "PATIENT"),
        ([(a.PATIENT_NAME, "*oe"), (a.STUDY_DATE, "20240101-")], "StudyDate range", "STUDY"),
        ([(0x0040_0275_0040_0009, "S")], "RequestAttributesSequence.Sched", "SERIES"),
    ],
)
def test_preference(keys, reason, level):
    found = planned(Level.INSTANCE, *keys)
    assert found[0].startswith(reason)
    assert found[1] is Level[level]


@pytest.mark.parametrize(
    "key",
    [
        (a.PATIENT_ID, "*"),
        (a.PATIENT_ID, "*1"),
        (a.PATIENT_NAME, "?oe"),
        (a.MODALITY, "CT"),  # below the level asked
        (a.PATIENT_NAME, "Doe\\*e"),
        (0x0010_0040, "M"),
        (a.MODALITIES_IN_STUDY, "CT"),
        (a.ACCESSION_NUMBER, "\\".join(f"A{n}" for n in range(600))),
    ],
)
def test_all_entities_where_no_key_helps(key):
    found = plan(Query(Level.STUDY, (Key(*key),)))
    assert found.scan
    assert (found.level, found.ranges, found.uids) == (Level.STUDY, (), ())


def test_uids_that_nothing_can_have_are_dropped():
    found = plan(Query(Level.STUDY, (Key(a.STUDY_INSTANCE_UID, "1\\" + "2" * 65 + "\\1"),)))
    assert (found.uids, found.scan) == (("1",), False)


def test_reasons_hold_no_value():
    for row in KEYED:
        assert "20240101" not in plan(Query(Level.INSTANCE, (Key(row.path, "20240101"),))).reason


# a plan never loses a match -----------------------------------------------------------------------
NAME_PARTS = [
    "Doe",
    "DO",
    "dö",
    "Jane",
    "J",
    "^",
    "^",
    "=",
    " ",
    "-",
    ",",
    "山田",
    "が",
    "か",
    "ß",
    "o",
]
TEXT_PARTS = ["A", "a", "1", "12", " ", "é", "x" * 299, "\0", "yz"]
WILD = ["*", "*", "?"]
DATES = ["20240101", "20240102", "2024.01.03", "20231231", "19991231"]


def joined(parts, size):
    return st.lists(st.sampled_from(parts), min_size=1, max_size=size).map("".join)


HELD = {
    "PN": joined(NAME_PARTS, 6),
    "DA": st.sampled_from([*DATES, "x", ""]),
    "UI": st.sampled_from(["1.1", "1.2", "1.2.3"]),
}
ASKED = {
    "PN": joined(NAME_PARTS + WILD, 5),
    "DA": st.one_of(
        st.sampled_from(DATES),
        st.tuples(st.sampled_from(["", *DATES]), st.sampled_from(DATES)).map("-".join),
        st.sampled_from(DATES).map("{}-".format),
    ),
    "UI": st.sampled_from(["1.1", "1.2", "1.2.3", "1.*"]),
}
ASKABLE = [*KEYED, *(a.BY_PATH[path] for path in UID_OF.values())]
VALUES = {row: HELD.get(row.vr, joined(TEXT_PARTS, 3)) for row in ASKABLE}


def of_level(level):
    rows = [row for row in ASKABLE if row.level is level]
    return st.fixed_dictionaries(
        {}, optional={row.path: st.lists(VALUES[row], max_size=2) for row in rows}
    )


@st.composite
def keys(draw):
    row = draw(st.sampled_from(ASKABLE))
    values = draw(st.lists(ASKED.get(row.vr, joined(TEXT_PARTS + WILD, 3)), min_size=1, max_size=2))
    return Key(row.path, "\\".join(values))


QUERIES = st.builds(
    Query,
    level=st.sampled_from(list(Level)),
    keys=st.lists(keys(), min_size=1, max_size=3, unique_by=lambda key: key.path).map(tuple),
    fuzzy=st.booleans(),
    combine_datetime=st.booleans(),
)
ROWS = st.lists(st.tuples(*(of_level(level) for level in Level)), min_size=1, max_size=6)


def reached(entity, found):
    if found.scan:
        return True
    held = entity[found.level]
    if found.uids and set(held.get(UID_OF[found.level], ())) & set(found.uids):
        return True
    return any(
        low <= key < high for key in keys_of(found.level, held) for low, high in found.ranges
    )


def lossless(query, rows):
    try:
        compiled = compile_query(query)
    except Invalid:
        return
    found = plan(query)
    assert found.level <= query.level
    for row in rows:
        if all(compiled.matches(level, row[level]) for level in Level if level <= query.level):
            assert reached(row, found), found


@settings(max_examples=300)
@given(QUERIES, ROWS)
def test_a_plan_never_loses_a_match(query, rows):
    lossless(query, rows)


@pytest.mark.parametrize(
    ("row", "key", "held"),
    [
        (a.PATIENT_NAME, "do^*", "DÖ"),
        (a.PATIENT_NAME, "do^*", "DÖ^Jane"),
        (a.PATIENT_NAME, "do^*^*=*", "DÖ^Jane"),
        (a.PATIENT_NAME, "=山田*", "Yamada=山田^太郎"),
        (a.PATIENT_ID, "x" * 400, "x" * 400),
        (a.PATIENT_ID, "x" * 400 + "*", "x" * 500),
        (a.PATIENT_ID, "é" * 160, "é" * 160),
        (a.PATIENT_ID, "A\0B", "A\0B"),
        (a.PATIENT_ID, "A\1*", "A\1B"),
    ],
)
def test_a_plan_reaches(row, key, held):
    query = Query(Level.PATIENT, (Key(row, key),))
    assert not plan(query).scan
    assert compile_query(query).matches(Level.PATIENT, {row: [held]})
    assert all(len(found) <= MAX_VALUE + 2 for found in keys_of(Level.PATIENT, {row: [held]}))
    lossless(query, [({row: [held]}, {}, {}, {})])


@st.composite
def likely(draw):
    """A query made from a value that is there, so that nearly every case matches something."""
    row = draw(st.sampled_from([row for row in KEYED if row.vr != "UI"]))
    value = draw(VALUES[row])
    fuzzy = draw(st.booleans())
    if row.vr == "DA":
        key = draw(st.sampled_from(["{}", "{}-", "-{}", "19000101-{}"])).format(value)
    else:
        cut = draw(st.integers(0, len(value)))
        shape = draw(
            st.sampled_from(["{0}{1}", "{0}*", "{0}?*", "{0}*{1}", "*{1}", "{0}^*", "{0}"])
        )
        key = shape.format(value[:cut], value[cut:])
    entity = [{}, {}, {}, {}]
    entity[row.level] = {row.path: [value]}
    return Query(Level.INSTANCE, (Key(row.path, key),), fuzzy=fuzzy), [tuple(entity)]


@settings(max_examples=1000)
@given(likely())
def test_a_plan_never_loses_a_likely_match(case):
    lossless(*case)
