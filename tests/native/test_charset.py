"""Text in every character set of PS3.3 C.12.1.1.2 against what pydicom makes of it."""

import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.valuerep import TEXT_VR_DELIMS

from vna._native import dataset_json

SINGLE_BYTE = {
    "ISO_IR 100": "latin_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis_620",
}
# A text that each code extension can say, with ASCII around it.
EXTENSIONS = {
    "ISO 2022 IR 100": "Buc^Jérôme",
    "ISO 2022 IR 101": "Wałęsa",
    "ISO 2022 IR 109": "Ċikku",
    "ISO 2022 IR 110": "Ķēniņš",
    "ISO 2022 IR 144": "Люксембург",
    "ISO 2022 IR 127": "قباني^لنزار",
    "ISO 2022 IR 126": "Διονυσιος",
    "ISO 2022 IR 138": "שרון^דבורה",
    "ISO 2022 IR 148": "Çavuşoğlu",
    "ISO 2022 IR 13": "ﾔﾏﾀﾞ",
    "ISO 2022 IR 166": "นามสกุล",
    "ISO 2022 IR 87": "山田^太郎",
    "ISO 2022 IR 159": "丂侄",
    "ISO 2022 IR 149": "홍^길동",
}


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def text(raw: bytes, charset: str) -> str:
    """What our JSON says of an Unlimited Text in `charset`."""
    charset_element = struct.pack("<HH2sH", 8, 5, b"CS", len(charset)) + charset.encode()
    dataset = charset_element + element(0x0018_9919, b"UT", raw)
    model = json.loads(dataset_json(dataset, 0, "1.2.840.10008.1.2.1", [], ""))
    return model["00189919"].get("Value", [""])[0]


def by_pydicom(raw: bytes, charset: str) -> str:
    encodings = convert_encodings(charset.split("\\"))
    return decode_bytes(raw, encodings, TEXT_VR_DELIMS).rstrip("\0 ")


@pytest.mark.parametrize("term", SINGLE_BYTE)
def test_c18_every_byte_of_single_byte_sets(term: str) -> None:
    for byte in [*range(0x21, 0x7F), *range(0xA0, 0x100)]:
        raw = bytes([byte])
        assert text(raw, term) == raw.decode(SINGLE_BYTE[term], "replace"), hex(byte)


@pytest.mark.parametrize("term", EXTENSIONS)
@pytest.mark.parametrize("first", ["", "ISO 2022 IR 100", "ISO 2022 IR 13"])
def test_c18_code_extensions(term: str, first: str) -> None:
    charset = f"{first}\\{term}"
    said = f"Plain {EXTENSIONS[term]} and plain"
    raw = encode_string(said, convert_encodings(charset.split("\\")))
    assert text(raw, charset) == said
    assert by_pydicom(raw, charset) == said


@pytest.mark.parametrize("term", ["ISO_IR 192", "GB18030", "GBK"])
def test_c18_sets_without_code_extensions(term: str) -> None:
    said = "Wang^XiaoDong=王^小东"
    raw = encode_string(said, convert_encodings([term]))
    assert text(raw, term) == by_pydicom(raw, term) == said


@pytest.mark.parametrize(
    "term",
    ["ISO-IR 144", "ISO IR 144", "ISO_IR_144", "ISO 2022-IR 144", "ISO-2022 IR 144"],
)
@pytest.mark.filterwarnings("ignore:Incorrect value for Specific Character Set")
def test_c18_misspelt_terms(term: str) -> None:
    raw = "Люк".encode("iso8859_5")
    assert text(raw, term) == by_pydicom(raw, term) == "Люк"


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
    st.sampled_from(["ISO_IR 192", "GB18030"]),
)
def test_c18_any_text(said: str, term: str) -> None:
    raw = said.encode(convert_encodings([term])[0], "ignore")
    assert text(raw, term) == by_pydicom(raw, term)


@given(
    st.binary(max_size=40),
    st.sampled_from(["", "ISO_IR 100", "ISO_IR 192", "ISO_IR 13", "\\ISO 2022 IR 149", "X"]),
)
@example(b"\x1b", "")
@example(b"\x1b$)", "\\ISO 2022 IR 149")
@example(b"\x1b$B\x21", "\\ISO 2022 IR 87")
def test_c18_no_bytes_fail(raw: bytes, charset: str) -> None:
    assert isinstance(text(raw, charset), str)


def test_c18_delimiters_end_code_extensions() -> None:
    """PS3.5 6.1.2.5.3: after a line end the first set is back."""
    charset = "ISO 2022 IR 100\\ISO 2022 IR 126"
    raw = b"\xe4 \x1b-F\xc4\xe9\xef\r\n\xe4"
    assert text(raw, charset) == by_pydicom(raw, charset) == "ä Διο\r\nä"
