"""Templates from a user's files: sent as they are, but under the bench's own UIDs and patients."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from vna.bench.stock import PLACEHOLDER
from vna.bench.templates import PIXEL_DATA, Template
from vna.errors import Invalid

__all__ = ["encode", "identify", "own_files"]

NOT_SENT = (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
MOST_KINDS = 127
"""One less than an association has, for C-GET's own."""
MOST_BYTES = 256 << 20
"""Files are read until so much is held: a template is sent again and again."""


def own_files(folder: Path) -> list[Template]:
    """Return a template for each DICOM file below `folder`; Invalid when there is none to send.

    What pydicom cannot write again is left out, and what is of more than `MOST_KINDS` SOP classes
    and transfer syntaxes: an association has no more presentation contexts (PS3.8 9.3.2.2). Frames that are not encapsulated get a stamp of their own in each copy; encapsulated ones are
    the same in all copies.
    """
    found: list[Template] = []
    kinds: set[tuple[str, str]] = set()
    size = 0
    for path in sorted(folder.rglob("*")):
        template = _template(path) if path.is_file() else None
        if template and len(kinds | {_kind(template)}) <= MOST_KINDS:
            kinds.add(_kind(template))
            found.append(template)
            size += len(template.data)
        if size > MOST_BYTES:
            break
    if not found:
        raise Invalid(f"{folder} holds no DICOM file that the bench can send")
    return found


def _kind(template: Template) -> tuple[str, str]:
    return template.sop_class, template.transfer_syntax


def identify(ds: Dataset) -> None:
    """Give a data set the placeholders that sending overwrites."""
    texts = {field: value.decode() for field, value in PLACEHOLDER.items() if field != "stamp"}
    ds.SOPInstanceUID = texts["sop"]
    ds.StudyInstanceUID = texts["study"]
    ds.SeriesInstanceUID = texts["series"]
    ds.PatientID = texts["patient"]
    ds.PatientName = texts["name"]
    ds.AccessionNumber = texts["accession"]
    ds.StudyDate = texts["date"]
    ds.InstanceNumber = texts["number"]


def encode(ds: Dataset, *, implicit: bool = False) -> bytes:
    """Return the data set in little endian, explicit VR by default."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_dataset(out, ds)
    return out.getvalue()


def _template(path: Path) -> Template | None:
    """Return the template of a file; None when it is not a composite object that can be sent."""
    try:
        return _encoded(pydicom.dcmread(path))
    except Exception:  # noqa: BLE001  # pydicom raises all sorts for what it cannot read or write
        return None


def _encoded(ds: Dataset) -> Template | None:
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if not syntax or syntax in NOT_SENT or "SOPInstanceUID" not in ds:
        return None
    identify(ds)
    data = encode(ds, implicit=syntax == ImplicitVRLittleEndian)
    stamps: tuple[int, ...] = ()
    at = data.rfind(PIXEL_DATA)
    if not syntax.is_compressed and at >= 0 and len(data) > at + 20:
        stamps = (at + (8 if syntax == ImplicitVRLittleEndian else 12),)
    frames = int(ds.get("NumberOfFrames") or 1)
    return Template(
        ds.get("Modality") or "OT", str(ds.SOPClassUID), str(syntax), data, frames, stamps
    )
