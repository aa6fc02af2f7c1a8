"""Identifiers as bytes: read and written, whatever they hold."""

import struct
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from vna.dimse.identifiers import Answers, read_identifier
from vna.errors import Invalid

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_answers_read_back_as_written(syntax: str) -> None:
    long = [f"1.2.{n}" for n in range(10_000)]
    answers = Answers(
        syntax,
        "STUDY",
        "VNA",
        [0x00100010, 0x00080062, 0x00280010, 0x00101030, 0x00400275 << 32 | 0x00401001],
    )
    written = answers.write(
        {
            0x00100010: ["Bück^Ä"],
            0x00080062: list[Any](long),
            0x00280010: [512],
            0x00101030: [70.5],
            0x00400275 << 32 | 0x00401001: ["A", "B"],
        }
    )
    ds = read_dataset(
        BytesIO(written), syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    )
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert str(ds.PatientName) == "Bück^Ä"
    assert ds.Rows == 512
    assert ds.PatientWeight == 70.5
    assert [item.RequestedProcedureID for item in ds.RequestAttributesSequence] == ["A", "B"]
    many = ds[0x00080062].value
    if isinstance(many, bytes):  # too long for UI with its 16-bit length: sent as UN
        many = many.strip(b"\0").decode().split("\\")
    assert list(map(str, many)) == long


PATIENT_IDS = 0x00101002 << 32


@pytest.mark.parametrize(
    ("ids", "issuers", "items"),
    [
        (["A", "B"], ["X", "Y"], [("A", "X"), ("B", "Y")]),
        (["A", "B"], [], [("A", ""), ("B", "")]),
        (["A", "B"], ["Y"], [(["A", "B"], "Y")]),  # nobody knows whose issuer Y is
        ([], [], []),
    ],
)
def test_values_of_items_that_cannot_be_told_apart_are_in_one(
    ids: list[Any], issuers: list[Any], items: list[Any]
) -> None:
    paths = [PATIENT_IDS | tag for tag in (0x00100020, 0x00100021, 0x00100022)]
    answers = Answers(ExplicitVRLittleEndian, "PATIENT", "VNA", paths)
    written = answers.write(dict(zip(paths, [ids, issuers], strict=False)))
    found = read_dataset(BytesIO(written), is_implicit_VR=False, is_little_endian=True)
    told = [(item.PatientID, item.IssuerOfPatientID) for item in found.OtherPatientIDsSequence]
    assert told == items


@pytest.mark.parametrize("odd", [["abc"], ["1.5"], [-5], [70_000], [float("inf")]], ids=str)
def test_a_value_that_is_no_number_of_its_vr_is_left_out(odd: list[Any]) -> None:
    answers = Answers(ExplicitVRLittleEndian, "IMAGE", "VNA", [0x00280010, 0x00280011])
    written = answers.write({0x00280010: odd, 0x00280011: ["16"]})
    found = read_dataset(BytesIO(written), is_implicit_VR=False, is_little_endian=True)
    assert found["Rows"].is_empty
    assert found.Columns == 16


@pytest.mark.filterwarnings("ignore:.*encod:UserWarning")  # pydicom's, of text that is no text
@pytest.mark.parametrize("syntax", SYNTAXES)
@given(st.data())
def test_any_bytes_are_an_identifier_or_invalid(syntax: str, data: st.DataObject) -> None:
    plain = bytearray(NESTED[syntax])
    for _ in range(data.draw(st.integers(0, 4))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Invalid):
        read_identifier(bytes(plain[: data.draw(st.integers(0, len(plain)))]), syntax)


def _nested(syntax: str) -> bytes:
    inner, item, ds = Dataset(), Dataset(), Dataset()
    inner.CodeValue = "1"
    item.ScheduledProcedureStepID = "S1"
    item.ScheduledProtocolCodeSequence = Sequence([inner])
    item.is_undefined_length_sequence_item = True
    ds.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    ds.PatientName = "Yamada=山田"
    ds.QueryRetrieveLevel = "SERIES"
    ds.Rows = 512
    ds.RequestAttributesSequence = Sequence([item])
    ds["RequestAttributesSequence"].is_undefined_length = True
    out = BytesIO()
    dcmwrite(
        out,
        ds,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=False,
    )
    return out.getvalue()


NESTED = {syntax: _nested(syntax) for syntax in SYNTAXES}


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_identifier_is_read_in_its_character_set_sequences_included(syntax: str) -> None:
    identifier = read_identifier(NESTED[syntax], syntax)
    assert identifier.level == "SERIES"
    assert identifier.keys == {
        0x00100010: "Yamada=山田",
        0x00280010: "512",
        0x00400275 << 32 | 0x00400009: "S1",
    }
    assert identifier.sequences == (0x00400275,)
    assert identifier.deeper


@pytest.mark.parametrize(
    ("sets", "raw", "name"),
    [
        (b"\\ISO 2022 IR 58 ", b"Z=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1 ", "Z=张^小"),
        (b"\\ISO 2022 IR 149", b"H=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce", "H=洪^吉"),
        (b"\\ISO 2022 IR 87 ", b"Y=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B ", "Y=山田^太郎"),
        (b"\\ISO 2022 IR 144", b"L \x1b-L\xbb\xee", "L Лю"),
    ],
)
def test_an_identifier_is_read_with_code_extensions(sets: bytes, raw: bytes, name: str) -> None:
    elements = ((0x0005, 0x0008, b"CS", sets), (0x0010, 0x0010, b"PN", raw))
    data = b"".join(
        struct.pack("<HH2sH", group, element, vr, len(value)) + value
        for element, group, vr, value in elements
    )
    identifier = read_identifier(data, ExplicitVRLittleEndian)
    assert identifier.keys == {0x00100010: name}


@pytest.mark.parametrize("term", ["ISO_IR 192", "iso_ir 192", "ISO IR 192", "UTF8", "utf-8 "])
def test_a_misspelt_character_set_is_understood_as_that_of_objects_is(term: str) -> None:
    name = "Müller^山田".encode()
    data = b"".join(
        struct.pack("<HH2sH", group, element, vr, len(value)) + value
        for group, element, vr, value in (
            (0x0008, 0x0005, b"CS", term.encode()),
            (0x0010, 0x0010, b"PN", name),
        )
    )
    identifier = read_identifier(data, ExplicitVRLittleEndian)
    assert identifier.keys == {0x00100010: "Müller^山田"}


def test_text_that_is_not_in_its_character_set_is_refused() -> None:
    element = struct.Struct("<HH2sH").pack
    data = element(0x0008, 0x0005, b"CS", 10) + b"ISO_IR 192" + element(0x0010, 0x0010, b"PN", 2)
    assert read_identifier(data[:-2] + b"\4\0A\xef\xbf\xbd", ExplicitVRLittleEndian).keys == {
        0x00100010: "A\ufffd"
    }
    with pytest.raises(Invalid, match="not in its character set"):
        read_identifier(data + b"\xe4 ", ExplicitVRLittleEndian)


def test_an_item_of_an_identifier_has_its_own_character_set() -> None:
    step = Dataset()
    step.SpecificCharacterSet, step.ScheduledProcedureStepID = "ISO_IR 100", "ä"
    plain = Dataset()
    plain.RequestedProcedureID = "ö"
    ds = Dataset()
    ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 192", "ü"
    ds.RequestAttributesSequence = [step, plain]
    out = BytesIO()
    dcmwrite(out, ds, implicit_vr=True, little_endian=True)
    identifier = read_identifier(out.getvalue(), ImplicitVRLittleEndian)
    assert identifier.keys == {
        0x00100010: "ü",
        0x00400275 << 32 | 0x00400009: "ä",
        0x00400275 << 32 | 0x00401001: "ö",
    }


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_sequence_in_un_is_in_implicit_little_endian(syntax: str) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    item = struct.pack("<HHI", 0x0040, 0x0009, 2) + b"S1"
    data = (
        struct.pack(order + "HH2sHI", 0x0040, 0x0275, b"UN", 0, 0xFFFF_FFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFF_FFFF)
        + item
        + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        + struct.pack(order + "HH2sH", 0x0040, 0x1001, b"SH", 2)
        + b"R1"
    )
    identifier = read_identifier(data, syntax)
    assert identifier.sequences == (0x0040_0275,)
    assert identifier.keys == {0x0040_0275 << 32 | 0x0040_0009: "S1", 0x0040_1001: "R1"}
    with pytest.raises(Invalid, match="cut short"):
        read_identifier(data[:30], syntax)


def test_an_identifier_nested_without_end_is_refused() -> None:
    bomb = bytes.fromhex("40007502 53510000 ffffffff feff00e0 ffffffff") * 10_000
    with pytest.raises(Invalid, match="too deep"):
        read_identifier(bomb, ExplicitVRLittleEndian)


@pytest.mark.parametrize("element", ["10001000 00000000", "feff00e0 00000000"])
def test_an_identifier_of_very_many_elements_or_items_is_refused(element: str) -> None:
    """16 MiB of them would take gigabytes."""
    front = bytes.fromhex("40007502 ffffffff") if element.startswith("feff") else b""
    with pytest.raises(Invalid, match="more than 16384 elements"):
        read_identifier(front + bytes.fromhex(element) * 20_000, ImplicitVRLittleEndian)
