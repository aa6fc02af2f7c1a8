"""`vna backup` and `vna restore-backup` beside a daemon that is storing."""

import io
import subprocess
import threading
from pathlib import Path

import pydicom
import pytest
from command import report_of, vna
from pydicom.data import get_testdata_file

CT = Path(get_testdata_file("CT_small.dcm"))


def store(daemon, number: int) -> str:
    """Store an object by STOW-RS; return its UID once that is acknowledged."""
    dataset = pydicom.dcmread(CT)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
    dataset.PatientComments = f"object {number}"
    out = io.BytesIO()
    dataset.save_as(out)
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--b--" % out.getvalue()
    kind = 'Content-Type: multipart/related; type="application/dicom"; boundary=b'
    subprocess.run(
        ["curl", "-sS", "--fail", "-H", kind, "--data-binary", "@-", f"{daemon.dicomweb}/studies"],
        input=body,
        check=True,
        capture_output=True,
    )
    return f"1.2.3.{number}"


@pytest.mark.interop
def test_backup_of_a_daemon_that_stores(daemon, tmp_path):
    folder, new = tmp_path / "backup", tmp_path / "new"
    acknowledged = [store(daemon, number) for number in range(5)]
    stop = threading.Event()

    def go_on() -> None:
        number = 5
        while not stop.is_set():
            acknowledged.append(store(daemon, number))
            number += 1

    sender = threading.Thread(target=go_on)
    sender.start()
    try:
        for kept in (0, None):
            before = list(acknowledged)
            code, report = report_of("backup", folder, "--data", daemon.data)
            assert (code, report["damage"]) == (0, [])
            assert report["change"] >= len(before)
            assert kept is None or report["kept"] == kept
    finally:
        stop.set()
        sender.join()
    code, report = report_of("restore-backup", folder, "--data", new)
    assert (code, report["damage"]) == (0, [])
    assert report["counts"]["instances"] == report["change"] >= len(before)
    code, checked = report_of("check", "--data", new)
    assert (code, checked["damage"]) == (0, [])
    assert checked["instances"] == report["change"]


def test_what_cannot_be_done_is_said(tmp_path):
    data, folder = tmp_path / "data", tmp_path / "backup"
    vna("import", CT, "--data", data)
    code, _, said = vna("restore-backup", folder, "--data", tmp_path / "new")
    assert (code, said) == (4, f"vna: {folder} holds no backup: there is no manifest\n")
    code, out, _ = vna("backup", folder, "--data", data)
    assert code == 0
    assert f"{folder} is as of 2" in out
    assert out.endswith(" there before\n")
    (pack,) = (folder / "packs").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[1000] ^= 1
    pack.unlink()
    pack.write_bytes(content)
    code, out, _ = vna("restore-backup", folder, "--data", tmp_path / "new")
    assert code == 1
    assert f"damaged  {pack.name} is not as it was when it was backed up" in out
