"""Every file of the corpus through every door, and back out by C-GET, C-MOVE and WADO-RS.

The outcome, file by file, is written to build/corpus-outcome.tsv; what was not taken, and why, is
printed. Files are sent in batches in which no SOP Instance UID comes twice: where the corpus has
one image in many transfer syntaxes, each replaces the one before.
"""

import http.client
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from corpus import Sample, batches, load_samples
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

VNA = Path(sys.executable).with_name("vna")
TAKEN = "taken"
DOORS = ("C-STORE", "STOW-RS", "import")

Put = Callable[["Site", list[Sample]], dict[str, str]]


@dataclass
class Site:
    """A running archive, and a storage SCP of pynetdicom that it may move to."""

    daemon: object
    sink_title: str = "SINK"
    moved: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def http(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.http_port, timeout=60)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def associated(self, ae: AE, **options: object) -> Iterator[object]:
        association = ae.associate(
            "127.0.0.1", self.daemon.dimse_port, ae_title=self.daemon.ae_title, **options
        )
        assert association.is_established
        try:
            yield association
        finally:
            association.release()


@pytest.fixture
def site(start_daemon, tmp_path, free_port):
    port = free_port()
    config = tmp_path / "vna.toml"
    config.write_text(f'[[remote]]\nae_title = "SINK"\nhost = "127.0.0.1"\nport = {port}\n')
    site = Site(start_daemon(tmp_path / "data", "--config", str(config)))

    def keep(event: evt.Event) -> int:
        site.moved[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    sink = AE(ae_title="SINK")
    sink.maximum_pdu_size = 0
    server = None
    try:
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        server = sink.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
        )
        yield site
    finally:
        _config.UNRESTRICTED_STORAGE_SERVICE = False
        if server is not None:
            server.shutdown()
        assert site.daemon.stop() == 0, site.daemon.log.read_text()


# The doors in: each returns what became of every file, by name. -----------------------------------
def put_by_c_store(site: Site, samples: list[Sample]) -> dict[str, str]:
    _config.STORE_SEND_CHUNKED_DATASET = True  # the file's own bytes, not pydicom's rewriting
    sendable = [s for s in samples if s.has_meta and s.transfer_syntax and s.sop_class]
    ae = AE(ae_title="SENDER")
    ae.maximum_pdu_size = 0
    for sop_class, syntax in sorted({(s.sop_class, s.transfer_syntax) for s in sendable}):
        ae.add_requested_context(sop_class, syntax)
    outcome = dict.fromkeys((s.name for s in samples), "cannot be sent: no file meta information")
    if not sendable:
        return outcome
    with site.associated(ae) as association:
        for sample in sendable:
            try:
                status = association.send_c_store(sample.path)
            except (ValueError, AttributeError) as error:
                outcome[sample.name] = f"cannot be sent: {error}"
                continue
            assert "Status" in status, f"{sample.name}: no answer"
            good = status.Status in (0x0000, 0xB000, 0xB006, 0xB007)
            comment = status.get("ErrorComment", "")
            outcome[sample.name] = TAKEN if good else f"{status.Status:04X} {comment}"
    return outcome


def put_by_stow(site: Site, samples: list[Sample]) -> dict[str, str]:
    outcome = {}
    with site.http() as http:
        for sample in samples:
            body = b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--b--\r\n" % (
                sample.path.read_bytes()
            )
            http.request("POST", f"{site.daemon.dicomweb}/studies", body, {
                "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
                "Accept": "application/dicom+json",
            })  # fmt: skip
            response = http.getresponse()
            answer = response.read().decode()
            if response.status in (200, 202):
                outcome[sample.name] = TAKEN
            else:
                reasons = "; ".join(response.headers.get_all("Warning", [answer]))
                outcome[sample.name] = f"{response.status} {reasons}"
    return outcome


def put_by_import(site: Site, samples: list[Sample]) -> dict[str, str]:
    command = [VNA, "import", "--json", "--data", site.daemon.data, *(s.path for s in samples)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    report = json.loads(run.stdout)
    refused = {entry["path"]: entry["reason"] for entry in report["not_taken"]}
    return {s.name: refused.get(str(s.path), TAKEN) for s in samples}


PUT: dict[str, Put] = {
    "C-STORE": put_by_c_store,
    "STOW-RS": put_by_stow,
    "import": put_by_import,
}


# The doors out. -------------------------------------------------------------------------------------
def get_by_wado(site: Site, samples: list[Sample]) -> dict[str, tuple[bytes, str]]:
    """Return each file as WADO-RS gives it, and the transfer syntax that its part names."""
    found = {}
    with site.http() as http:
        for s in samples:
            url = f"/studies/{s.study_uid}/series/{s.series_uid}/instances/{s.sop_uid}"
            http.request("GET", site.daemon.dicomweb + url, headers={
                "Accept": "application/dicom; transfer-syntax=*"
            })  # fmt: skip
            response = http.getresponse()
            body = response.read()
            assert response.status == 200, f"{s.name}: {response.status} {body[:300]!r}"
            syntax = response.headers["Content-Type"].partition("transfer-syntax=")[2].strip('"')
            found[s.name] = body, syntax
    return found


def get_by_c_get(site: Site, samples: list[Sample], syntax: dict[str, str]) -> dict[str, bytes]:
    """Return the data sets of the samples' studies by SOP Instance UID."""
    found: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        found[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    ae = AE(ae_title="GETTER")
    ae.maximum_pdu_size = 0
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    pairs = {(s.sop_class, syntax[s.name]) for s in samples}
    for sop_class, uid in sorted(pairs):
        ae.add_requested_context(sop_class, uid)
    roles = [build_role(sop_class, scp_role=True) for sop_class in {pair[0] for pair in pairs}]
    with site.associated(ae, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, keep)]) as association:
        for sample in samples:
            request = _instance(sample)
            model = StudyRootQueryRetrieveInformationModelGet
            *_, (status, _) = association.send_c_get(request, model)
            assert status.Status == 0, f"{sample.name}: C-GET {status}"
    return found


def get_by_c_move(site: Site, samples: list[Sample]) -> dict[str, bytes]:
    site.moved.clear()
    ae = AE(ae_title="MOVER")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    with site.associated(ae) as association:
        for sample in samples:
            request = _instance(sample)
            model = StudyRootQueryRetrieveInformationModelMove
            *_, (status, _) = association.send_c_move(request, "SINK", model)
            assert status.Status == 0, f"{sample.name}: C-MOVE {status}"
    return site.moved


def _instance(sample: Sample) -> Dataset:
    request = Dataset()
    request.QueryRetrieveLevel = "IMAGE"
    request.StudyInstanceUID = sample.study_uid
    request.SeriesInstanceUID = sample.series_uid
    request.SOPInstanceUID = sample.sop_uid
    return request


def dataset_in(file: bytes) -> bytes:
    """Return what follows the file meta information that WADO-RS put or kept in front."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    stream = io.BytesIO(file)
    read_preamble(stream, force=False)
    _read_file_meta_info(stream)
    return file[stream.tell() :]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.filterwarnings("ignore")
def test_every_object_goes_in_and_comes_back_identical(door, site, corpus, root, capsys):
    samples = load_samples(corpus)
    table: list[tuple[Sample, str]] = []
    stored: set[tuple[str, bytes]] = set()
    for batch in batches(samples):
        outcome = PUT[door](site, batch)
        table += [(sample, outcome[sample.name]) for sample in batch]
        taken = [sample for sample in batch if outcome[sample.name] == TAKEN]
        if not taken:
            continue
        by_wado = get_by_wado(site, taken)
        syntax = {name: uid for name, (_, uid) in by_wado.items()}
        by_get = get_by_c_get(site, taken, syntax)
        by_move = get_by_c_move(site, taken)
        for sample in taken:
            file, dataset = by_wado[sample.name][0], sample.dataset()
            # The same data set in another wrapping is a duplicate: the first one's is kept.
            new = (sample.sop_uid, dataset) not in stored
            stored.add((sample.sop_uid, dataset))
            if door != "C-STORE" and sample.has_meta and new:
                assert file == sample.path.read_bytes(), f"{sample.name}: WADO-RS, the whole file"
            else:
                assert dataset_in(file) == dataset, f"{sample.name}: WADO-RS"
            assert by_get[sample.sop_uid] == dataset, f"{sample.name}: C-GET"
            assert by_move[sample.sop_uid] == dataset, f"{sample.name}: C-MOVE"
    write_table(root / "build" / f"corpus-outcome-{door}.tsv", table)
    with capsys.disabled():
        # ruff: noqa: T201
        print(f"\n{door}: {Counter(o == TAKEN for _, o in table)[True]} of {len(table)} taken")
        for sample, said in table:
            if said != TAKEN:
                print(f"  {sample.name}: {said[:200]}")
    for sample, said in table:
        sendable = sample.has_meta and sample.announced == sample.sop_uid
        if sample.fileable and (door != "C-STORE" or sendable):
            assert said == TAKEN, f"{sample.name}: {said}"
        elif not sample.fileable:
            assert said != TAKEN, (
                f"{sample.name} has no identity that pydicom finds, yet it went in"
            )


def write_table(path: Path, table: list[tuple[Sample, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    lines = [
        "\t".join((s.name, s.transfer_syntax, s.sop_class, o.replace("\n", " "))) for s, o in table
    ]
    path.write_text("\n".join(["file\ttransfer syntax\tSOP class\toutcome", *lines, ""]))
