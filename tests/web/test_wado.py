"""WADO-RS studies, series, instances and metadata (PS3.18 10.4) over a real socket and archive."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from xml.etree import ElementTree as ET

import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
)

from vna.types import Level, Version

STUDY = "/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"
INSTANCE = f"{SERIES}/instances/1.2.3.1.1"
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PLAIN = 'multipart/related; type="application/dicom"'
SINGLE = "application/dicom; transfer-syntax=*"
JPEG = b"\xff\xd8\xff\xd9"


@pytest.mark.parametrize("accept", [STORED, PLAIN, None, "*/*"])
async def test_c45_study_series_and_instance_come_back_byte_for_byte(front, ct, accept):
    files = {
        "1.2.3.1.1": ct("1.2.3.1.1"),
        "1.2.3.1.2": ct("1.2.3.1.2"),
        "1.2.3.2.1": ct("1.2.3.2.1", series="1.2.3.2"),
    }
    await front.stow(files.values())
    for path, uids in (
        (STUDY, list(files)),
        (SERIES, ["1.2.3.1.1", "1.2.3.1.2"]),
        (INSTANCE, ["1.2.3.1.1"]),
    ):
        parts = await front.parts(path, accept)
        assert sorted(body for _, body in parts) == sorted(files[uid] for uid in uids)
        for headers, body in parts:
            assert (
                headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
            )
            uid = pydicom.dcmread(io.BytesIO(body)).SOPInstanceUID
            assert headers["content-location"].startswith(f"{front.url}{STUDY}/series/")
            assert headers["content-location"].endswith(f"/instances/{uid}")


async def test_c46_an_instance_alone_as_a_single_part(front, ct):
    await front.stow([ct()])
    response = await front.get(INSTANCE, SINGLE)
    assert response.body == ct()
    assert (
        response.headers["Content-Type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    )
    assert response.headers["Content-Location"] == front.url + INSTANCE
    assert int(response.headers["Content-Length"]) == len(ct())
    assert (await front.get(f"{INSTANCE}?accept=application/dicom", STORED)).body == ct()


@pytest.mark.parametrize("frames", [1, 5])
async def test_an_instance_as_the_only_part_has_its_length(front, ct, frames):
    """However long it is: what leaves in one go, and what leaves in runs."""
    file = ct(frames=[bytes([n]) * (1 << 19) for n in range(frames)], Rows=512, Columns=512)
    await front.stow([file])
    for accept in (STORED, SINGLE):
        response = await front.get(INSTANCE, accept)
        assert int(response.headers["Content-Length"]) == len(response.body)
        assert file in response.body


async def test_what_is_no_transfer_syntax_gets_into_no_header(front, ct):
    said, instead = b"1.2.840.10008.1.2.1\0", b"1.2.840\r\nX-Evil: 12\0"
    file = ct().replace(said, instead)
    assert len(instead) == len(said)
    assert (await front.stow([file])).status == 200
    alone = await front.get(INSTANCE, "application/dicom")
    assert (alone.status, alone.body) == (200, file)
    assert alone.headers["Content-Type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    ((headers, body),) = await front.parts("/studies/1.2.3")
    assert body == file
    assert "x-evil" not in headers


async def test_what_was_recorded_as_a_transfer_syntax_before_gets_into_no_header(
    front, ct, monkeypatch
):
    def recorded(**fields):
        return Version(**fields | {"transfer_syntax": "1.2.840\r\nX-Evil: 12"})

    with monkeypatch.context() as patch:
        patch.setattr("vna.archive.prepare.Version", recorded)
        assert (await front.stow([ct()])).status == 200
    alone = await front.get(INSTANCE, "application/dicom")
    assert (alone.status, alone.body) == (200, ct())
    assert alone.headers["Content-Type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
    ((headers, body),) = await front.parts("/studies/1.2.3")
    assert body == ct()
    assert "x-evil" not in headers


async def test_c46_a_single_part_of_many_instances_is_not_acceptable(front, ct):
    await front.stow([ct()])
    await front.problem(STUDY, 406, SINGLE)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLosslessSV1])
async def test_c44_explicit_little_endian_is_the_default_and_406_without_transcoding(
    front, ct, syntax
):
    if syntax == ExplicitVRBigEndian:
        file = big_endian(ct())
    else:
        file = ct(syntax=syntax, frames=[JPEG] if syntax.is_encapsulated else None)
    assert (await front.stow([file])).status == 200
    for path in (STUDY, SERIES, INSTANCE):
        detail = await front.problem(path, 406, PLAIN)
        assert syntax in detail
        assert "transfer-syntax=*" in detail
        (part,) = await front.parts(path, STORED)
        assert part[1] == file
        assert part[0]["content-type"] == f"application/dicom; transfer-syntax={syntax}"
        (part,) = await front.parts(path, f"{PLAIN}; transfer-syntax={syntax}")
        assert part[1] == file


def big_endian(file):
    ds = pydicom.dcmread(io.BytesIO(file))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    words = ds.PixelData
    ds.PixelData = b"".join(words[i : i + 2][::-1] for i in range(0, len(words), 2))
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, little_endian=False, implicit_vr=False, enforce_file_format=True)
    return out.getvalue()


async def test_c44_lossy_only_comes_as_it_is(front, ct):
    file = ct(syntax=JPEGBaseline8Bit, frames=[JPEG])
    await front.stow([file])
    (part,) = await front.parts(INSTANCE, PLAIN)
    assert part == (
        {
            "content-type": f"application/dicom; transfer-syntax={JPEGBaseline8Bit}",
            "content-location": front.url + INSTANCE,
        },
        file,
    )


async def test_c44_what_is_acceptable_comes_as_partial_content(front, ct):
    plain = ct("1.2.3.1.1")
    await front.stow([plain, ct("1.2.3.1.2", syntax=JPEGLosslessSV1, frames=[JPEG])])
    response = await front.get(STUDY, PLAIN)
    assert "1 instances" in response.headers["Warning"]
    (part,) = await front.parts(STUDY, PLAIN, status=206)
    assert part[1] == plain


@pytest.mark.parametrize(
    "path",
    [
        "/studies/9.9",
        f"{STUDY}/series/9.9",
        f"{SERIES}/instances/9.9",
        f"{STUDY}/series/1.2.3.2/instances/1.2.3.1.1",
        "/studies/1.2.4/series/1.2.3.1",
        "/studies/9.9/metadata",
        f"{SERIES}/instances/9.9/frames/1",
        "/nothing/here",
    ],
)
async def test_c44_unknown_is_404(front, ct, path):
    await front.stow([ct(), ct("1.2.3.2.1", series="1.2.3.2"), ct("1.2.4.1.1", "1.2.4", "1.2.4.1")])
    assert await front.problem(path, 404)


async def test_c44_deleted_is_410(front, ct):
    await front.stow([ct()])
    await front.archive.delete(Level.STUDY, "1.2.3", "test")
    for path in (STUDY, SERIES, INSTANCE, f"{STUDY}/metadata", f"{INSTANCE}/frames/1"):
        assert "deleted" in await front.problem(path, 410)


@pytest.mark.parametrize("level", [STUDY, SERIES, INSTANCE])
@pytest.mark.parametrize("resource", ["rendered", "thumbnail", "pixeldata", "bulkdata"])
async def test_c45_what_needs_rendering_is_406_until_it_is_here(front, ct, level, resource):
    await front.stow([ct()])
    assert resource in await front.problem(f"{level}/{resource}", 406)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("100-", 100, None), ("-5", -5, None), ("5-999999999", 5, None)],
)
async def test_c48_a_range_of_an_instance(front, ct, asked, start, stop):
    await front.stow([ct()])
    response = await front.get(INSTANCE, SINGLE, Range=f"bytes={asked}")
    assert response.status == 206
    assert response.body == ct()[start:stop]
    first, end, _ = slice(start, stop).indices(len(ct()))
    assert response.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(ct())}"


async def test_c48_ranges_that_do_not_hold(front, ct):
    await front.stow([ct()])
    response = await front.get(INSTANCE, SINGLE, Range=f"bytes={len(ct())}-")
    await front.is_problem(response, 416)
    assert response.headers["Content-Range"] == f"bytes */{len(ct())}"
    for ignored in ("bytes=1-2,4-5", "lines=1-2", "bytes=9-1", "bytes=\u0661-\u0662"):
        assert (await front.get(INSTANCE, SINGLE, Range=ignored)).status == 200
    etag = (await front.get(INSTANCE, SINGLE)).headers["ETag"]
    assert (await front.get(INSTANCE, SINGLE, Range="bytes=0-1", If_Range=etag)).status == 206
    assert (await front.get(INSTANCE, SINGLE, Range="bytes=0-1", If_Range='"x"')).status == 200


@pytest.mark.parametrize(
    "path",
    [STUDY, INSTANCE, f"{STUDY}/metadata", f"{INSTANCE}/frames/1", f"{INSTANCE}/bulkdata/7FE00010"],
)
async def test_c48_head_has_the_status_and_type_of_get_and_no_body(front, ct, path):
    await front.stow([ct()])
    head, get = await front.request("HEAD", path), await front.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.content_type == get.content_type
    assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(get.body))
    assert (await front.request("HEAD", path.replace("1.2.3", "9.9", 1))).status == 404


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=999999-"])
@pytest.mark.parametrize("path", [INSTANCE, f"{INSTANCE}/bulkdata/7FE00010"])
async def test_c48_head_knows_no_range(front, ct, path, asked):
    await front.stow([ct()])
    one = "application/dicom, application/octet-stream"
    whole = await front.get(path, one)
    head = await front.request("HEAD", path, headers={"Accept": one, "Range": asked})
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(whole.body)))
    assert "Content-Range" not in head.headers


@pytest.mark.parametrize("path", [STUDY, SERIES, INSTANCE])
async def test_what_accept_decides_says_so(front, ct, path):
    await front.stow([ct()])
    assert (await front.get(path)).headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    ("resource", "accept"),
    [
        ("", SINGLE),
        ("/metadata", "*/*"),
        ("/frames/1", "*/*"),
        ("/bulkdata/7FE00010", "application/octet-stream"),
    ],
)
async def test_an_answer_that_is_not_sent_again_varies_by_the_same(front, ct, resource, accept):
    await front.stow([ct()])
    answer = await front.get(INSTANCE + resource, accept)
    same = await front.get(INSTANCE + resource, accept, If_None_Match=answer.headers["ETag"])
    assert same.status == 304
    assert "Accept" in answer.headers["Vary"]
    assert {*answer.headers["Vary"].split(", ")} <= {*same.headers["Vary"].split(", ")}


async def test_c47_metadata_etag_and_304(front, ct):
    await front.stow([ct("1.2.3.1.1")])
    for path in (f"{STUDY}/metadata", f"{SERIES}/metadata", f"{INSTANCE}/metadata"):
        first = await front.get(path)
        etag = first.headers["ETag"]
        same = await front.get(path, If_None_Match=f'"other", {etag}')
        assert (same.status, same.body, same.headers["ETag"]) == (304, b"", etag)
        assert (await front.get(path, If_None_Match='"other"')).status == 200
        assert (await front.get(path, 'multipart/related; type="application/dicom+xml"')).headers[
            "ETag"
        ] != etag


async def test_c47_the_etag_changes_on_store_update_and_delete(front, ct):
    tags = []

    async def note():
        tags.append((await front.get(f"{STUDY}/metadata")).headers["ETag"])

    await front.stow([ct("1.2.3.1.1")])
    await note()
    await front.stow([ct("1.2.3.1.2")])
    await note()
    await front.stow([ct("1.2.3.1.2", PatientComments="changed")])
    await note()
    await front.archive.delete(Level.INSTANCE, "1.2.3.1.2", "test")
    await note()
    assert all(before != after for before, after in pairwise(tags))


async def test_c50_metadata_is_the_dicom_json_of_every_instance(front, ct):
    files = [ct(f"1.2.3.1.{n}") for n in range(3)]
    files[0] = ct("1.2.3.1.0", PatientComments="", ImageType=["ORIGINAL", "", "AXIAL"])
    await front.stow(files)
    answers = await front.json(f"{STUDY}/metadata")
    by_uid = {answer["00080018"]["Value"][0]: answer for answer in answers}
    assert sorted(by_uid) == ["1.2.3.1.0", "1.2.3.1.1", "1.2.3.1.2"]
    first = by_uid["1.2.3.1.0"]
    assert first["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Müller^Jörg"}]}
    assert first["00104000"] == {"vr": "LT"}
    assert first["00080008"] == {"vr": "CS", "Value": ["ORIGINAL", None, "AXIAL"]}
    assert first["00200013"] == {"vr": "IS", "Value": [1]}
    uri = f"{front.url}{SERIES}/instances/1.2.3.1.0/bulkdata/7FE00010"
    assert first["7FE00010"] == {"vr": "OW", "BulkDataURI": uri}
    assert await front.json(f"{SERIES}/instances/1.2.3.1.0/metadata") == [first]


async def test_c50_metadata_in_xml(front, ct):
    await front.stow([ct("1.2.3.1.1"), ct("1.2.3.1.2")])
    parts = await front.parts(
        f"{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"'
    )
    assert len(parts) == 2
    for headers, body in parts:
        assert headers["content-type"] == "application/dicom+xml"
        root = ET.fromstring(body)
        bulk = next(e for e in root if e.get("keyword") == "PixelData")
        assert bulk[0].get("uri").startswith(front.url)


async def test_decimals_in_xml_are_spelled_as_they_are_stored(front, ct):
    await front.stow(
        [ct(SliceThickness="1.50", PixelSpacing=["0.7000", "1e-1"], PatientWeight="70")]
    )
    ((_, body),) = await front.parts(
        f"{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"'
    )
    elements = {element.get("keyword"): element for element in ET.fromstring(body)}
    assert [value.text for value in elements["SliceThickness"]] == ["1.50"]
    assert [value.text for value in elements["PixelSpacing"]] == ["0.7000", "1e-1"]
    assert [value.text for value in elements["PatientWeight"]] == ["70"]


async def test_metadata_in_another_type_is_406(front, ct):
    await front.stow([ct()])
    await front.problem(f"{STUDY}/metadata", 406, "text/plain")


async def test_a_study_of_many_instances_streams(front, ct):
    count = 300
    files = [ct(f"1.2.3.1.{n}", frames=[n.to_bytes(2, "little") * 4096]) for n in range(count)]
    await front.stow(files)
    parts = await front.parts(STUDY, STORED)
    assert sorted(body for _, body in parts) == sorted(files)
    metadata = json.loads((await front.get(f"{STUDY}/metadata")).body)
    assert len(metadata) == count


async def test_long_and_short_values_leave_in_order(front, ct):
    """Those that make a run together, and those that are a run alone, or more."""
    sizes = [600 << 10, 3 << 19, 1 << 10, (2 << 20) + 2, 700 << 10, 900 << 10, 1 << 20]
    files = [ct(f"1.2.3.1.{n}", frames=[bytes([n]) * size]) for n, size in enumerate(sizes, 1)]
    for file in files:
        await front.stow([file])
    for _ in range(2):
        assert [stored for _, stored in await front.parts("/studies/1.2.3")] == files
