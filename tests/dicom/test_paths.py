from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.paths import Path, bulk_path, describe, parse_bulk_path, parse_path, tag_name
from vna.errors import Invalid


@pytest.mark.parametrize("text", ["PatientName", "00100010", "(0010,0010)"])
def test_forms_of_a_top_level_attribute(text):
    assert parse_path(text) == Path(0x0010_0010, "PN", "PatientName")


@pytest.mark.parametrize(
    "text",
    [
        "RequestAttributesSequence.ScheduledProcedureStepID",
        "00400275.00400009",
        "RequestAttributesSequence.00400009",
    ],
)
def test_forms_of_an_attribute_in_a_sequence(text):
    keyword = "RequestAttributesSequence.ScheduledProcedureStepID"
    assert parse_path(text) == Path(0x0040_0275_0040_0009, "SH", keyword)
    assert describe(0x0040_0275_0040_0009) == keyword


def test_private_and_ambiguous_attributes():
    assert parse_path("00091001") == Path(0x0009_1001, "UN", "00091001")
    assert parse_path("7fe00010").vr == "OB"
    assert parse_path("SmallestImagePixelValue").vr == "US"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nonsense",
        "patientname",
        "0010001",
        "001000100",
        "0010 0010",
        "0010001\uff10",
        "00400275.",
        ".00400009",
        "PatientName.PatientID",
        "00400275.00400008.00080100",
    ],
)
def test_what_names_nothing_is_refused(text):
    with pytest.raises(Invalid):
        parse_path(text)


def test_tag_name():
    assert tag_name(0x0020_000D) == "(0020,000D)"


def test_bulk_path_as_in_a_bulk_data_uri():
    assert bulk_path((0x5400_0100, 0, 0x5400_1010)) == "54000100/0/54001010"
    assert parse_bulk_path("7fe00010") == (0x7FE0_0010,)


@given(
    st.integers(0, 5).flatmap(
        lambda n: st.tuples(
            st.integers(0, 0xFFFF_FFFF),
            *[st.integers(0, 999_999_999), st.integers(0, 0xFFFF_FFFF)] * n,
        )
    )
)
def test_bulk_paths_come_back(path):
    assert parse_bulk_path(bulk_path(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "7FE00010/",
        "7FE00010/0",
        "7FE0001",
        "7FE00010/-1/7FE00010",
        "7FE00010/00/7FE00010",
        "7FE00010//7FE00010",
        "7FE00010/0/7FE00010/0",
        "../../etc",
        "1/" * 500 + "1",
    ],
)
def test_other_bulk_paths_are_refused(text):
    with pytest.raises(Invalid):
        parse_bulk_path(text)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text):
    for parse in (parse_path, parse_bulk_path):
        with suppress(Invalid):
            parse(text)
