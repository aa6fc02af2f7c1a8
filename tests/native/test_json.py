"""DICOM JSON (PS3.18 F.2) of single attributes, of structure, and of broken headers."""

import base64
import json
import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, Sequence
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import correct_ambiguous_vr, write_dataset

from vna._native import dataset_json

IMPLICIT, EXPLICIT, BIG = (f"1.2.840.10008.1.2{suffix}" for suffix in ("", ".1", ".2"))
LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<HHI", 0xFFFE, element, length)
    for element, length in ((0xE000, UNDEFINED), (0xE00D, 0), (0xE0DD, 0))
)


def head(tag: int, vr: bytes, length: int) -> bytes:
    layout = "<HH2s2xI" if vr in LONG else "<HH2sH"
    return struct.pack(layout, tag >> 16, tag & 0xFFFF, vr, length)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return head(tag, vr, len(value)) + value


def model(dataset: bytes, holes: list[tuple[int, int]] | None = None, start: int = 0) -> Any:
    return json.loads(dataset_json(dataset, start, EXPLICIT, holes or [], 'u/r"i'))


def encode(dataset: Dataset, *, implicit: bool, little: bool) -> bytes:
    buffer = DicomFileLike(BytesIO())
    buffer.is_implicit_VR, buffer.is_little_endian = implicit, little
    write_dataset(buffer, dataset)
    return buffer.parent.getvalue()


@pytest.fixture
def dataset() -> Dataset:
    """An element of each kind, at two depths."""
    item = Dataset()
    item.PatientName = "Yamada^Tarou=山田^太郎"
    item.SmallestImagePixelValue = -5
    item.ReferencedFrameNumber = [1, 2]
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.StudyDate = "20200102"
    found.PatientComments = 'a "quoted"\r\nline \\'
    found.PixelRepresentation = 1
    found.LargestImagePixelValue = -1
    found.RescaleSlope = "1.50"
    found.FrameIncrementPointer = [0x00181063, 0x00181065]
    found.ImagePositionVolume = [0.1, 1e300, -2.0]
    found.SharedFunctionalGroupsSequence = Sequence([item, Dataset()])
    found.RedPaletteColorLookupTableData = b"\x01\x02\x03\x04"
    return correct_ambiguous_vr(found, is_little_endian=True)


@pytest.mark.parametrize(
    ("syntax", "implicit", "little"),
    [(IMPLICIT, True, True), (EXPLICIT, False, True), (BIG, False, False)],
)
def test_every_encoding_gives_the_same_model(
    dataset: Dataset, syntax: str, implicit: bool, little: bool
) -> None:
    expected = dataset.to_json_dict()
    if not little:
        # pydicom takes OW as bytes: what stands there is 0201 0403 in little endian (F.2.7).
        expected["00281201"]["InlineBinary"] = base64.b64encode(b"\x02\x01\x04\x03").decode()
    raw = encode(dataset, implicit=implicit, little=little)
    assert json.loads(dataset_json(b"prefix" + raw, 6, syntax, [], "")) == expected
    for other in (IMPLICIT, EXPLICIT):  # declared wrongly
        assert json.loads(dataset_json(raw, 0, other, [], "")) == expected


def test_c50_attributes_are_ascending_and_single() -> None:
    raw = b"".join(
        element(tag, b"LO", value)
        for tag, value in [(0x00100020, b"a "), (0x00080060, b"b "), (0x00100020, b"c ")]
    )
    assert list(model(raw).items()) == [
        ("00080060", {"vr": "LO", "Value": ["b"]}),
        ("00100020", {"vr": "LO", "Value": ["c"]}),
    ]


def test_c50_holes_become_uris_with_paths() -> None:
    waveform = head(0x54001010, b"OW", 5000)
    item = element(0x003A0010, b"SH", b"x ") + waveform
    sequence = head(0x54000100, b"SQ", 8 + len(item) + 5000)
    modality = element(0x00080060, b"CS", b"CT")
    front = modality + sequence + struct.pack("<HHI", 0xFFFE, 0xE000, len(item) + 5000) + item
    pixels = head(0x7FE00010, b"OB", UNDEFINED)
    holes = [(len(front), 5000), (len(front + pixels), 123)]
    found = model(front + pixels + element(0xFFFCFFFC, b"OB", b"\0\0"), holes)
    inner = found["54000100"]["Value"][0]["54001010"]
    assert inner == {"vr": "OW", "BulkDataURI": 'u/r"i/54000100/0/54001010'}
    assert found["7FE00010"] == {"vr": "OB", "BulkDataURI": 'u/r"i/7FE00010'}
    assert list(found) == ["00080060", "54000100", "7FE00010"]


@pytest.mark.parametrize("vr", [b"PN", b"US", b"UN", b"OB"])
def test_the_character_set_is_text_whatever_it_came_as(vr: bytes) -> None:
    found = model(element(0x00080005, vr, b"ISO_IR 100"))
    assert found == {"00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}}


def test_unknown_values_are_binary() -> None:
    raw = element(0x00091001, b"UN", b"\1\2") + element(0x00091002, b"ZX", b"\3\4")
    assert model(raw) == {
        "00091001": {"vr": "UN", "InlineBinary": "AQI="},
        "00091002": {"vr": "UN", "InlineBinary": "AwQ="},
    }


def test_unknown_with_a_known_tag_is_read() -> None:
    """PS3.5 6.2.2: UN is implicit little endian; of undefined length it is a sequence."""
    inner = struct.pack("<HHI", 0x0010, 0x0020, 2) + b"id"
    private = head(0x00091001, b"UN", UNDEFINED) + ITEM + inner + ITEM_END + SEQUENCE_END
    raw = private + element(0x00280010, b"UN", b"\0\2")
    item = {"00100020": {"vr": "LO", "Value": ["id"]}}
    assert model(raw) == {
        "00091001": {"vr": "SQ", "Value": [item]},
        "00280010": {"vr": "US", "Value": [512]},
    }


def test_fragments_in_the_header_are_binary() -> None:
    fragments = struct.pack("<HHI2s", 0xFFFE, 0xE000, 2, b"ab")
    icon = head(0x7FE00010, b"OB", UNDEFINED) + fragments + SEQUENCE_END
    raw = head(0x00880200, b"SQ", UNDEFINED) + ITEM + icon + ITEM_END + SEQUENCE_END
    pixels = model(raw)["00880200"]["Value"][0]["7FE00010"]
    assert base64.b64decode(pixels["InlineBinary"]) == fragments


def test_broken_headers_give_what_stands_before() -> None:
    good = element(0x00080060, b"CS", b"CT")
    open_item = head(0x00081140, b"SQ", UNDEFINED) + ITEM + element(0x00081155, b"UI", b"1.")
    ct = {"vr": "CS", "Value": ["CT"]}
    item = {"00081155": {"vr": "UI", "Value": ["1."]}}
    whole = {"00080060": ct, "00081140": {"vr": "SQ", "Value": [item]}}
    assert model(good + open_item) == whole
    assert model(good + open_item + b"\x08\0\0") == whole
    assert model(good + element(0x00100010, b"PN", b"name")[:-1]) == {"00080060": ct}
    assert model(b"") == model(good, start=99) == {}


def test_reading_goes_on_behind_what_is_broken() -> None:
    """As the scan does: what it finds behind that, and its holes, are in the model."""
    uid = element(0x00081155, b"UI", b"1.2\0")
    explicit = struct.pack("<HHI", 0xFFFE, 0xE000, len(uid)) + uid
    junk = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + b"junk" + SEQUENCE_END
    icon = ITEM + head(0x7FE00010, b"OB", UNDEFINED) + junk + ITEM_END
    pixels = head(0x7FE00010, b"OW", 5000)
    for broken in (
        head(0x00081140, b"SQ", UNDEFINED)
        + struct.pack("<HHI", 0xFFFE, 0xE000, len(uid) - 2)  # of the item
        + uid
        + SEQUENCE_END,
        head(0x00081140, b"SQ", UNDEFINED)
        + struct.pack("<HHI", 0xFFFE, 0xE000, len(uid) + 2)
        + uid
        + SEQUENCE_END,
        head(0x00091010, b"UN", UNDEFINED)
        + explicit
        + SEQUENCE_END,  # not implicit, as it has to be
        head(0x00091010, b"UN", UNDEFINED),  # nothing follows that is an item
        head(0x00880200, b"SQ", UNDEFINED) + icon + SEQUENCE_END,
    ):
        front = broken + element(0x00280010, b"US", b"\0\2") + pixels
        found = model(front, [(len(front), 5000)])
        assert found["00280010"] == {"vr": "US", "Value": [512]}
        assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": 'u/r"i/7FE00010'}
        sequence = found.get("00081140") or found.get("00091010")
        if sequence is not None and "Value" in sequence:
            assert sequence["Value"] == [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]


def test_sequences_have_a_bound() -> None:
    deep = (head(0x00081140, b"SQ", UNDEFINED) + ITEM) * 10_000
    found, depth = model(deep), 0
    while found:
        found, depth = found["00081140"]["Value"][0], depth + 1
    assert depth == 64


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT, BIG]))
def test_any_bytes_give_json(raw: bytes, syntax: str) -> None:
    assert isinstance(json.loads(dataset_json(raw, 0, syntax, [], "")), dict)


PIECES = st.sampled_from(
    [
        ITEM,
        ITEM_END,
        SEQUENCE_END,
        head(0x00081140, b"SQ", UNDEFINED),
        head(0x00081140, b"SQ", 30),
        struct.pack("<HHI", 0xFFFE, 0xE000, 12),
        head(0x7FE00010, b"OB", UNDEFINED),
        head(0x00091001, b"UN", UNDEFINED),
        head(0x00080060, b"CS", 2),
        element(0x00080005, b"CS", b"\\ISO 2022 IR 87 "),
        element(0x00100010, b"PN", b"=\\==\\^"),
        element(0x00181063, b"DS", b"\\1e999\\+."),
        b"CT",
        b"\x1b$B",
    ]
)


@given(st.lists(PIECES, max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=3))
def test_any_structure_gives_json(raw: bytes, holes: list[int]) -> None:
    places = [(offset, 7) for offset in sorted(set(holes))]
    assert isinstance(json.loads(dataset_json(raw, 0, EXPLICIT, places, "u")), dict)
