"""`vna tier` beside a running daemon: what is moved comes back as it was, over HTTP and DIMSE."""

import hashlib
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from command import report_of, vna
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelGet

CT = Path(get_testdata_file("CT_small.dcm"))
MR = Path(get_testdata_file("MR_small.dcm"))


@pytest.fixture
def config(tmp_path, bucket):
    (tmp_path / "access").write_text(bucket.access_key)
    (tmp_path / "secret").write_text(bucket.secret_key)
    file = tmp_path / "vna.toml"
    file.write_text(f"""
[archive]
data = "{tmp_path / "data"}"
[[tier]]
name = "hot"
path = "packs"
[[tier]]
name = "cold"
kind = "s3"
endpoint = "{bucket.endpoint}"
bucket = "{bucket.bucket}"
prefix = "{bucket.prefix}"
access_key_file = "{tmp_path / "access"}"
secret_key_file = "{tmp_path / "secret"}"
allow_http = true
codec = "zstd"
""")
    return file


def fetched(url):
    request = urllib.request.Request(url, headers={"Accept": "*/*"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return hashlib.sha256(
            answer.read().split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        ).digest()


def availability(daemon, uid):
    with urllib.request.urlopen(f"{daemon.dicomweb}/studies?StudyInstanceUID={uid}") as answer:
        return json.load(answer)[0]["00080056"]["Value"]


def got(daemon, dataset):
    """Return the pixel data that C-GET gives of a study."""
    received = []

    def store(event):
        received.append(event.dataset.PixelData)
        return 0

    ae = AE()
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(
        "127.0.0.1",
        daemon.dimse_port,
        ae_title=daemon.ae_title,
        ext_neg=[build_role(CTImageStorage, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, store)],
    )
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = dataset.StudyInstanceUID
    statuses = [
        status.Status
        for status, _ in association.send_c_get(wanted, StudyRootQueryRetrieveInformationModelGet)
    ]
    association.release()
    assert statuses[-1] == 0
    return received


def test_moving_beside_a_daemon(start_daemon, config, tmp_path):
    daemon = start_daemon(tmp_path / "data", "--config", str(config), workers=1)
    assert vna("import", CT, MR, "--config", config)[0] == 0
    ct = dcmread(CT)
    url = f"{daemon.dicomweb}/studies/{ct.StudyInstanceUID}"
    before = fetched(url)
    code, moved = report_of(
        "tier", "move", "--to", "cold", "--study", ct.StudyInstanceUID, "--wait", "--config", config
    )
    assert (code, moved["instances"], moved["blobs"], moved["packs"]) == (0, 1, 1, 1)
    code, status = report_of("tier", "status", "--config", config)
    assert code == 0
    assert list(status) == ["hot", "cold"]
    assert [status[name]["objects"] for name in status] == [1, 1]
    assert status["cold"]["bytes_stored"] < status["cold"]["bytes_raw"]
    assert status["cold"]["oldest"] == status["cold"]["newest"] is not None
    assert availability(daemon, ct.StudyInstanceUID) == ["NEARLINE"]
    assert fetched(url) == before
    assert got(daemon, ct) == [ct.PixelData]
    assert availability(daemon, ct.StudyInstanceUID) == ["ONLINE"], "it is in the cache"
    assert vna("cache", "drop", "--config", config)[0] == 0
    assert availability(daemon, ct.StudyInstanceUID) == ["NEARLINE"]
    assert availability(daemon, dcmread(MR).StudyInstanceUID) == ["ONLINE"]
    assert vna("tier", "move", "--to", "hot", "--all", "--config", config)[0] == 0
    assert availability(daemon, ct.StudyInstanceUID) == ["ONLINE"]
    assert fetched(url) == before
    assert report_of("tier", "reclaim", "--config", config) == (0, {"packs": 0})
    assert "cold" in vna("tier", "status", "--config", config)[1]
    assert vna("check", "--config", config)[0] == 0
    assert daemon.stop() == 0


def test_commands_that_cannot_be(config, tmp_path):
    vna("import", CT, "--config", config)
    assert vna("tier", "move", "--to", "cold", "--config", config)[0] == 2
    code, _, err = vna("tier", "move", "--to", "icy", "--all", "--config", config)
    assert code == 2
    assert "there are hot, cold" in err.replace("\n", " ").replace("│", "")
    assert vna("tier", "move", "--to", "cold", "--study", "1.2.9", "--config", config)[0] == 4


def test_a_store_that_is_away(config, bucket, tmp_path):
    vna("import", CT, "--config", config)
    assert vna("tier", "move", "--to", "cold", "--all", "--config", config)[0] == 0
    config.write_text(config.read_text().replace(bucket.endpoint, "http://127.0.0.1:9"))
    code, status = report_of("tier", "status", "--config", config)
    assert code == 1
    assert status["cold"]["state"] == "away"
    assert status["cold"]["objects"] == 1
    code, report = report_of("check", "--config", config)
    assert (code, report["damage"], report["not_checked"]) == (3, [], {"cold": 1})
    code, report = report_of("backup", tmp_path / "backup", "--include-tiers", "--config", config)
    assert (code, len(report["damage"])) == (1, 1)


def test_policies_are_planned_and_followed_by_the_daemon(start_daemon, config, tmp_path):
    with config.open("a") as file:
        file.write("[[policy]]\nname = 'all-CT'\nto = 'cold'\ndays = 0.0\nmodalities = ['CT']\n")
    assert vna("import", CT, MR, "--config", config)[0] == 0
    code, plan = report_of("tier", "plan", "--config", config)
    assert code == 0
    assert [(each["to"], each["policy"]) for each in plan["moves"]] == [("cold", "all-CT")]
    daemon = start_daemon(tmp_path / "data", "--config", str(config), workers=1)
    deadline = time.monotonic() + 60
    while report_of("tier", "plan", "--config", config)[1]["moves"]:
        assert time.monotonic() < deadline, daemon.log.read_text()
    assert availability(daemon, dcmread(CT).StudyInstanceUID) == ["NEARLINE"]
    assert daemon.stop() == 0


def test_what_is_on_a_store_that_is_away_is_answered_as_such(
    start_daemon, config, bucket, tmp_path
):
    vna("import", CT, MR, "--config", config)
    ct, mr = dcmread(CT), dcmread(MR)
    vna("tier", "move", "--to", "cold", "--study", ct.StudyInstanceUID, "--config", config)
    vna("compact", "--dead", "1", "--config", config)
    config.write_text(config.read_text().replace(bucket.endpoint, "http://127.0.0.1:9"))
    daemon = start_daemon(tmp_path / "data", "--config", str(config), workers=1)
    url = f"{daemon.dicomweb}/studies/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetched(f"{url}/instances/{ct.SOPInstanceUID}/frames/1")
    with refused.value as answer:  # it holds the connection
        assert answer.code == 503
        assert answer.headers["Retry-After"]
    refused.value.close()
    fetched(f"{daemon.dicomweb}/studies/{mr.StudyInstanceUID}")
    with pytest.raises(AssertionError):
        got(daemon, ct)
    assert vna("import", MR, "--config", config)[0] == 0
    assert daemon.stop() == 0
