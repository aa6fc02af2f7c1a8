"""The Native DICOM Model (PS3.19 A.1) of DICOM JSON."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from vna.web.nativexml import native_xml

NS = {"n": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}


def parse(dataset):
    return ET.fromstring(native_xml(dataset))


def test_values_names_sequences_and_binaries():
    root = parse(
        {
            "00080020": {"vr": "DA", "Value": ["20250131"]},
            "00080050": {"vr": "SH"},
            "00080008": {"vr": "CS", "Value": ["A", None, "B&<"]},
            "00100010": {
                "vr": "PN",
                "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}],
            },
            "00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [272]}}, {}]},
            "00090010": {"vr": "LO", "Value": ["ACME"]},
            "00091001": {"vr": "UN", "InlineBinary": "AAE="},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://x/a?b&c"},
        }
    )
    by_tag = {element.get("tag"): element for element in root}
    assert by_tag["00080020"].get("keyword") == "StudyDate"
    assert by_tag["00080020"].find("n:Value", NS).text == "20250131"
    assert len(by_tag["00080050"]) == 0
    values = [(v.get("number"), v.text) for v in by_tag["00080008"]]
    assert values == [("1", "A"), ("3", "B&<")]
    name = by_tag["00100010"].find("n:PersonName", NS)
    assert name.find("n:Alphabetic/n:FamilyName", NS).text == "Wang"
    assert name.find("n:Ideographic/n:GivenName", NS).text == "小東"
    items = by_tag["00081198"].findall("n:Item", NS)
    assert [item.get("number") for item in items] == ["1", "2"]
    assert items[0].find("n:DicomAttribute/n:Value", NS).text == "272"
    assert by_tag["00091001"].get("privateCreator") == "ACME"
    assert by_tag["00091001"].find("n:InlineBinary", NS).text == "AAE="
    assert by_tag["7FE00010"].find("n:BulkData", NS).get("uri") == "http://x/a?b&c"


def test_characters_that_xml_cannot_carry_are_replaced():
    root = parse({"00104000": {"vr": "LT", "Value": ["a\x0cb\x00\ud800c\n"]}})
    assert root[0][0].text == "a\ufffdb\ufffd\ufffdc\n"
