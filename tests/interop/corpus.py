"""The corpus as this suite sees it: files, what pydicom says of them, and their data set bytes."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pydicom
from pydicom.filereader import read_preamble


@dataclass(frozen=True)
class Sample:
    """A file that may be a DICOM object. `start` is where its data set begins; `announced` is the
    SOP Instance UID of the file meta information, which a C-STORE SCU announces."""

    name: str
    path: Path
    start: int
    has_meta: bool
    transfer_syntax: str
    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    announced: str

    @property
    def fileable(self) -> bool:
        """True when pydicom, reading leniently, finds the four UIDs that an archive files by."""
        return all((self.sop_class, self.sop_uid, self.study_uid, self.series_uid))

    def dataset(self) -> bytes:
        return self.path.read_bytes()[self.start :]


def load_samples(corpus: Path) -> list[Sample]:
    with (corpus / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [_sample(corpus, row["path"]) for row in rows]


@cache
def _sample(corpus: Path, name: str) -> Sample:
    path = corpus / name
    start, meta = _part10(path)
    try:
        ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        uids = [str(ds.get(k, "") or "") for k in
                ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]  # fmt: skip
        syntax = str(ds.file_meta.get("TransferSyntaxUID", "") or "")
        uids.append(str(ds.file_meta.get("MediaStorageSOPInstanceUID", "") or ""))
    except Exception:  # noqa: BLE001  # what pydicom cannot read at all has no identity
        uids, syntax = [""] * 5, ""
    return Sample(name, path, start, meta, syntax, *uids)


def _part10(path: Path) -> tuple[int, bool]:
    """Return where the data set begins, and whether file meta information comes before it."""
    with path.open("rb") as file:
        preamble = read_preamble(file, force=True)
        try:
            meta = pydicom.filereader._read_file_meta_info(file)
        except Exception:  # noqa: BLE001  # broken meta: not a file another program could send
            return 0, False
        return file.tell(), preamble is not None and len(meta) > 0


def batches(samples: list[Sample]) -> list[list[Sample]]:
    """Part samples so that no SOP Instance UID is twice in a batch."""
    seen: dict[str, int] = defaultdict(int)
    parted: list[list[Sample]] = []
    for sample in samples:
        turn = seen[sample.sop_uid]
        seen[sample.sop_uid] += 1
        while len(parted) <= turn:
            parted.append([])
        parted[turn].append(sample)
    return parted
