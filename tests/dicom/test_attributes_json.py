import json
import math
import re
from decimal import Decimal

import pydicom
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom import attributes as a
from vna.dicom.json import attributes_json_bytes
from vna.dicom.matching import NUMBER_VRS


def attributes_json(attributes):
    return json.loads(attributes_json_bytes(attributes))


def test_c50_names_numbers_and_empty_elements():
    assert attributes_json(
        {
            0x0020_0013: ["+007", "x", ""],
            a.PATIENT_NAME: ["Yamada^Tarou=山田^太郎=やまだ", "=山田", ""],
            a.PATIENT_ID: [],
            0x0010_1030: ["70.50", "1e400", "3"],
            0x0028_0010: [512],
            0x0008_0008: ["ORIGINAL", "", "AXIAL"],
            a.NUMBER_OF_STUDY_RELATED_SERIES: [3],
        }
    ) == {
        "00080008": {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]},
        "00100010": {
            "vr": "PN",
            "Value": [
                {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ"},
                {"Ideographic": "山田"},
            ],
        },
        "00100020": {"vr": "LO"},
        "00101030": {"vr": "DS", "Value": [70.5, "1e400", 3]},
        "00200013": {"vr": "IS", "Value": [7, "x"]},
        "00201206": {"vr": "IS", "Value": [3]},
        "00280010": {"vr": "US", "Value": [512]},
    }


def test_c50_elements_stand_in_order_of_tags():
    paths = [row.path for row in a.TABLE][::-1]
    tags = list(attributes_json({path: ["1"] for path in paths}))
    assert tags == sorted(tags)


def test_sequences_are_put_together_again():
    sequence = 0x0040_0275 << 32
    values = {sequence | 0x0040_1001: ["RP1", "RP2"], sequence | 0x0040_0009: ["S1", ""]}
    assert attributes_json(values) == {
        "00400275": {
            "vr": "SQ",
            "Value": [
                {
                    "00400009": {"vr": "SH", "Value": ["S1"]},
                    "00401001": {"vr": "SH", "Value": ["RP1"]},
                },
                {"00400009": {"vr": "SH"}, "00401001": {"vr": "SH", "Value": ["RP2"]}},
            ],
        }
    }


def test_items_that_cannot_be_told_apart_share_one():
    sequence = 0x0040_0275 << 32
    values = {sequence | 0x0040_1001: ["RP1", "RP2"], sequence | 0x0040_0009: ["S1"]}
    (item,) = attributes_json(values)["00400275"]["Value"]
    assert item["00401001"]["Value"] == ["RP1", "RP2"]
    assert item["00400009"]["Value"] == ["S1"]


def test_attributes_outside_the_table_have_the_dictionary_s_vr():
    assert attributes_json({0x0018_0050: ["1.5"], 0x0009_1001: ["x"]}) == {
        "00091001": {"vr": "UN", "Value": ["x"]},
        "00180050": {"vr": "DS", "Value": [1.5]},
    }


def test_pydicom_reads_it():
    attributes = {
        a.PATIENT_NAME: ["Doe^Jane=山田"],
        a.STUDY_DATE: ["20240102"],
        a.MODALITIES_IN_STUDY: ["CT", "MR"],
        0x0040_0275_0040_1001: ["RP1", "RP2"],
        0x0020_0011: ["4"],
    }
    read = pydicom.Dataset.from_json(attributes_json_bytes(attributes).decode())
    assert read.PatientName.ideographic == "山田"
    assert read.ModalitiesInStudy == ["CT", "MR"]
    assert [item.RequestedProcedureID for item in read.RequestAttributesSequence] == ["RP1", "RP2"]
    assert read.SeriesNumber == 4


@given(
    st.dictionaries(
        st.sampled_from([row.path for row in a.TABLE]),
        st.lists(
            st.text(st.characters(codec="utf-8"), max_size=10)
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats(allow_nan=False, allow_infinity=False),
            max_size=4,
        ),
    )
)
def test_any_attributes_make_json(attributes):
    found = json.loads(attributes_json_bytes(attributes), parse_float=Decimal)
    assert list(found) == sorted(found)
    for row in a.TABLE:
        tag, member = divmod(row.path, 1 << 32)
        if row.path not in attributes:
            continue
        if not tag:
            assert found[f"{member:08X}"] == modelled(row.vr, attributes[row.path])
            continue
        items = found[f"{tag:08X}"]["Value"]
        held = [value for item in items for value in texts(item[f"{member:08X}"])]
        assert held == texts(modelled(row.vr, attributes[row.path]))


def modelled(vr, values):
    """An element by the letter of PS3.18 F.2, as slow as can be."""
    found = [spelled(vr, value) for value in values]
    while found and found[-1] is None:
        found.pop()
    return {"vr": vr, "Value": found} if found else {"vr": vr}


def spelled(vr, value):
    if not isinstance(value, str) and vr in NUMBER_VRS:
        return Decimal(repr(value)) if isinstance(value, float) else value
    if not isinstance(value, str):
        value = f"{Decimal(repr(value)):f}"
        value = value.rstrip("0").rstrip(".") if "." in value else value
    if vr == "PN":
        groups = [group.strip(" \0") for group in value.split("=")[:3]]
        labels = ("Alphabetic", "Ideographic", "Phonetic")
        return {name: text for name, text in zip(labels, groups, strict=False) if text} or None
    if vr in ("IS", "DS"):
        value = value.strip(" ")
        number = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
        if re.fullmatch(number, value) and math.isfinite(float(value)):
            return Decimal(value)
    return value or None


def texts(element):
    """The values of an element that are there."""
    return [value for value in element.get("Value", []) if value is not None]
