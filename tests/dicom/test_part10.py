import io
import shutil
import subprocess

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian

from vna.dicom.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    file_prefix,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
SOP_UID = "1.2.3.4.5"


def made(ae_title="STORE_SCU"):
    return file_prefix(
        sop_class=CT, sop_uid=SOP_UID, transfer_syntax=ExplicitVRLittleEndian, ae_title=ae_title
    )


@pytest.mark.parametrize("ae_title", ["A", "STORE_SCU", ""])
def test_pydicom_reads_it(ae_title):
    prefix = made(ae_title)
    meta = pydicom.dcmread(io.BytesIO(prefix)).file_meta
    assert meta.FileMetaInformationVersion == b"\x00\x01"
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == SOP_UID
    assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert meta.get("SourceApplicationEntityTitle", "") == ae_title
    assert 128 + 4 + 12 + meta.FileMetaInformationGroupLength == len(prefix)


def test_it_is_what_pydicom_writes():
    meta = pydicom.dcmread(io.BytesIO(made())).file_meta
    written = io.BytesIO(b"")
    pydicom.filewriter.write_file_meta_info(written, meta)
    assert made()[132:] == written.getvalue()


def test_our_own_identifiers_are_valid():
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert IMPLEMENTATION_CLASS_UID.startswith("2.25.")
    assert 0 < len(IMPLEMENTATION_VERSION_NAME) <= 16


@pytest.mark.interop
def test_dcmdump_reads_it(tmp_path):
    assert shutil.which("dcmdump"), "install the Debian package dcmtk"
    path = tmp_path / "made.dcm"
    element = b"\x10\x00\x20\x00LO\x02\x0042"
    path.write_bytes(made() + element)
    dumped = subprocess.run(["dcmdump", "-Un", path], capture_output=True, text=True, check=True)
    assert dumped.stderr == ""
    assert f"[{SOP_UID}]" in dumped.stdout
    assert "[STORE_SCU]" in dumped.stdout
    assert "(0010,0020) LO [42]" in dumped.stdout
