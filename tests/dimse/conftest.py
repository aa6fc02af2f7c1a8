"""An archive that listens on a free port, in a thread with an event loop of its own, and peers."""

import asyncio
import io
import logging
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pydicom
import pytest
import uvloop
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from vna._native import pdata
from vna.archive import Archive, ArchiveSettings
from vna.dimse import DimseServer, DimseSettings, commands, serve
from vna.dimse.commands import Command, CommandField
from vna.dimse.pdu import (
    AssociateRequest,
    PduType,
    ProposedContext,
    UserInformation,
    encode_request,
)
from vna.types import Remote

T = TypeVar("T")

WAIT_S = 60
QUERY_RETRIEVE = {
    "patient": (
        PatientRootQueryRetrieveInformationModelFind,
        PatientRootQueryRetrieveInformationModelMove,
        PatientRootQueryRetrieveInformationModelGet,
    ),
    "study": (
        StudyRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelGet,
    ),
}


class Node:
    """A listening archive. `close` ends it; `run` runs a coroutine on its loop."""

    def __init__(self, archive: ArchiveSettings, settings: DimseSettings) -> None:
        self.settings = settings
        self.archive = Archive.open(archive)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.server: DimseServer = self.run(serve(self.archive, settings, [self.socket]))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def idle(self) -> None:
        """Return once no association is left."""

        async def wait() -> None:
            while self.server.associations:
                await asyncio.sleep(0.005)

        self.run(wait())

    def sop_uids(self, study_uid: str) -> list[str]:
        return [stored.sop_uid for stored in self.archive.objects(study_uid)]

    def dataset(self, stored: Any) -> bytes:
        return b"".join(bytes(piece) for piece in self.archive.dataset(stored))

    def close(self, drain_s: float = 0.0) -> None:
        self.run(self.server.close(drain_s))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()
        self.archive.close()
        self.socket.close()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start archives: `start_node(archive, **settings)`; new ones by default."""
    nodes: list[Node] = []

    def start(archive: ArchiveSettings | None = None, **settings: Any) -> Node:
        archive = archive or ArchiveSettings(data=tmp_path / f"data{len(nodes)}")
        node = Node(archive, DimseSettings(**settings))
        nodes.append(node)
        return node

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def node(start_node: Callable[..., Node]) -> Node:
    return start_node()


@pytest.fixture
def instance() -> Callable[..., Dataset]:
    """Make small CT objects: `instance(PatientID="x", ...)`; UIDs 1.2.3.<n> unless given."""
    made = 0

    def make(
        transfer_syntax: str = ExplicitVRLittleEndian,
        sop_class: str = CTImageStorage,
        **elements: Any,
    ) -> Dataset:
        nonlocal made
        made += 1
        ds = Dataset()
        ds.SOPClassUID = sop_class
        ds.SOPInstanceUID = f"1.2.3.4.{made}"
        ds.StudyInstanceUID = "1.2.3.1"
        ds.SeriesInstanceUID = "1.2.3.2"
        ds.PatientID = "P1"
        ds.PatientName = "Doe^Jane"
        ds.Modality = "CT"
        ds.StudyDate = "20240131"
        ds.InstanceNumber = made
        ds.Rows = ds.Columns = 4
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit = 15
        ds.PixelRepresentation = 0
        ds.SamplesPerPixel = 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.PixelData = bytes(range(32))
        for name, value in elements.items():
            setattr(ds, name, value)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = transfer_syntax
        ds.file_meta.MediaStorageSOPClassUID = sop_class
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        return ds

    return make


@pytest.fixture
def associate() -> Iterator[Callable[..., Any]]:
    """Associate by pynetdicom: `associate(node, (uid, [syntaxes]), ..., calling=...)`."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    associations = []

    def start(
        node: Node, *contexts: Any, calling: str = "TESTER", called: str = "VNA", **options: Any
    ) -> Any:
        ae = AE(ae_title=calling)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT_S
        for context in contexts or (Verification,):
            uid, syntaxes = context if isinstance(context, tuple) else (context, None)
            ae.add_requested_context(uid, syntaxes)
        association = ae.associate("127.0.0.1", node.port, ae_title=called, **options)
        associations.append(association)
        return association

    yield start
    for association in associations:
        if association.is_established:
            association.release()
        if association.is_alive():
            association.join(WAIT_S)


@pytest.fixture
def store(associate: Callable[..., Any]) -> Callable[..., list[int]]:
    """Send objects on one association by pynetdicom; return the statuses."""

    def send(node: Node, *objects: Dataset, calling: str = "TESTER") -> list[int]:
        contexts = {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in objects}
        association = associate(node, *((uid, [ts]) for uid, ts in contexts), calling=calling)
        assert association.is_established
        statuses = [association.send_c_store(ds).Status for ds in objects]
        association.release()
        return statuses

    return send


@dataclass
class Destination:
    """A storage SCP of pynetdicom. `requests` are the C-STORE requests, `data` their data sets."""

    remote: Remote
    requests: list[Any] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    status: Callable[[int], int] = lambda _: 0


@pytest.fixture
def destination() -> Iterator[Callable[..., Destination]]:
    """Start C-MOVE destinations: `destination("TITLE", [(sop class, [syntaxes])])`.

    They take `most` associations at a time.
    """
    servers = []

    def start(title: str, contexts: list[tuple[str, list[str]]], most: int = 10) -> Destination:
        ae = AE(ae_title=title)
        ae.maximum_associations = most
        for sop_class, syntaxes in contexts:
            ae.add_supported_context(sop_class, syntaxes)
        held: list[Destination] = []

        def on_store(event: Any) -> int:
            there = held[0]
            there.requests.append(event.request)
            there.data.append(event.request.DataSet.getvalue())
            there.peers.append(event.assoc.requestor.ae_title)
            return there.status(len(there.requests))

        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
        )
        servers.append(server)
        held.append(Destination(Remote(title, "127.0.0.1", server.server_address[1])))
        return held[0]

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def identifier() -> Callable[..., Dataset]:
    """Make an identifier: `identifier("STUDY", PatientID="")`."""

    def make(level: str, **keys: Any) -> Dataset:
        ds = Dataset()
        ds.QueryRetrieveLevel = level
        with disable_value_validation():  # patterns and ranges are no values
            for name, value in keys.items():
                setattr(ds, name, value)
        return ds

    return make


@pytest.fixture
def find(associate: Callable[..., Any]) -> Callable[..., tuple[list[int], list[Dataset]]]:
    """C-FIND by pynetdicom: `find(node, "study", identifier)` gives statuses and answers."""

    def run(
        node: Node, root: str, query: Dataset, syntax: str = ExplicitVRLittleEndian, **options: Any
    ) -> tuple[list[Any], list[Dataset]]:
        model = QUERY_RETRIEVE[root][0]
        association = associate(node, (model, [syntax]), **options)
        pairs = list(association.send_c_find(query, model))
        association.release()
        return [status for status, _ in pairs], [
            answer for _, answer in pairs if answer is not None
        ]

    return run


@pytest.fixture
def move(associate: Callable[..., Any]) -> Callable[..., list[Any]]:
    """C-MOVE by pynetdicom: statuses with counters, and the final identifier if there is one."""

    def run(
        node: Node, root: str, to: str, query: Dataset, **options: Any
    ) -> list[tuple[Dataset, Dataset | None]]:
        model = QUERY_RETRIEVE[root][1]
        association = associate(node, model, **options)
        answers = list(association.send_c_move(query, to, model))
        association.release()
        return answers

    return run


@pytest.fixture
def get(associate: Callable[..., Any]) -> Callable[..., Any]:
    """C-GET by pynetdicom: (statuses, data sets received)."""

    def run(
        node: Node, root: str, query: Dataset, *contexts: tuple[str, list[str]]
    ) -> tuple[list[tuple[Dataset, Dataset | None]], list[bytes]]:
        model = QUERY_RETRIEVE[root][2]
        received: list[bytes] = []

        def on_store(event: Any) -> int:
            received.append(event.request.DataSet.getvalue())
            return 0

        association = associate(
            node,
            model,
            *contexts,
            ext_neg=[build_role(uid, scp_role=True) for uid in {uid for uid, _ in contexts}],
            evt_handlers=[(evt.EVT_C_STORE, on_store)],
        )
        answers = list(association.send_c_get(query, model))
        association.release()
        return answers, received

    return run


class RawPeer:
    """A peer made of bytes, for what no well-behaved client does."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def pdu(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; (0, b"") at the end of the connection."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", header)
        return kind, self._exactly(length)

    def message(self, command: Command, data: bytes | None = None) -> bytes:
        """Return the PDUs of a message in context 1."""
        out = pdata(1, commands.encode(command), command=True, last=True, max_pdu_length=0)
        if data is not None:
            out += pdata(1, data, command=False, last=True, max_pdu_length=16384)
        return b"".join(out)

    def command(self) -> Command:
        """Return the next command set."""
        kind, body = self.pdu()
        assert kind == PduType.DATA
        assert body[5] == 3
        return commands.decode(body[6:])

    def _exactly(self, count: int) -> bytes:
        data = b""
        with suppress(ConnectionResetError):
            while len(data) < count and (more := self.socket.recv(count - len(data))):
                data += more
        return data

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def raw_peer() -> Iterator[Callable[[Node], RawPeer]]:
    peers = []

    def connect(node: Node) -> RawPeer:
        peers.append(RawPeer(node.port))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


@pytest.fixture
def raw_association(raw_peer: Callable[..., RawPeer]) -> Callable[..., RawPeer]:
    """Associate a raw peer with one context, number 1."""

    def associate(node: Node, sop_class: str, syntax: str) -> RawPeer:
        peer = raw_peer(node)
        context = ProposedContext(1, sop_class, (syntax,))
        peer.send(encode_request(AssociateRequest("VNA", "RAW", (context,), UserInformation())))
        assert peer.pdu()[0] == PduType.ASSOCIATE_AC
        return peer

    return associate


@pytest.fixture
def raw_store(raw_association: Callable[..., RawPeer]) -> Callable[..., Command]:
    """C-STORE bytes as a data set, whatever they are; return the response."""

    def send(node: Node, ds: Dataset, data: bytes, affected: str = "") -> Command:
        peer = raw_association(node, ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
        command = Command(
            field=CommandField.C_STORE,
            message_id=1,
            affected_sop_class=affected or ds.SOPClassUID,
            affected_sop_uid=ds.SOPInstanceUID,
            priority=0,
            data_set_type=1,
        )
        peer.send(peer.message(command, data))
        return peer.command()

    return send


@pytest.fixture
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program that this project did not write."""

    def run(*command: Any, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def encoded() -> Callable[[Dataset], bytes]:
    """Return an object's data set as pydicom writes it, without file meta information."""

    def encode(ds: Dataset) -> bytes:
        syntax = ds.file_meta.TransferSyntaxUID
        out = io.BytesIO()
        pydicom.dcmwrite(
            out,
            Dataset(ds),
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
            enforce_file_format=False,
        )
        return out.getvalue()

    return encode


@pytest.fixture
def three(instance: Callable[..., Dataset]) -> list[Dataset]:
    """Three CT slices of one study, two series."""
    return [instance(), instance(), instance(SeriesInstanceUID="1.2.3.3")]
