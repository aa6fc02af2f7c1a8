"""The command `vna` as a script uses it: reports, exit codes, beside a running daemon."""

import io
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pydicom
import pytest
from command import VNA, report_of, vna
from pydicom.data import get_testdata_file

from vna.cli import commands, commands_page
from vna.cli.exits import EXIT_CODES

CT = Path(get_testdata_file("CT_small.dcm"))
MR = Path(get_testdata_file("MR_small.dcm"))


@pytest.fixture
def folder(tmp_path):
    """A folder with two objects, a text and a broken object."""
    disc = tmp_path / "disc"
    (disc / "a").mkdir(parents=True)
    (disc / "a/ct").write_bytes(CT.read_bytes())
    (disc / "mr.dcm").write_bytes(MR.read_bytes())
    (disc / "readme.txt").write_text("not DICOM")
    return disc


def without_uids(source):
    dataset = pydicom.dcmread(source)
    del dataset.StudyInstanceUID
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def test_import_takes_objects_and_names_the_rest(folder, tmp_path):
    data = tmp_path / "data"
    code, report = report_of("import", folder, "--data", data)
    assert code == 0
    assert report["taken"] == 2
    assert report["outcomes"] == {"stored": 2}
    assert report["complete"]
    (skipped,) = report["not_taken"]
    assert skipped["path"] == str(folder / "readme.txt")
    assert skipped["why"] == "skipped"
    assert "not DICOM" in skipped["reason"]
    code, report = report_of("import", folder, "--data", data)
    assert (code, report["outcomes"]) == (0, {"duplicate": 2})


def test_import_names_files_whose_names_are_not_utf8(folder, tmp_path):
    name = os.fsdecode(b"\xfc.txt")
    (folder / name).write_text("not DICOM")
    code, report = report_of("import", folder, "--data", tmp_path / "data")
    assert (code, report["taken"]) == (0, 2)
    assert str(folder / name) in [each["path"] for each in report["not_taken"]]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_report_that_cannot_be_written_is_no_finding(folder, tmp_path, options):
    vna("import", folder, "--data", tmp_path / "data")
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [VNA, "check", "--data", tmp_path / "data", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 3
    assert ended.stderr == "vna: [Errno 28] No space left on device\n"


def test_import_exits_1_when_an_object_is_refused(folder, tmp_path):
    (folder / "broken.dcm").write_bytes(without_uids(CT))
    code, out, _ = vna("import", folder, folder / "absent", "--data", tmp_path / "data")
    assert code == 1
    assert f"refused  {folder}/broken.dcm: (0020,000D) Study Instance UID is missing" in out
    assert f"missing  {folder}/absent: there is no such file" in out
    assert out.splitlines()[-1] == "2 files taken (2 stored), 3 not taken"


def test_truncated_object_is_taken_with_a_warning(tmp_path):
    (tmp_path / "cut.dcm").write_bytes(MR.read_bytes()[:-200])
    code, report = report_of("import", tmp_path / "cut.dcm", "--data", tmp_path / "data")
    assert code == 0
    (warned,) = report["warned"]
    assert "(7FE0,0010)" in warned["reason"]
    assert "the value ends after" in warned["reason"]


def test_stats_and_check_of_what_was_imported(folder, tmp_path):
    data = tmp_path / "data"
    vna("import", folder, "--data", data)
    code, stats = report_of("stats", "--data", data)
    assert code == 0
    assert [stats[each] for each in ("patients", "studies", "series", "instances")] == [2, 2, 2, 2]
    assert stats["packs"] == 1
    assert stats["pack_bytes"] == sum(path.stat().st_size for path in data.glob("packs/*.pack"))
    code, check = report_of("check", "--data", data)
    assert code == 0
    assert check["instances"] == 2
    assert check["damage"] == []
    assert "instances" in vna("stats", "--data", data)[1]


def test_check_names_damage_and_exits_1(tmp_path):
    data = tmp_path / "data"
    vna("import", CT, "--data", data)
    (pack,) = data.glob("packs/*.pack")
    middle = pack.stat().st_size // 2
    with pack.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, middle)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), middle)
    code, out, _ = vna("check", "--data", data)
    assert code == 1
    assert f"damaged  {pydicom.dcmread(CT).SOPInstanceUID}: " in out
    assert out.splitlines()[-1].endswith("1 damage found")


def test_commands_work_beside_a_running_daemon(daemon, folder):
    code, report = report_of("import", folder, "--data", daemon.data)
    assert (code, report["taken"]) == (0, 2)
    found = subprocess.run(
        ["curl", "-sS", "--fail", f"{daemon.dicomweb}/studies"], capture_output=True, check=True
    )
    assert len(json.loads(found.stdout)) == 2
    code, stats = report_of("stats", "--data", daemon.data)
    assert (code, stats["instances"]) == (0, 2)
    code, check = report_of("check", "--data", daemon.data)
    assert (code, check["instances"], check["damage"]) == (0, 2, [])


def test_versions_delete_and_restore_beside_a_running_daemon(daemon, tmp_path):
    dataset = pydicom.dcmread(CT)
    study, uid = dataset.StudyInstanceUID, dataset.SOPInstanceUID
    vna("import", CT, "--data", daemon.data)
    dataset.PatientComments = "corrected"
    dataset.save_as(tmp_path / "corrected.dcm")
    vna("import", tmp_path / "corrected.dcm", "--data", daemon.data)

    def served():
        url = f"{daemon.dicomweb}/studies/{study}/instances?includefield=PatientComments"
        code = ["curl", "-sS", "-o", "/dev/stderr", "-w", "%{http_code}", url]
        ended = subprocess.run(code, capture_output=True, check=True)
        return ended.stdout, ended.stderr

    code, report = report_of("versions", uid, "--data", daemon.data)
    new, old = report["versions"]
    assert (code, new["current"], old["current"]) == (0, True, False)
    assert new["bytes"] > old["bytes"]
    assert old["time"].endswith("+00:00")
    code, report = report_of(
        "restore", uid, "--version", str(old["version"]), "--data", daemon.data
    )
    assert (code, report["restored"]) == (0, 1)
    code, out, _ = vna("versions", uid, "--data", daemon.data)
    assert f"{old['version']}  {old['time']}  current" in out
    assert f"{new['version']}  {new['time']}  replaced" in out

    delete = ("delete", "--study", study, "--reason", "a test", "--data", daemon.data)
    code, _, said = vna(*delete)
    assert (code, "nothing deleted" in said) == (4, True), "nobody said yes"
    assert served()[0] == b"200"
    code, report = report_of(*delete, "--yes")
    assert (code, report["deleted"]) == (0, 1)
    assert served()[0] != b"200" or served()[1] == b"[]"
    assert "deleted with its study: a test" in vna("versions", study, "--data", daemon.data)[1]
    assert vna(*delete, "--yes")[0] == 4
    assert vna("restore", study, "--data", daemon.data)[:2] == (
        0,
        "1 instances restored, 0 left as deleted on their own\n",
    )
    assert served()[0] == b"200"
    assert vna("restore", study, "--data", daemon.data)[0] == 4
    assert vna("versions", "9.9", "--data", daemon.data)[0] == 4


def test_rebuild_index_is_equal_and_refuses_beside_a_daemon(start_daemon, folder, tmp_path):
    data = tmp_path / "data"
    running = start_daemon(data, workers=1)
    vna("import", folder, "--data", data)
    vna(
        "delete",
        "--instance",
        pydicom.dcmread(CT).SOPInstanceUID,
        "--reason",
        "",
        "--yes",
        "--data",
        data,
    )
    code, out, said = vna("rebuild-index", "--data", data)
    assert (code, out) == (3, "")
    assert "is in use" in said
    assert running.stop() == 0
    code, report = report_of("rebuild-index", "--data", data)
    assert (code, report["compared"], report["different"]) == (0, True, 0)
    assert report["counts"]["instances"] == report["counts"]["deleted"] == 1
    assert (data / "index.old/data.mdb").exists()
    assert vna("rebuild-index", "--data", data)[1].endswith("; equal to the old index\n")
    assert report_of("check", "--data", data)[1]["damage"] == []


def test_rebuild_index_says_what_differs(folder, tmp_path):
    data = tmp_path / "data"
    vna("import", folder, "--data", data)
    for pack in data.glob("packs/*.pack"):
        pack.unlink()
    code, out, _ = vna("rebuild-index", "--data", data)
    assert code == 1
    assert f"differs  instance {pydicom.dcmread(CT).SOPInstanceUID}: missing" in out


@pytest.mark.parametrize("command", ["stats", "check", "rebuild-index"])
def test_folder_without_an_archive_exits_3_and_stays_empty(tmp_path, command):
    code, out, said = vna(command, "--data", tmp_path)
    assert (code, out) == (3, "")
    assert f"there is no archive in {tmp_path}" in said
    assert not list(tmp_path.iterdir())


def test_usage_errors_exit_2(tmp_path):
    assert vna("import")[0] == 2
    assert vna("no-such-command")[0] == 2
    assert vna("stats", "--data", CT)[0] == 2
    assert vna("delete", "--study", "1.2", "--data", tmp_path)[0] == 2
    assert vna("delete", "--reason", "", "--data", tmp_path)[0] == 2


def test_config_check_names_each_problem(tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[process]\nworkers = 1\n")
    bad.write_text("[process]\nworkers = -1\n[lisen]\n")
    assert vna("config", "check", good) == (0, f"{good} is valid\n", "")
    code, out, said = vna("config", "check", bad)
    assert (code, out) == (2, "")
    assert len(said.splitlines()) == 2
    assert all(line.startswith(f"{bad}: ") for line in said.splitlines())


def test_config_show_prints_what_is_in_effect(tmp_path):
    file = tmp_path / "vna.toml"
    file.write_text('[dimse]\nae_title = "MINE"\n')
    code, shown = report_of("config", "show", "--config", file)
    assert code == 0
    assert shown["dimse"]["ae_title"] == "MINE"
    code, text, _ = vna("config", "show", "--config", file)
    (tmp_path / "again.toml").write_text(text)
    assert report_of("config", "show", "--config", tmp_path / "again.toml") == (0, shown)


def test_version():
    code, report = report_of("version")
    assert code == 0
    assert vna("version")[1].startswith(f"vna {report['vna']} ")


def test_page_is_up_to_date_and_names_every_command_option_and_exit_code(root):
    page = (root / "docs/cli.md").read_text()
    assert page == commands_page(), "run `make docs`"
    for name, command in commands():
        assert f"## {name}" in page
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"
    assert all(f"| {code:d} |" in page for code in EXIT_CODES)


def test_exit_codes_stand_in_help():
    text = " ".join(vna("--help")[1].split())
    assert "Exit codes: 0 done" in text


def test_purge_and_compact_beside_a_running_daemon(start_daemon, folder, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=1)
    at = ("--data", daemon.data)
    vna("import", folder, *at)
    gone, stays = (pydicom.dcmread(file) for file in (CT, MR))
    purge = ("purge", gone.StudyInstanceUID, "--reason", "asked by the patient", *at)
    code, _, said = vna(*purge)
    assert (code, "nothing purged" in said) == (4, True), "nobody said yes"
    assert report_of(*purge, "--yes")[1]["versions"] == 1
    versions = vna("versions", gone.SOPInstanceUID, *at)[1]
    assert re.search(r" purged   .* purged 20.*: asked by the patient$", versions, re.MULTILINE)
    assert "frees them" in vna("check", *at)[1]
    (due,) = report_of("compact", "--dry-run", *at)[1]["due"]
    assert due["why"] == "dead"
    code, report = report_of("compact", *at)
    assert (code, report["packs"], report["left"], report["freed"]) == (0, 1, 0, due["bytes"])
    assert not (daemon.data / f"packs/{due['pack']}.pack").exists()
    url = f"{daemon.dicomweb}/studies/{stays.StudyInstanceUID}"
    served = subprocess.run(["curl", "-sS", "--fail", url], capture_output=True, check=True)
    assert MR.read_bytes()[400:] in served.stdout
    assert daemon.stop() == 0


def test_a_daemon_purges_and_compacts_when_the_time_is_over(start_daemon, folder, tmp_path):
    data = tmp_path / "data"
    vna("import", folder, "--data", data)
    uid = pydicom.dcmread(CT).SOPInstanceUID
    vna("delete", "--instance", uid, "--reason", "", "--yes", "--data", data)
    vna("import", MR, "--data", data)
    (pack, *_) = sorted((data / "packs").glob("*.pack"))
    settings = tmp_path / "vna.toml"
    settings.write_text("[retention]\ndeleted_days = 0.000001\n[compaction]\ndead_percent = 1\n")
    running = start_daemon(data, "--config", str(settings), workers=1)
    until = time.monotonic() + 30
    while pack.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not pack.exists()
    assert running.stop() == 0
    (line,) = report_of("versions", uid, "--data", data)[1]["versions"]
    assert line["purge_reason"] == "deleted for 1e-06 days"
    assert report_of("check", "--data", data)[1]["damage"] == []
