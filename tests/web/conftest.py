"""The HTTP front over a real archive, on a real socket."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import pydicom
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from vna.archive import Archive, ArchiveSettings
from vna.web import WebSettings, make_app, make_runner
from vna.web.drain import REQUESTS
from vna.web.multipart import MultipartReader
from vna.web.negotiation import parse_media
from vna.web.prompt import PromptAnswers

STUDY, SERIES, SOP = "1.2.3", "1.2.3.1", "1.2.3.1.1"


@pytest.fixture
def archive(tmp_path):
    opened = Archive.open(ArchiveSettings(data=tmp_path / "data", stream_threshold_bytes=1 << 20))
    yield opened
    opened.close()


@pytest.fixture
def returned(monkeypatch):
    """Return a function that gives what a method of a class returns from now on, in order."""

    def note(owner, name):
        seen = []
        method = getattr(owner, name)

        def noted(*args):
            seen.append(method(*args))
            return seen[-1]

        monkeypatch.setattr(owner, name, noted)
        return seen

    return note


@pytest.fixture
def at_hand(returned):
    """What was answered at once of all that was looked at, in order."""
    return returned(PromptAnswers, "answer")


def make_file(
    sop=SOP, study=STUDY, series=SERIES, *, syntax=ExplicitVRLittleEndian, frames=None, **changes
):
    """Return a Part 10 file of a CT image; `frames` are encapsulated if `syntax` compresses."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, sop
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20260102", "101112", "A1"
    ds.Modality, ds.ReferringPhysicianName = "CT", "Refer^Ring"
    ds.PatientName, ds.PatientID = "Müller^Jörg", "P1"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "S1", 1, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 16
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    frames = [bytes(range(256)) * 2] if frames is None else frames
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    ds.PixelData = encapsulate(frames) if syntax.is_encapsulated else b"".join(frames)
    ds["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", "1.2")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


@pytest.fixture
def ct():
    return make_file


def multipart(files, boundary="limit", content_type="application/dicom"):
    body = b"".join(
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (boundary.encode(), content_type.encode(), file)
        for file in files
    )
    return body + b"--%s--\r\n" % boundary.encode()


def parts_of(content_type, body):
    """Return [(headers, content)] of a multipart body."""
    media = parse_media(content_type)
    assert media.media == "multipart/related"
    reader = MultipartReader(media.parameters["boundary"])
    parts = []
    for event in reader.feed(body):
        match event:
            case dict() as headers:
                parts.append((headers, bytearray()))
            case None:
                pass
            case content:
                parts[-1][1].extend(content)
    reader.close()
    return [(headers, bytes(content)) for headers, content in parts]


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: CIMultiDictProxy
    body: bytes

    @property
    def content_type(self):
        return self.headers["Content-Type"].split(";")[0]

    def json(self):
        return json.loads(self.body)


@dataclass
class Front:
    """A served archive: `url` of its DICOMweb root, `root` of the server, an HTTP client."""

    archive: Archive
    root: str
    http: aiohttp.ClientSession
    state: dict
    runner: web.AppRunner

    @property
    def requests(self):
        return self.runner.app[REQUESTS]

    @property
    def url(self):
        return f"{self.root}/dicom-web"

    async def get(self, path, accept=None, **headers):
        if accept is not None:
            headers["Accept"] = accept
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("GET", path, headers=headers)

    async def request(self, method, path, **options):
        url = path if path.startswith("http") else self.url + path
        async with self.http.request(method, url, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def json(self, path, accept=None):
        response = await self.get(path, accept)
        assert response.status == 200, response.body
        assert response.content_type == "application/dicom+json"
        return response.json()

    async def parts(self, path, accept=None, status=200):
        response = await self.get(path, accept)
        assert response.status == status, response.body
        return parts_of(response.headers["Content-Type"], response.body)

    async def stow(self, files, path="/studies", **headers):
        headers = {
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=limit',
            **headers,
        }
        return await self.request("POST", path, data=io.BytesIO(multipart(files)), headers=headers)

    async def problem(self, path, status, accept=None, **headers):
        """Expect a problem body; return its detail."""
        response = await self.get(path, accept, **headers)
        return await self.is_problem(response, status)

    async def is_problem(self, response, status):
        assert response.status == status, response.body
        assert response.content_type == "application/problem+json"
        body = response.json()
        assert body["status"] == status
        assert body["title"]
        return body["detail"]


@pytest.fixture
async def serving(archive):
    """Return a function that serves the archive with given settings."""
    open_ = []

    async def start(**settings):
        state = {"ready": True}
        app = make_app(archive, WebSettings(**settings), lambda: state["ready"])
        runner = make_runner(app, drain_s=5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        http = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"])
        open_.append((http, runner))
        return Front(archive, f"http://127.0.0.1:{port}", http, state, runner)

    yield start
    for http, runner in open_:
        await http.close()
        await runner.cleanup()


@pytest.fixture
async def front(serving):
    return await serving()


@pytest.fixture
async def connect(front):
    """Return a function that opens a connection."""
    writers = []

    async def connected():
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(front.root).port)
        writers.append(writer)
        return reader, writer

    yield connected
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
