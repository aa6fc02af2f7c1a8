"""Conformance lines 33 to 35: every fate that an instance can have, in one STOW-RS answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from vna.archive import Ingest
from vna.errors import Busy, Full

PART = b"--limit\r\nContent-Type: %b\r\n\r\n%b\r\n"
KIND = 'multipart/related; type="application/dicom"; boundary=limit'


@pytest.fixture
def mixed(
    sample: Callable[..., Path], data_set: Callable[..., bytes], site: Any
) -> Callable[[str], Any]:
    """Store six parts of six fates in study 1.2.3; return the answer in a media type."""

    def send(accept: str) -> Any:
        broken = data_set(2, "1.2.840.10008.1.2.1", SOPInstanceUID="1.2.3.1.2")[:-5]
        files = [
            sample(SOPInstanceUID="1.2.3.1.1"),
            sample(data=broken, SOPInstanceUID="1.2.3.1.2"),
            sample(SOPInstanceUID="1.2.3.1.3", StudyInstanceUID="1.2.9"),
            sample(SOPInstanceUID="1.2.3.1.4", SeriesInstanceUID=None),
        ]
        parts = [(b"application/dicom", file.read_bytes()) for file in files]
        parts += [(b"application/dicom", b"no DICOM at all"), (b"image/png", b"\x89PNG")]
        body = b"".join(PART % part for part in parts) + b"--limit--\r\n"
        return site.request("POST", "/studies/1.2.3", body, Content_Type=KIND, Accept=accept)

    return send


def test_c34_each_fate_has_its_place_and_reason_in_json(mixed: Callable[[str], Any]) -> None:
    answer = mixed("application/dicom+json")
    assert answer.status == 202
    module = answer.json()
    stored, failed, others = (module[tag]["Value"] for tag in ("00081199", "00081198", "0008119A"))
    assert [one["00081155"]["Value"] for one in stored] == [["1.2.3.1.1"], ["1.2.3.1.2"]]
    assert [one.get("00081196", {}).get("Value") for one in stored] == [None, [0xB007]]
    assert [(one["00081155"]["Value"], one["00081197"]["Value"]) for one in failed] == [
        (["1.2.3.1.3"], [0xA900]),
        (["1.2.3.1.4"], [0xC000]),
    ]
    assert [one["00081197"]["Value"] for one in others] == [[0xC000], [0x0122]]
    assert module["00081190"]["Value"][0].endswith("/dicom-web/studies/1.2.3")
    assert len(answer.headers.get_all("Warning")) == 5


def test_c34_each_fate_has_its_place_and_reason_in_xml(mixed: Callable[[str], Any]) -> None:
    answer = mixed("application/dicom+xml")
    assert answer.status == 202
    root = ET.fromstring(answer.body)

    def values(sequence: str, keyword: str) -> list[str | None]:
        items = root.findall(f"{{*}}DicomAttribute[@keyword='{sequence}']/{{*}}Item")
        path = f"{{*}}DicomAttribute[@keyword='{keyword}']/{{*}}Value"
        return [value.text for item in items for value in item.findall(path)]

    assert values("ReferencedSOPSequence", "ReferencedSOPInstanceUID") == ["1.2.3.1.1", "1.2.3.1.2"]
    assert values("ReferencedSOPSequence", "WarningReason") == [str(0xB007)]
    assert values("FailedSOPSequence", "FailureReason") == [str(0xA900), str(0xC000)]
    assert values("OtherFailuresSequence", "FailureReason") == [str(0xC000), str(0x0122)]


def test_c35_what_belongs_to_another_study_is_not_stored(
    mixed: Callable[[str], Any], site: Any
) -> None:
    mixed("application/dicom+json")
    listed = site.search("/instances").json()
    assert {one["00080018"]["Value"][0] for one in listed} == {"1.2.3.1.1", "1.2.3.1.2"}
    assert site.get("/studies/1.2.9").status == 404


@pytest.mark.parametrize(("kind", "code"), [(Full, 507), (Busy, 503)])
def test_c33_no_space_and_no_time_have_their_own_status(
    site: Any,
    sample: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
    code: int,
) -> None:
    def refuse(_: Ingest, __: Callable[..., None]) -> None:
        raise kind("no room")

    file = sample()
    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "conclude", refuse)
        answer = site.stow(file)
    assert answer.status == code
    assert answer.headers["Retry-After"]
    (failed,) = answer.json()["0008119A"]["Value"]  # refused before its UIDs were read
    assert failed["00081197"]["Value"] == [0xA700]
    assert site.instances == 0
    assert site.stow(file).status == 200
