"""What an import finds below folders and in DICOMDIRs."""

import os
import re
import subprocess
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from vna.app import Noted
from vna.app.gather import gather


def names(found, folder):
    """Return taken paths and (why, path) of the others, relative to `folder`."""
    return [
        (each.why, os.path.relpath(each.path, folder))
        if isinstance(each, Noted)
        else os.path.relpath(each, folder)
        for each in found
    ]


def write_dicomdir(path, file_ids):
    directory = Dataset()
    directory.FileSetID = "TEST"
    directory.DirectoryRecordSequence = []
    for file_id in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = file_id
        directory.DirectoryRecordSequence.append(record)
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    pydicom.dcmwrite(path, directory, enforce_file_format=True)


def test_folder_stands_for_all_files_below_in_a_stable_order(tmp_path):
    for name in ("b/2", "b/1", "a", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert names(gather([tmp_path]), tmp_path) == [".hidden", "a", "b/1", "b/2"]


def test_a_file_named_twice_is_found_once(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert names(gather([tmp_path / "a", tmp_path]), tmp_path) == ["a"]


def test_links_to_folders_are_not_followed(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "loop").symlink_to(tmp_path)
    (tmp_path / "d" / "a").write_bytes(b"x")
    assert names(gather([tmp_path]), tmp_path) == ["d/a"]


def test_links_that_lead_nowhere_are_skipped(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("absent")
    (tmp_path / "d").write_bytes(b"x")
    skipped = [("skipped", name) for name in "abc"]
    assert sorted(names(gather([tmp_path]), tmp_path), key=str) == [*skipped, "d"]


def test_missing_path_is_named(tmp_path):
    assert names(gather([tmp_path / "no"]), tmp_path) == [("missing", "no")]


def test_pipe_is_skipped(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert names(gather([tmp_path]), tmp_path) == [("skipped", "pipe")]


def test_a_dicomdir_that_is_broken_is_refused_and_the_rest_found(tmp_path):
    listed = [["A" * 300], ["I\0M"], ["IM1"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dicomdir(tmp_path / "DICOMDIR", listed)
    (tmp_path / "IM1").write_bytes(b"x")
    assert names(gather([tmp_path / "DICOMDIR"]), tmp_path) == [
        ("skipped", "DICOMDIR"),
        ("missing", "A" * 300),
        ("refused", "DICOMDIR"),
        "IM1",
    ]
    whole = (tmp_path / "DICOMDIR").read_bytes()
    at = whole.index(b"\x04\x00\x20\x12SQ")  # Directory Record Sequence
    (tmp_path / "DICOMDIR").write_bytes(whole[: at + 4] + b"YS" + whole[at + 6 :])
    assert names(gather([tmp_path]), tmp_path) == [
        ("skipped", "DICOMDIR"),
        ("refused", "DICOMDIR"),
        "IM1",
    ]


def test_dicomdir_stands_for_what_it_lists(tmp_path):
    (tmp_path / "CD/DICOM").mkdir(parents=True)
    (tmp_path / "CD/DICOM/IM1").write_bytes(b"x")
    (tmp_path / "CD/dicom2").mkdir()
    (tmp_path / "CD/dicom2/im2.").write_bytes(b"x")
    (tmp_path / "CD/VIEWER.EXE").write_bytes(b"x")
    listed = [["DICOM", "IM1"], ["DICOM2", "IM2"], ["DICOM", "IM3"], ["..", "ETC"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom does not like to write ".."
        write_dicomdir(tmp_path / "CD/DICOMDIR", listed)
    assert names(gather([tmp_path / "CD/DICOMDIR"]), tmp_path / "CD") == [
        ("skipped", "DICOMDIR"),
        "DICOM/IM1",
        "dicom2/im2.",
        ("missing", "DICOM/IM3"),
        ("refused", "DICOMDIR"),
    ]
    in_folder = names(gather([tmp_path / "CD"]), tmp_path / "CD")
    assert in_folder.count("DICOM/IM1") == 1
    assert "VIEWER.EXE" in in_folder


def test_broken_dicomdir_is_refused_with_the_reason(tmp_path):
    write_dicomdir(tmp_path / "DICOMDIR", [["A"]] * 50)
    whole = (tmp_path / "DICOMDIR").read_bytes()
    (tmp_path / "DICOMDIR").write_bytes(whole[:-300])
    whys = [why for why, _ in names(gather([tmp_path]), tmp_path)]
    assert whys[0] == "skipped"
    assert set(whys[1:]) <= {"refused", "missing"}


def dicomdirs(corpus):
    return [
        line.split("\t")[0]
        for line in (corpus / "MANIFEST.tsv").read_text().splitlines()
        if "\tMedia Directory\t" in line
    ]


@pytest.mark.interop
def test_every_dicomdir_of_the_corpus_lists_what_dcmdump_sees(corpus):
    compared = 0
    for name in dicomdirs(corpus):
        itself, *found = gather([corpus / name])
        assert itself.why == "skipped"
        dump = subprocess.run(
            ["dcmdump", "-q", "+L", "+P", "ReferencedFileID", corpus / name],
            capture_output=True,
            check=False,
        )
        listed = re.findall(r"\(0004,1500\) CS \[(.*?) *\]", dump.stdout.decode("latin-1"))
        wanted = {str(Path(name).parent.joinpath(*each.split("\\"))) for each in listed}
        paths = {
            os.path.relpath(each.path if isinstance(each, Noted) else each, corpus)
            for each in found
        }
        assert {path.upper() for path in paths} == {path.upper() for path in wanted}, name
        compared += len(wanted)
    assert compared
