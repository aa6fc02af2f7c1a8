"""GDCM's gdcmscu against the daemon.

The gdcmscu of Debian 12 dies of an exception of its own once it has released its association, with
any server: what counts is what it says before that, and what it leaves behind.
"""

import re
from collections import Counter

import pytest
from pydicom import dcmread
from relay import Relay

pytestmark = pytest.mark.interop

PENDING, SUCCESS = 0xFF00, 0x0000


@pytest.fixture(scope="module")
def port(free_port):
    return free_port()


@pytest.fixture(scope="module")
def relay(port):
    """gdcmscu asks for a C-MOVE first and begins to listen afterwards: a connection that comes at
    once would be refused.
    """
    with Relay(port) as relay:
        yield relay


@pytest.fixture(scope="module")
def archive(start_daemon, tmp_path_factory, relay):
    folder = tmp_path_factory.mktemp("gdcm")
    config = folder / "vna.toml"
    config.write_text(
        f'[[remote]]\nae_title = "GDCMSCU"\nhost = "127.0.0.1"\nport = {relay.port}\n'
    )
    daemon = start_daemon(folder / "data", "--config", str(config))
    yield daemon
    assert daemon.stop() == 0, daemon.log.read_text()


@pytest.fixture(scope="module")
def gdcmscu(tool, archive):
    """Run it; return the status of each response that it received."""

    def run(*options):
        titles = ("--aetitle", "GDCMSCU", "--call", archive.ae_title)
        said = tool("gdcmscu", "-D", *options, *titles, "127.0.0.1", archive.dimse_port, code=None)
        # each response is printed twice, as a PDU and as a data set
        pdus = said.stderr.split("PresentationDataValue: ")[1:]
        found = (re.search(r"\(0000,0900\) \S+ \(US\) (\d+)", pdu) for pdu in pdus)
        return [int(status[1]) for status in found if status is not None]

    return run


@pytest.fixture(scope="module")
def filled(archive, take, query_files):
    take(archive, *query_files)


def test_c12_echo(gdcmscu):
    assert gdcmscu("--echo") == [SUCCESS]


def test_c13_store_a_file(gdcmscu, archive, corpus, fetch, content):
    path = corpus / "pydicom/test_files/CT_small.dcm"
    assert gdcmscu("--store", "-i", path) == [SUCCESS]
    assert content(fetch(archive, path)) == content(path)


@pytest.mark.parametrize(
    "name",
    [
        "dcm_qa_ts/4.dcm",
        "dcm_qa_ts/5.dcm",
        "dcm_qa_ts/7.dcm",
        "dcm_qa_ts/9.dcm",
        "pydicom/test_files/SC_rgb_jpeg_dcmtk.dcm",
        "pydicom/test_files/MR_small_implicit.dcm",
    ],
)
def test_c16_store_in_the_transfer_syntax_of_the_file(
    gdcmscu, archive, corpus, fetch, content, name
):
    path = corpus / name
    assert gdcmscu("--store", "-i", path) == [SUCCESS]
    stored, sent = content(fetch(archive, path)), content(path)
    assert stored == sent
    assert stored.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def test_c13_store_folders(gdcmscu, archive, query_files, fetch, content):
    lungs = [path for path in query_files if "98892001" in path.parts]
    (folder,) = {path.parent.parent for path in lungs}
    assert gdcmscu("--store", "-r", "-i", folder) == [SUCCESS] * len(lungs)
    for path in lungs:
        assert content(fetch(archive, path)) == content(path)


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        (["--patientroot", "--patient", "--key", "10,10=Doe*"], 2),
        (["--studyroot", "--study", "--key", "10,10=Doe^P*", "--key", "20,d="], 4),
        (["--studyroot", "--study", "--key", "8,20=19950101-20011231"], 3),
        (["--patientroot", "--study", "--key", "10,20=77654033", "--key", "20,d="], 2),
        (["--studyroot", "--series", "--key", "20,d={study}", "--key", "20,e="], 2),
        (["--studyroot", "--image", "--key", "20,d={study}", "--key", "20,e={series}"], 1),
        (["--studyroot", "--study", "--key", "10,10=Nobody"], 0),
    ],
    ids=lambda value: None if isinstance(value, int) else "".join(value[:2]).strip("-"),
)
def test_c20_find(gdcmscu, filled, query_files, options, matches):
    brain = dcmread(next(path for path in query_files if path.match("MR1/4919")))
    uids = {"study": brain.StudyInstanceUID, "series": brain.SeriesInstanceUID}
    statuses = gdcmscu("--find", *(option.format(**uids) for option in options))
    assert Counter(statuses) == Counter({PENDING: matches, SUCCESS: 1})
    assert statuses[-1] == SUCCESS


@pytest.mark.parametrize("part", ["98892001", "77654033"])
def test_move(gdcmscu, filled, port, query_files, tmp_path, content, part):
    objects = {path: dcmread(path) for path in query_files if part in path.parts}
    study = next(iter(objects.values())).StudyInstanceUID
    wanted = {
        ds.SOPInstanceUID: path for path, ds in objects.items() if ds.StudyInstanceUID == study
    }
    options = ("--port-scp", port, "-o", tmp_path, "--key", f"20,d={study}")
    assert gdcmscu("--move", "--studyroot", "--study", *options)[-1] == SUCCESS
    got = {dcmread(path).SOPInstanceUID: path for path in tmp_path.iterdir()}
    assert got.keys() == wanted.keys()
    for uid, path in got.items():
        assert content(path) == content(wanted[uid])
