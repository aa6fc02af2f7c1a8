"""curl against the daemon: DICOMweb as it is on the wire."""

import json
import re

import pytest
from pydicom import dcmread

pytestmark = pytest.mark.interop

STOW = 'Content-Type: multipart/related; type="application/dicom"'
AS_STORED = "Accept: application/dicom; transfer-syntax=*"
MULTIPART = 'Accept: multipart/related; type="application/dicom"; transfer-syntax=*'


class Answer:
    """What curl printed with --include: status, headers by lower-case name, body."""

    def __init__(self, printed):
        while True:
            head, _, printed = printed.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            self.status = int(lines[0].split()[1])
            if self.status != 100:
                break
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.body = printed

    def json(self):
        return json.loads(self.body)


@pytest.fixture(scope="module")
def curl(tool, daemon, tmp_path_factory):
    """Ask for a path of the DICOMweb root: `curl("/studies", ...)`."""
    printed = tmp_path_factory.mktemp("curl") / "printed"

    def run(path, *options):
        url = path if path.startswith("http") else daemon.dicomweb + path
        tool("curl", "-sS", "--include", "--globoff", "-o", printed, *options, url)
        return Answer(printed.read_bytes())

    return run


@pytest.fixture(scope="module")
def objects(query_files):
    return {path: dcmread(path) for path in query_files}


@pytest.fixture(scope="module")
def stored(curl, query_files):
    """The answer to one STOW-RS request with a whole folder."""
    forms = [f"-Ffile=@{path};type=application/dicom" for path in query_files]
    return curl("/studies", "-H", STOW, *forms)


@pytest.fixture(scope="module")
def put(curl, corpus):
    """Store a file of the corpus as the whole body of a request; return its data set."""

    def run(name):
        body = ("-X", "POST", "-T", corpus / name)
        assert curl("/studies", "-H", "Content-Type: application/dicom", *body).status == 200
        return dcmread(corpus / name)

    return run


def path_of(ds):
    return (
        f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
        f"/instances/{ds.SOPInstanceUID}"
    )


def contents(answer):
    """Return the contents of the parts of a multipart answer."""
    boundary = re.search(r"boundary=\"?([^\";]+)", answer.headers["content-type"])[1].encode()
    assert answer.body.startswith(b"--" + boundary + b"\r\n")
    assert answer.body.rstrip().endswith(b"\r\n--" + boundary + b"--")
    parts = re.split(rb"(?:^|\r\n)--" + boundary + rb"(?:--)?\r\n", answer.body.rstrip() + b"\r\n")
    return [part.split(b"\r\n\r\n", 1)[1] for part in parts[1:-1]]


def test_c33_stow_of_a_folder(stored, daemon, objects):
    assert stored.status == 200
    assert stored.headers["content-type"] == "application/dicom+json"
    items = stored.json()["00081199"]["Value"]
    assert {item["00081190"]["Value"][0] for item in items} == {
        daemon.dicomweb + path_of(ds) for ds in objects.values()
    }


def test_c45_every_object_comes_back_as_the_file_that_it_was(curl, stored, objects):
    for path, ds in objects.items():
        answer = curl(path_of(ds), "-H", AS_STORED)
        assert answer.status == 200
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.body == path.read_bytes()


def test_c45_a_study_comes_back_whole(curl, stored, objects):
    for study in {ds.StudyInstanceUID for ds in objects.values()}:
        answer = curl(f"/studies/{study}", "-H", MULTIPART)
        assert answer.status == 200
        files = {path.read_bytes() for path, ds in objects.items() if ds.StudyInstanceUID == study}
        assert set(contents(answer)) == files


def test_c40_qido(curl, stored, objects):
    answer = curl("/studies?PatientName=doe*&StudyDate=20030505&includefield=StudyDescription")
    assert answer.status == 200
    assert {match["00081030"]["Value"][0] for match in answer.json()} == {
        "Brain",
        "Brain-MRA",
        "Carotids",
    }
    answer = curl("/instances?PatientID=98890234&limit=3&offset=1")
    assert len(answer.json()) == 3
    assert answer.headers["warning"].startswith("299 ")
    assert curl("/series?Modality=XX").json() == []


def test_c47_metadata_and_its_etag(curl, stored, objects):
    ds = next(iter(objects.values()))
    answer = curl(f"/studies/{ds.StudyInstanceUID}/metadata")
    expected = {
        o.SOPInstanceUID for o in objects.values() if o.StudyInstanceUID == ds.StudyInstanceUID
    }
    assert {found["00080018"]["Value"][0] for found in answer.json()} == expected
    again = curl(
        f"/studies/{ds.StudyInstanceUID}/metadata", "-H", f"If-None-Match: {answer.headers['etag']}"
    )
    assert (again.status, again.body) == (304, b"")


def test_c45_bulk_data_and_frame_of_an_image(curl, put):
    ds = put("pydicom/test_files/CT_small.dcm")
    (metadata,) = curl(path_of(ds) + "/metadata").json()
    octets = ("-H", "Accept: application/octet-stream")
    uri = metadata["7FE00010"]["BulkDataURI"]
    assert curl(uri, *octets).body == ds.PixelData
    assert curl(path_of(ds) + "/frames/1", *octets).body == ds.PixelData
    ranged = curl(uri, *octets, "--range", "100-199")
    assert ranged.status == 206
    assert ranged.headers["content-range"] == f"bytes 100-199/{len(ds.PixelData)}"
    assert ranged.body == ds.PixelData[100:200]


def test_c45_compressed_frames_in_the_asked_order(curl, put):
    ds = put("pydicom/test_files/SC_rgb_rle_2frame.dcm")
    accept = 'Accept: multipart/related; type="image/dicom-rle"; transfer-syntax=*'
    both = contents(curl(path_of(ds) + "/frames/2,1", "-H", accept))
    assert len(both) == 2
    assert all(frame in ds.PixelData for frame in both)
    assert ds.PixelData.index(both[0]) > ds.PixelData.index(both[1])
    assert curl(path_of(ds) + "/frames/1", "-H", "Accept: image/dicom-rle").body == both[1]
    assert curl(path_of(ds) + "/frames/3", "-H", accept).status == 404


def test_c48_head_and_range_of_a_file(curl, stored, objects):
    path, ds = next(iter(objects.items()))
    size = path.stat().st_size
    head = curl(path_of(ds), "-H", AS_STORED, "--head")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(size)
    last = curl(path_of(ds), "-H", AS_STORED, "--range", "-100")
    assert (last.status, last.body) == (206, path.read_bytes()[-100:])
    beyond = curl(path_of(ds), "-H", AS_STORED, "--range", f"{size}-")
    assert beyond.status == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    ("path", "options", "status", "said"),
    [
        ("/studies/1.2.3.999", (), 404, "1.2.3.999"),
        ("/nothing", (), 404, "no resource has this path"),
        ("/studies?limit=many", (), 400, "limit"),
        ("/studies", ("-H", "Accept: text/html"), 406, "application/dicom+json"),
        ("/studies", ("-X", "DELETE"), 405, "GET"),
        ("/studies", ("-H", "Content-Type: text/plain", "-d", "x"), 415, "application/dicom"),
        ("/studies", ("-H", STOW, "-d", "x"), 400, "boundary"),
        ("/studies", ("-H", STOW + "; boundary=b", "-d", "x"), 400, ""),
    ],
)
def test_errors_are_problems(curl, stored, path, options, status, said):
    answer = curl(path, *options)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert said in problem["detail"]
    assert problem["instance"] == f"urn:request:{answer.headers['x-request-id']}"


def test_c33_what_is_no_object_fails_alone(curl, tmp_path, corpus):
    (tmp_path / "no").write_text("no object")
    files = [tmp_path / "no", corpus / "pydicom/test_files/CT_small.dcm"]
    forms = [f"-Ffile=@{path};type=application/dicom" for path in files]
    answer = curl("/studies", "-H", STOW, *forms)
    assert answer.status == 202
    assert len(answer.json()["00081199"]["Value"]) == 1
    assert len(answer.json()["0008119A"]["Value"]) == 1


def test_one_connection_serves_many_requests(tool, daemon, stored, objects, tmp_path):
    urls = [
        word
        for number, ds in enumerate(objects.values())
        for word in ("-o", tmp_path / str(number), daemon.dicomweb + path_of(ds))
    ]
    said = tool("curl", "-sS", "-H", AS_STORED, "-w", "%{num_connects} %{http_code}\n", *urls)
    lines = said.stdout.splitlines()
    assert lines == ["1 200", *["0 200"] * (len(objects) - 1)]
    for number, path in enumerate(objects):
        assert (tmp_path / str(number)).read_bytes() == path.read_bytes()
