"""`vna import` beside the daemon: a disc with a DICOMDIR, with files among that are no objects."""

import json
import shutil
import sys
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread

pytestmark = pytest.mark.interop

VNA = Path(sys.executable).with_name("vna")
DISC = "pydicom/test_files/dicomdirtests/TINY_ALPHA"
WAIT_S = 60


@pytest.fixture(scope="module")
def disc(corpus, tmp_path_factory):
    """A copy of the disc that may be written to, with what people put beside a DICOMDIR."""
    root = tmp_path_factory.mktemp("disc")
    for path in (corpus / DISC).rglob("*"):
        if path.is_file():
            copy = root / path.relative_to(corpus / DISC)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (root / "AUTORUN.INF").write_text("[autorun]\r\nopen=viewer.exe\r\n")
    (root / "EMPTY").touch()
    (root / "README.TXT").write_text("Images of a phantom.\n" * 100)
    (root / "BROKEN").write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0")
    return root


@pytest.fixture(scope="module")
def images(disc):
    """The objects of the disc, by path."""
    paths = sorted(path for path in (disc / "PT000000").rglob("*") if path.is_file())
    assert len(paths) == 50
    return {path: dcmread(path) for path in paths}


@pytest.fixture(scope="module")
def imported(tool, daemon, disc):
    """The report of the import, which exits with 1 as one file says that it is DICOM and is not."""
    said = tool(VNA, "import", "--json", "--data", daemon.data, disc, code=1)
    return json.loads(said.stdout)


def counts(tool, daemon):
    return json.loads(tool(VNA, "stats", "--json", "--data", daemon.data).stdout)


def test_c57_the_report_names_what_was_not_taken(imported, disc, images):
    assert imported["taken"] == len(images)
    assert imported["outcomes"] == {"stored": len(images)}
    assert imported["warned"] == []
    assert not imported["complete"]
    left = {noted["path"]: noted["why"] for noted in imported["not_taken"]}
    assert left == {
        str(disc / "AUTORUN.INF"): "skipped",
        str(disc / "BROKEN"): "refused",
        str(disc / "DICOMDIR"): "skipped",
        str(disc / "EMPTY"): "skipped",
        str(disc / "README.TXT"): "skipped",
    }
    assert all(noted["reason"] for noted in imported["not_taken"])


def test_c57_the_daemon_serves_at_once_what_was_imported(imported, daemon, images, fetch):
    first = next(iter(images.values()))
    url = f"{daemon.dicomweb}/studies/{first.StudyInstanceUID}/instances"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        found = {match["00080018"]["Value"][0] for match in json.load(answer)}
    assert found == {ds.SOPInstanceUID for ds in images.values()}
    for path in images:
        assert fetch(daemon, path) == path.read_bytes()


def test_c57_findscu_sees_what_was_imported(imported, daemon, images, tool):
    first = next(iter(images.values()))
    keys = (
        "QueryRetrieveLevel=STUDY",
        f"StudyInstanceUID={first.StudyInstanceUID}",
        "NumberOfStudyRelatedInstances",
    )
    peer = ("-aec", daemon.ae_title, "127.0.0.1", daemon.dimse_port)
    said = tool("findscu", "-S", *(word for key in keys for word in ("-k", key)), *peer)
    assert f"IS [{len(images)}" in said.stderr


def test_stats_and_check_beside_the_daemon(imported, daemon, images, tool):
    found = counts(tool, daemon)
    assert found["instances"] == len(images)
    assert found["studies"] == len({ds.StudyInstanceUID for ds in images.values()})
    assert found["series"] == len({ds.SeriesInstanceUID for ds in images.values()})
    report = json.loads(tool(VNA, "check", "--json", "--data", daemon.data).stdout)
    assert report["instances"] == len(images)
    assert report["damage"] == []


def test_c17_the_same_disc_again_by_its_dicomdir(imported, daemon, disc, images, tool):
    before = counts(tool, daemon)
    said = tool(VNA, "import", "--json", "--data", daemon.data, disc / "DICOMDIR")
    report = json.loads(said.stdout)
    assert report["outcomes"] == {"duplicate": len(images)}
    assert report["complete"]
    assert counts(tool, daemon)["bytes"] == before["bytes"]


def test_the_summary_for_people(imported, daemon, disc, images, tool):
    said = tool(VNA, "import", "--data", daemon.data, disc, code=1).stdout
    lines = said.splitlines()
    assert lines[-1] == f"{len(images)} files taken ({len(images)} duplicate), 5 not taken"
    for name in ("AUTORUN.INF", "BROKEN", "DICOMDIR", "EMPTY", "README.TXT"):
        assert sum(f" {disc / name}: " in line for line in lines) == 1
