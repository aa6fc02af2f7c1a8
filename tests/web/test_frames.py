"""Frames and bulk values (PS3.18 10.4.1.1.5, 10.4.1.1.6) over a real socket and archive."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from vna.dicom.scan import inflated

INSTANCE = "/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
OCTETS = "multipart/related; type=application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"
NATIVE = [bytes([n]) * 512 for n in range(1, 6)]
CODED = [bytes([n]) * (10 + 2 * n) for n in range(1, 6)]


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", OCTETS, f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; transfer-syntax={EXPLICIT}"],
)
@pytest.mark.parametrize("syntax", [EXPLICIT, ImplicitVRLittleEndian])
async def test_c45_native_frames_in_the_requested_order(front, ct, accept, syntax):
    await front.stow([ct(frames=NATIVE, syntax=pydicom.uid.UID(syntax))])
    parts = await front.parts(f"{INSTANCE}/frames/3,1,5,3", accept)
    assert [body for _, body in parts] == [NATIVE[2], NATIVE[0], NATIVE[4], NATIVE[2]]
    assert parts[0][0] == {
        "content-type": f"application/octet-stream; transfer-syntax={EXPLICIT}",
        "content-location": f"{front.url}{INSTANCE}/frames/3",
    }


@pytest.mark.parametrize(
    ("syntax", "media"),
    [
        (JPEGBaseline8Bit, "image/jpeg"),
        (JPEGLSLossless, "image/jls"),
        (RLELossless, "image/dicom-rle"),
    ],
)
async def test_c45_encapsulated_frames_under_their_media_type(front, ct, syntax, media):
    await front.stow([ct(frames=CODED, syntax=syntax)])
    for accept in (
        None,
        f'multipart/related; type="{media}"',
        f'multipart/related; type="{media}"; transfer-syntax={syntax}',
        'multipart/related; type="image/*"',
    ):
        parts = await front.parts(f"{INSTANCE}/frames/2,4", accept)
        assert [body for _, body in parts] == [CODED[1], CODED[3]]
        assert parts[0][0]["content-type"] == f"{media}; transfer-syntax={syntax}"
    parts = await front.parts(f"{INSTANCE}/frames/5", f"{OCTETS}; transfer-syntax=*")
    assert parts[0][1] == CODED[4]
    assert parts[0][0]["content-type"] == f"application/octet-stream; transfer-syntax={syntax}"
    detail = await front.problem(f"{INSTANCE}/frames/1", 406, OCTETS)
    assert syntax in detail


async def test_c46_one_frame_as_a_single_part(front, ct):
    await front.stow([ct(frames=CODED, syntax=JPEGLSLossless)])
    response = await front.get(f"{INSTANCE}/frames/2", "image/jls")
    assert response.body == CODED[1]
    assert response.headers["Content-Type"] == f"image/jls; transfer-syntax={JPEGLSLossless}"
    assert response.headers["Content-Location"] == f"{front.url}{INSTANCE}/frames/2"
    await front.problem(f"{INSTANCE}/frames/1,2", 406, "image/jls")
    etag = response.headers["ETag"]
    assert (await front.get(f"{INSTANCE}/frames/2", "image/jls", If_None_Match=etag)).status == 304


@pytest.mark.parametrize("resource", ["frames/1", "bulkdata/7FE00010"])
async def test_alone_and_as_a_part_are_two_representations(front, ct, resource):
    await front.stow([ct()])
    path, alone = f"{INSTANCE}/{resource}", "application/octet-stream"
    etags = {form: (await front.get(path, form)).headers["ETag"] for form in (alone, OCTETS)}
    for form, etag in etags.items():
        assert (await front.get(path, form, If_None_Match=etag)).status == 304
        other = OCTETS if form == alone else alone
        response = await front.get(path, other, If_None_Match=etag)
        assert (response.status, response.content_type == alone) == (200, other == alone)


@pytest.mark.parametrize("frames", ["6", "1,6", "999999"])
async def test_c45_a_frame_outside_the_instance_is_404(front, ct, frames):
    await front.stow([ct(frames=NATIVE)])
    assert "frames 1 to 5" in await front.problem(f"{INSTANCE}/frames/{frames}", 404)


@pytest.mark.parametrize(
    "frames", ["0", "x", "1,", ",1", "-1", "1,,2", "1.5", "1;2", "%31%2C%20%32"]
)
async def test_c45_what_is_no_frame_list_is_400(front, ct, frames):
    await front.stow([ct(frames=NATIVE)])
    await front.problem(f"{INSTANCE}/frames/{frames}", 400)


async def test_fragments_without_a_frame_table_leave_under_their_transfer_syntax(front, ct):
    # Three fragments for two frames, and nothing says where the second one begins.
    fragments = encapsulate(CODED[:3], has_bot=False)
    await front.stow([ct(syntax=RLELossless, PixelData=fragments, NumberOfFrames=2)])
    metadata = await front.json(f"{INSTANCE}/metadata")
    address = metadata[0]["7FE00010"]["BulkDataURI"]
    assert "no frames" in await front.problem(f"{INSTANCE}/frames/1", 404)
    label = f"application/octet-stream; transfer-syntax={RLELossless}"
    for accept in (None, "*/*", OCTETS + "; transfer-syntax=*"):
        ((headers, body),) = await front.parts(address, accept)
        assert headers["content-type"] == label
        assert all(frame in body for frame in CODED[:3])
    assert RLELossless in await front.problem(address, 406, OCTETS)


async def test_c45_an_instance_without_frames_is_404(front, ct):
    await front.stow([ct(PixelData=None)])
    assert "no frames" in await front.problem(f"{INSTANCE}/frames/1", 404)


async def test_frames_of_a_deflated_object(front, ct):
    assert (
        await front.stow([ct(frames=NATIVE, syntax=DeflatedExplicitVRLittleEndian)])
    ).status == 200
    parts = await front.parts(f"{INSTANCE}/frames/2,5", OCTETS)
    assert [body for _, body in parts] == [NATIVE[1], NATIVE[4]]
    await front.problem(f"{INSTANCE}/frames/6", 404)


async def test_frames_of_a_deflated_object_are_inflated_once_for_many(front, ct, monkeypatch):
    begun = []

    def counted(pieces, limit):
        begun.append(limit)
        return inflated(pieces, limit)

    frames = [bytes([n, n + 1]) * 300_000 for n in range(1, 17)]
    ds = ct(frames=frames, Rows=600, Columns=500, syntax=DeflatedExplicitVRLittleEndian)
    await front.stow([ds])
    every = ",".join(str(number) for number in range(1, 17))
    await front.problem(f"{INSTANCE}/frames/{every},17", 404)
    monkeypatch.setattr("vna.archive.expand.inflated", counted)
    wanted = [3, 1, 16, 2, 2, 15, 9]
    parts = await front.parts(f"{INSTANCE}/frames/{','.join(map(str, wanted))}", OCTETS)
    assert [body for _, body in parts] == [frames[number - 1] for number in wanted]
    assert len(begun) == 2  # to part the data set, and for all of them


async def test_a_deflated_object_is_inflated_once_for_a_long_list_of_frames(front, ct, monkeypatch):
    begun = []

    def counted(pieces, limit):
        begun.append(limit)
        return inflated(pieces, limit)

    frames = [bytes([n, n + 1]) * 50_000 for n in range(100)]
    ds = ct(frames=frames, Rows=100, Columns=500, syntax=DeflatedExplicitVRLittleEndian)
    await front.stow([ds])
    monkeypatch.setattr("vna.archive.expand.inflated", counted)
    parts = await front.parts(f"{INSTANCE}/frames/{','.join(map(str, range(1, 101)))}", OCTETS)
    assert [body for _, body in parts] == frames
    assert len(begun) == 2


async def test_native_pixel_data_under_a_compressed_syntax_is_no_image(front, ct):
    file = ct(frames=NATIVE)
    await front.stow([file.replace(b"1.2.840.10008.1.2.1\0", f"{RLELossless}\0".encode(), 1)])
    for numbers in ("1", "2,1"):
        reason = await front.problem(f"{INSTANCE}/frames/{numbers}", 404)
        assert "no frames that can be told apart" in reason
    ((headers, body),) = await front.parts(f"{INSTANCE}/bulkdata/7FE00010", None)
    assert headers["content-type"] == f"application/octet-stream; transfer-syntax={RLELossless}"
    assert body == b"".join(NATIVE)


async def test_big_endian_words_leave_little_endian(front, ct):
    ds = pydicom.dcmread(io.BytesIO(ct()))
    little = ds.PixelData
    ds.PixelData = b"".join(little[i : i + 2][::-1] for i in range(0, len(little), 2))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, little_endian=False, implicit_vr=False, enforce_file_format=True)
    await front.stow([out.getvalue()])
    ((headers, body),) = await front.parts(f"{INSTANCE}/frames/1", OCTETS)
    assert body == little
    assert headers["content-type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    whole = await front.get(f"{INSTANCE}/bulkdata/7FE00010", "application/octet-stream")
    assert whole.body == little
    part = await front.get(
        f"{INSTANCE}/bulkdata/7FE00010", "application/octet-stream", Range="bytes=3-8"
    )
    assert part.body == little[3:9]


@pytest.mark.parametrize(("bits", "columns"), [(8, 3), (1, 5)])
async def test_big_endian_words_are_turned_around_before_frames_are_cut(front, ct, bits, columns):
    even = bytes(range(1, 57))
    ds = pydicom.dcmread(io.BytesIO(ct(Rows=3, Columns=columns, BitsAllocated=bits)))
    ds.NumberOfFrames = 6
    ds.PixelData = b"".join(even[i : i + 2][::-1] for i in range(0, len(even), 2))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, little_endian=False, implicit_vr=False, enforce_file_format=True)
    await front.stow([out.getvalue()])
    size = 3 * columns * bits
    parts = await front.parts(f"{INSTANCE}/frames/1,2,3,4,5,6", OCTETS)
    for number, (_, body) in enumerate(parts):
        frame = int.from_bytes(even, "little") >> number * size & ((1 << size) - 1)
        assert body == frame.to_bytes(-(-size // 8), "little")


def bulk_uris(dataset):
    for element in dataset.values():
        if "BulkDataURI" in element:
            yield element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                yield from bulk_uris(item)


async def test_c45_every_bulk_data_uri_resolves(front, ct):
    item = Dataset()
    item.add_new(0x54001010, "OW", b"\1\2" * 4000)
    waveforms = Sequence([Dataset(), item])
    file = ct(frames=NATIVE * 4, WaveformSequence=waveforms, ICCProfile=b"\7" * 5000)
    await front.stow([file])
    (metadata,) = await front.json(f"{INSTANCE}/metadata")
    uris = sorted(bulk_uris(metadata))
    assert [uri.split("/bulkdata/")[1] for uri in uris] == [
        "00282000",
        "54000100/1/54001010",
        "7FE00010",
    ]
    values = [b"\7" * 5000, b"\1\2" * 4000, b"".join(NATIVE * 4)]
    for uri, value in zip(uris, values, strict=True):
        response = await front.get(uri, "application/octet-stream")
        assert response.body == value
        assert response.headers["Content-Location"] == uri
        ((headers, body),) = await front.parts(uri, OCTETS)
        assert body == value
        assert headers["content-location"] == uri
        assert (await front.get(uri)).status == 200


async def test_c45_compressed_pixel_data_comes_frame_by_frame(front, ct):
    await front.stow([ct(frames=CODED, syntax=JPEGLSLossless)])
    (metadata,) = await front.json(f"{INSTANCE}/metadata")
    uri = metadata["7FE00010"]["BulkDataURI"]
    parts = await front.parts(uri)
    assert [body for _, body in parts] == CODED
    assert {headers["content-type"] for headers, _ in parts} == {
        f"image/jls; transfer-syntax={JPEGLSLossless}"
    }
    assert {headers["content-location"] for headers, _ in parts} == {uri}


async def test_c45_an_encapsulated_document_comes_in_its_own_type(front, ct):
    document = b"%PDF-1.7" + b" " * 6000
    file = ct(
        PixelData=None,
        SOPClassUID=EncapsulatedPDFStorage,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=document,
    )
    await front.stow([file])
    (metadata,) = await front.json(f"{INSTANCE}/metadata")
    uri = metadata["00420011"]["BulkDataURI"]
    response = await front.get(uri, "application/pdf")
    assert (response.headers["Content-Type"], response.body) == ("application/pdf", document)
    assert (await front.get(uri, "application/octet-stream")).body == document
    ((headers, body),) = await front.parts(uri)
    assert (headers["content-type"], body) == ("application/pdf", document)


@pytest.mark.parametrize(
    ("said", "media"),
    [
        ("application/pdf; version=1.7", "application/pdf"),
        ('application/"pdf', "application/octet-stream"),
        ("application/p df", "application/octet-stream"),
        ("application/*", "application/octet-stream"),
        ("pdf", "application/octet-stream"),
    ],
)
async def test_a_documents_type_is_one_that_a_header_can_hold(front, ct, said, media):
    changes = {"MIMETypeOfEncapsulatedDocument": said, "EncapsulatedDocument": b"%PDF" * 2000}
    await front.stow([ct(PixelData=None, **changes)])
    ((headers, body),) = await front.parts(f"{INSTANCE}/bulkdata/00420011")
    assert headers["content-type"].split(";")[0] == media
    assert body == b"%PDF" * 2000


@pytest.mark.parametrize("path", ["00100010", "7FE00011", "54000100/0/54001010"])
async def test_bulk_values_that_are_not_there_are_404(front, ct, path):
    await front.stow([ct()])
    await front.problem(f"{INSTANCE}/bulkdata/{path}", 404)


@pytest.mark.parametrize("path", ["PixelData", "7FE0001", "7FE00010/0", "7FE00010/x/00100010"])
async def test_paths_that_are_none_are_400(front, ct, path):
    await front.stow([ct()])
    await front.problem(f"{INSTANCE}/bulkdata/{path}", 400)


async def test_c48_ranges_of_bulk_data(front, ct):
    await front.stow([ct(frames=NATIVE)])
    value = b"".join(NATIVE)
    path = f"{INSTANCE}/bulkdata/7FE00010"
    response = await front.get(path, "application/octet-stream", Range="bytes=500-1099")
    assert (response.status, response.body) == (206, value[500:1100])
    assert response.headers["Content-Range"] == f"bytes 500-1099/{len(value)}"
    response = await front.get(path, OCTETS, Range="bytes=-10")
    assert response.status == 206
    await front.is_problem(
        await front.get(path, "application/octet-stream", Range="bytes=99999-"), 416
    )
    await front.problem(path, 406, "image/jpeg")
