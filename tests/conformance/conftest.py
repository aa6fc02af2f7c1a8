"""One archive behind both fronts, on real sockets, and peers that we did not write."""

import asyncio
import http.client
import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pydicom
import pytest
import uvloop
from aiohttp import web
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from vna.archive import Archive, ArchiveSettings
from vna.dicom.uids import TRANSFER_SYNTAXES
from vna.dimse import DimseServer, DimseSettings, serve
from vna.web import WebSettings, make_app, make_runner

T = TypeVar("T")

WAIT_S = 60
STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Site:
    """A listening archive: DIMSE on `dimse_port`, HTTP on `http_port`, in a loop of its own."""

    def __init__(
        self, archive: ArchiveSettings, dimse: DimseSettings, http_front: WebSettings
    ) -> None:
        self.archive = Archive.open(archive)
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.dimse_port: int = self._socket.getsockname()[1]
        self.server: DimseServer = self.run(serve(self.archive, dimse, [self._socket]))
        self._runner = make_runner(make_app(self.archive, http_front, lambda: True), drain_s=0)
        self.http_port: int = self.run(self._serve_http())

    async def _serve_http(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def idle(self) -> None:
        """Return once no association is left."""

        async def wait() -> None:
            while self.server.associations:
                await asyncio.sleep(0.005)

        self.run(wait())

    @property
    def instances(self) -> int:
        return self.archive.stats().counts.instances

    def close(self) -> None:
        self.run(self._runner.cleanup())
        self.run(self.server.close(0))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()
        self.archive.close()
        self._socket.close()

    # DIMSE ------------------------------------------------------------------------------------
    def associate(self, *contexts: tuple[str, list[str]], **options: Any) -> Any:
        """Return an association by pynetdicom; the caller releases it."""
        ae = AE(ae_title="TESTER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT_S
        for sop_class, syntaxes in contexts:
            ae.add_requested_context(sop_class, syntaxes)
        return ae.associate("127.0.0.1", self.dimse_port, ae_title="VNA", **options)

    def c_store(self, *files: Path) -> list[Dataset]:
        """Send files as they are, on one association; return the responses."""
        metas = [pydicom.dcmread(file, stop_before_pixels=True).file_meta for file in files]
        contexts = {(str(m.MediaStorageSOPClassUID), str(m.TransferSyntaxUID)) for m in metas}
        association = self.associate(*((sop_class, [ts]) for sop_class, ts in sorted(contexts)))
        assert association.is_established
        answers = [association.send_c_store(file) for file in files]
        association.release()
        return answers

    def c_find(
        self, query: Dataset, *, root: str = "study", options: bytes = b""
    ) -> tuple[list[int], list[Dataset]]:
        """Return statuses and answers; `options` are negotiated (PS3.4 C.5.1.1)."""
        model = (
            StudyRootQueryRetrieveInformationModelFind
            if root == "study"
            else PatientRootQueryRetrieveInformationModelFind
        )
        extended = SOPClassExtendedNegotiation()
        extended.sop_class_uid = model
        extended.service_class_application_information = options
        association = self.associate(
            (model, [ExplicitVRLittleEndian]), ext_neg=[extended] if options else []
        )
        pairs = list(association.send_c_find(query, model))
        association.release()
        return [status.Status for status, _ in pairs], [ds for _, ds in pairs if ds is not None]

    def c_get(
        self, query: Dataset, *contexts: tuple[str, list[str]]
    ) -> tuple[list[Dataset], dict[str, bytes]]:
        """Return the responses, and the data sets that came, by SOP Instance UID."""
        model = StudyRootQueryRetrieveInformationModelGet
        got: dict[str, bytes] = {}

        def keep(event: evt.Event) -> int:
            got[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
            return 0

        association = self.associate(
            (model, [ExplicitVRLittleEndian]),
            *contexts,
            ext_neg=[build_role(uid, scp_role=True) for uid in {uid for uid, _ in contexts}],
            evt_handlers=[(evt.EVT_C_STORE, keep)],
        )
        answers = [status for status, _ in association.send_c_get(query, model)]
        association.release()
        return answers, got

    # HTTP -------------------------------------------------------------------------------------
    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask the DICOMweb service for `path`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=WAIT_S)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, f"/dicom-web{path}", body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, accept: str = "*/*") -> Answer:
        return self.request("GET", path, Accept=accept)

    def search(self, path: str, **keys: str) -> Answer:
        query = "&".join(f"{name.replace('__', '.')}={quote(v)}" for name, v in keys.items())
        return self.get(f"{path}?{query}", "application/dicom+json")

    def stow(self, *files: Path, path: str = "/studies") -> Answer:
        body = b"".join(
            b"--limit\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % file.read_bytes()
            for file in files
        )
        kind = 'multipart/related; type="application/dicom"; boundary=limit'
        return self.request("POST", path, body + b"--limit--\r\n", Content_Type=kind)

    def parts(self, path: str, accept: str = STORED) -> list[bytes]:
        """Return the parts of a multipart answer."""
        answer = self.get(path, accept)
        assert answer.status == 200, answer.body
        boundary = answer.headers.get_param("boundary")
        assert isinstance(boundary, str)
        pieces = answer.body.split(b"--" + boundary.encode())
        return [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]


@pytest.fixture
def start_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Start archives: `start_site(archive={...}, dimse={...}, web={...})`."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    as_is = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True  # a file's own bytes, not pydicom's rewriting of them
    sites: list[Site] = []

    def start(
        archive: dict[str, Any] | None = None,
        dimse: dict[str, Any] | None = None,
        web: dict[str, Any] | None = None,
    ) -> Site:
        data = tmp_path / f"archive{len(sites)}"
        settings = ArchiveSettings(data=data, **(archive or {}))
        sites.append(Site(settings, DimseSettings(**(dimse or {})), WebSettings(**(web or {}))))
        return sites[-1]

    yield start
    for site in sites:
        site.close()
    _config.STORE_SEND_CHUNKED_DATASET = as_is


@pytest.fixture
def site(start_site: Callable[..., Site]) -> Site:
    return start_site()


def encode(ds: Dataset, syntax: str) -> bytes:
    """Return a data set as pydicom writes it in the plain form of a transfer syntax."""
    known = TRANSFER_SYNTAXES.get(syntax)
    out = pydicom.filebase.DicomBytesIO()
    out.is_implicit_VR = known is not None and not known.explicit
    out.is_little_endian = known is None or not known.big_endian
    write_dataset(out, ds)
    return out.getvalue()


@pytest.fixture
def sample(tmp_path: Path) -> Callable[..., Path]:
    """Make Part 10 files of small CT slices: `sample(PatientID="x", ...)`; None leaves out.

    `data` are the bytes of the data set, where they shall be other than pydicom's.
    """
    made = 0

    def make(
        syntax: str = ExplicitVRLittleEndian, data: bytes | None = None, **changes: Any
    ) -> Path:
        nonlocal made
        made += 1
        ds = slice_of(made, **changes)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = ds.SOPClassUID
        meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        out = io.BytesIO()
        out.write(bytes(128) + b"DICM")
        write_file_meta_info(out, meta)
        out.write(encode(ds, syntax) if data is None else data)
        path = tmp_path / f"{made}.dcm"
        path.write_bytes(out.getvalue())
        return path

    return make


def slice_of(number: int, **changes: Any) -> Dataset:
    """Return a CT slice of study 1.2.3, series 1.2.3.1; changes to None leave the element out."""
    ds = Dataset()
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"1.2.3.1.{number}",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "StudyDate": "20260102",
        "StudyTime": "101500",
        "AccessionNumber": "A1",
        "Modality": "CT",
        "PatientName": "Müller^Jörg",
        "PatientID": "P1",
        "StudyID": "S1",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "Rows": 4,
        "Columns": 4,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": bytes(range(32)),
    }
    for name, value in (values | changes).items():
        if value is not None:
            setattr(ds, name, value)
    ds["PixelData"].VR = "OW"
    return ds


@pytest.fixture
def identifier() -> Callable[..., Dataset]:
    """Make an identifier: `identifier("STUDY", PatientID="")`; `A__B` is B in an item of A."""

    def make(level: str, **keys: str) -> Dataset:
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.QueryRetrieveLevel = level
        with disable_value_validation():  # patterns and ranges are no values
            for name, value in keys.items():
                sequence, _, keyword = name.rpartition("__")
                if not sequence:
                    setattr(ds, name, int(value) if dictionary_VR(name) == "US" else value)
                    continue
                if sequence not in ds:
                    setattr(ds, sequence, [Dataset()])
                setattr(ds[sequence][0], keyword, value)
        return ds

    return make


@pytest.fixture
def data_of() -> Callable[[bytes], bytes]:
    """Return the data set of a Part 10 file: what follows its file meta information."""

    def cut(file: bytes) -> bytes:
        stream = io.BytesIO(file)
        pydicom.filereader.read_preamble(stream, force=False)
        pydicom.filereader._read_file_meta_info(stream)
        return file[stream.tell() :]

    return cut


@pytest.fixture
def data_set() -> Callable[..., bytes]:
    """Encode a CT slice: `data_set(number, syntax, PatientID="x", ...)`."""

    def make(number: int, syntax: str, **changes: Any) -> bytes:
        return encode(slice_of(number, **changes), syntax)

    return make
