"""Make the golden store of format version 1 beside this file: `python tests/golden/store_v1/make.py`.

A small archive without its index: every kind of record, in several packs. It was made once and
stays as it is. `DAMAGES` says how tests damage copies of it.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
)

from vna.archive import Archive, ArchiveSettings
from vna.storage import BlobRecord, BlobStore, CommitRecord, StorageSettings, pack_name
from vna.types import BlobKind, Level

STUDY = "1.2.3"
CT, SHARES, REPLACED, DELETED, CINE, LARGE, LATER = (f"1.2.3.1.{number}" for number in range(7))
"""The instances: `SHARES` has the pixels of `CT`; `LATER` is in another pack."""


def settings(data: Path) -> ArchiveSettings:
    return ArchiveSettings(
        data=data,
        codec="raw",
        stream_threshold_bytes=10_000,
        index_map_bytes=16 << 20,
        min_free_bytes=0,
    )


def image(sop: str, pixels: bytes, **changes: object) -> bytes:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, sop
    ds.PatientName, ds.PatientID, ds.Modality = "Golden^Store", "G1", "CT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, f"{STUDY}.1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = 64, len(pixels) // 64
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.PixelData = pixels
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if "NumberOfFrames" in ds:
        ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        ds["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def objects() -> Iterator[bytes]:
    first, second = bytes(range(256)) * 16, bytes(reversed(range(256))) * 16
    frames = encapsulate([bytes([number]) * 220 for number in range(20)])
    yield image(CT, first)
    yield image(SHARES, first, InstanceNumber=2)
    yield image(REPLACED, second)
    yield image(REPLACED, second, PatientComments="corrected")
    yield image(DELETED, second[:4096], InstanceNumber=3)
    yield image(
        CINE,
        frames,
        SOPClassUID=MultiFrameTrueColorSecondaryCaptureImageStorage,
        NumberOfFrames=20,
    )
    yield image(LARGE, (first + second) * 2)
    yield image(LATER, b"late" * 1024)


async def make(data: Path) -> None:
    """Write the store into the folder `data`, which has no packs yet."""
    *first, later = objects()
    archive = Archive.open(settings(data))
    for file in first:
        await archive.store(file, source="golden")
    archive.close()
    archive = Archive.open(settings(data))
    await archive.store(later, source="golden")
    await archive.delete(Level.INSTANCE, DELETED, "golden")
    await archive.delete(Level.INSTANCE, CT, "golden")
    await archive.restore(CT, reason="golden")
    archive.close()
    shutil.rmtree(data / "index")


def flip(path: Path, offset: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 4]), offset)


def _records(data: Path) -> list[tuple[Path, BlobRecord | CommitRecord]]:
    store = BlobStore(StorageSettings(path=data / "packs"))
    found = [
        (data / "packs" / f"{pack_name(pack.id)}.pack", record)
        for pack in store.packs()
        for record in store.records(pack.id)
        if isinstance(record, BlobRecord | CommitRecord)
    ]
    store.close()
    return found


def _in_blob(kind: BlobKind, nth: int, where: float) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        blobs = [
            (path, record)
            for path, record in _records(data)
            if isinstance(record, BlobRecord) and record.kind is kind
        ]
        path, record = blobs[nth]
        flip(path, record.place.offset + int(where * (record.place.size - 8)))

    return damage


def _in_commit(where: float) -> Callable[[Path], None]:
    def damage(data: Path) -> None:
        commits = [each for each in _records(data) if isinstance(each[1], CommitRecord)]
        path, record = commits[1]
        assert isinstance(record, CommitRecord)
        flip(path, record.offset + int(where * (record.end - record.offset)))

    return damage


def _pack(data: Path, number: int) -> Path:
    return sorted((data / "packs").glob("*.pack"))[number]


def _truncate(data: Path) -> None:
    path = _pack(data, 0)
    os.truncate(path, path.stat().st_size * 2 // 3)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "front of a header": _in_blob(BlobKind.HEADER, 0, 0.0),
    "header": _in_blob(BlobKind.HEADER, 0, 0.9),
    "front of a bulk value": _in_blob(BlobKind.BULK, 0, 0.0),
    "chunk table of a bulk value": _in_blob(BlobKind.BULK, 0, 0.025),
    "bulk value": _in_blob(BlobKind.BULK, 0, 0.5),
    "frame table": _in_blob(BlobKind.TABLE, 0, 0.9),
    "front of a commit": _in_commit(0.0),
    "commit": _in_commit(0.5),
    "pack header": lambda data: flip(_pack(data, 0), 20),
    "seal": lambda data: flip(_pack(data, 0), _pack(data, 0).stat().st_size - 90),
    "truncated pack": _truncate,
    "missing pack": lambda data: _pack(data, 0).unlink(),
    "missing last pack": lambda data: _pack(data, -1).unlink(),
}


if __name__ == "__main__":
    asyncio.run(make(Path(__file__).parent))
