"""Programs that this project did not write, against the HTTP front: dicomweb-client and curl."""

from __future__ import annotations

import asyncio
import io
import json
import shutil

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import JPEGLSLossless

pytestmark = pytest.mark.interop

FRAMES = [bytes([n]) * 512 for n in range(1, 4)]


async def test_dicomweb_client_stores_searches_and_retrieves(front, ct):
    client = DICOMwebClient(front.url)
    files = [ct("1.2.3.1.1", frames=FRAMES), ct("1.2.3.1.2"), ct("1.2.3.2.1", series="1.2.3.2")]
    datasets = [pydicom.dcmread(io.BytesIO(file)) for file in files]

    def drive():
        answer = client.store_instances(datasets)
        assert len(answer.ReferencedSOPSequence) == 3
        assert "FailedSOPSequence" not in answer
        (study,) = client.search_for_studies(search_filters={"PatientID": "P1"})
        assert study["0020000D"]["Value"] == ["1.2.3"]
        assert len(client.search_for_series("1.2.3", fields=["SeriesDescription"])) == 2
        assert (
            len(client.search_for_instances("1.2.3", "1.2.3.1", limit=1, get_remaining=True)) == 2
        )
        assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
        assert client.search_for_studies(search_filters={"PatientName": "jorg"}, fuzzymatching=True)
        metadata = client.retrieve_study_metadata("1.2.3")
        assert len(metadata) == 3
        instance = client.retrieve_instance("1.2.3", "1.2.3.1", "1.2.3.1.1")
        assert instance == datasets[0]
        assert len(client.retrieve_study("1.2.3")) == 3
        series = list(client.iter_series("1.2.3", "1.2.3.1"))
        assert {ds.SOPInstanceUID for ds in series} == {"1.2.3.1.1", "1.2.3.1.2"}
        frames = client.retrieve_instance_frames("1.2.3", "1.2.3.1", "1.2.3.1.1", [3, 1])
        assert frames == [FRAMES[2], FRAMES[0]]
        octets = (("application/octet-stream", "1.2.840.10008.1.2.1"),)
        frames = client.retrieve_instance_frames("1.2.3", "1.2.3.1", "1.2.3.1.1", [2], octets)
        assert frames == [FRAMES[1]]
        by_uid = {item["00080018"]["Value"][0]: item for item in metadata}
        uri = by_uid["1.2.3.1.1"]["7FE00010"]["BulkDataURI"]
        assert client.retrieve_bulkdata(uri) == [datasets[0].PixelData]

    await asyncio.to_thread(drive)


async def test_dicomweb_client_gets_compressed_frames(front, ct):
    client = DICOMwebClient(front.url)
    await front.stow([ct(frames=[b"\1" * 10, b"\2" * 12], syntax=JPEGLSLossless)])

    def drive():
        media = (("image/jls", JPEGLSLossless),)
        names = ("1.2.3", "1.2.3.1", "1.2.3.1.1")
        assert client.retrieve_instance_frames(*names, [2, 1], media) == [b"\2" * 12, b"\1" * 10]
        assert client.retrieve_instance(*names).file_meta.TransferSyntaxUID == JPEGLSLossless

    await asyncio.to_thread(drive)


async def curl(*arguments):
    assert shutil.which("curl"), "curl is needed: apt-get install curl"
    process = await asyncio.create_subprocess_exec(
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_curl_stores_searches_and_retrieves(front, ct, tmp_path):
    file = tmp_path / "one.dcm"
    file.write_bytes(ct(frames=[b"\1" * (2 << 20)]))  # enough for Expect: 100-continue
    answer = json.loads(
        await curl(
            "-H",
            "Content-Type: application/dicom",
            "--data-binary",
            f"@{file}",
            f"{front.url}/studies",
        )
    )
    url = answer["00081199"]["Value"][0]["00081190"]["Value"][0]
    found = json.loads(await curl(f"{front.url}/studies?PatientID=P1"))
    assert found[0]["0020000D"]["Value"] == ["1.2.3"]
    assert (
        await curl("-H", "Accept: application/dicom; transfer-syntax=*", url) == file.read_bytes()
    )
    assert await curl("-H", "Accept: application/dicom", "-r", "128-131", url) == b"DICM"


async def test_curl_stores_a_chunked_form_of_two_files(front, ct, tmp_path):
    for number in (1, 2):
        (tmp_path / str(number)).write_bytes(ct(f"1.2.3.1.{number}"))
    forms = [f"-Ffile{n}=@{tmp_path / str(n)};type=application/dicom" for n in (1, 2)]
    answer = json.loads(
        await curl(
            *forms,
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            'Content-Type: multipart/related; type="application/dicom"',
            f"{front.url}/studies",
        )
    )
    assert len(answer["00081199"]["Value"]) == 2
