"""Objects through the archive's door: refused, or stored and given back byte for byte.

What was stored must also answer everything that is asked of an object: its metadata is JSON, its
frames and bulk values come or are refused by name. The first byte of an input chooses form and
transfer syntax.
"""

from __future__ import annotations

import asyncio
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

from fuzzing import Target
from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import JPEGBaseline8Bit

from vna.archive import Archive, ArchiveSettings, Outcome, StoredObject
from vna.errors import VnaError
from vna.testing.images import ct_image

SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
)
PART10 = 0x80
PREAMBLE = 128
FRAMES = (1, 2, 3, 1 << 31)


class Objects(Target):
    name = "objects"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        settings = ArchiveSettings(data=folder / "data", max_header_bytes=1 << 20)
        self.archive = Archive.open(settings)
        self.loop = asyncio.new_event_loop()

    def seeds(self) -> list[bytes]:
        native = ct_image("1.2.3.1", NumberOfFrames=2, PixelData=bytes(range(256)) * 4)
        large = ct_image("1.2.3.2", Rows=64, Columns=64, PixelData=bytes(8192))
        files = [native, large, _encapsulated(extended=False), _encapsulated(extended=True)]
        files.append(_deflated(native))
        return [
            *(bytes([PART10]) + file for file in files),
            *(bytes([n]) + _dataset(native, syntax) for n, syntax in enumerate(SYNTAXES[:3])),
            b"\3" + _deflate(_dataset(native, SYNTAXES[0])),
        ]

    def check(self, data: bytes) -> None:
        choice, data = [*data[:1], PART10][0], data[1:]
        form = "part10" if choice & PART10 else "dataset"
        syntax = None if choice & PART10 else SYNTAXES[choice % len(SYNTAXES)]
        self.loop.run_until_complete(self._store(form, syntax, data))

    async def _store(self, form: str, syntax: str | None, data: bytes) -> None:
        ingest = self.archive.ingest(form=form, source="fuzz", transfer_syntax=syntax)
        try:
            await ingest.write(data[: len(data) // 2])
            await ingest.write(data[len(data) // 2 :])
            acknowledged = await ingest.commit()
        except VnaError as error:
            assert str(error)
            return
        finally:
            ingest.abort()
        identity = acknowledged.identity
        (stored,) = self.archive.objects(identity.study_uid, identity.series_uid, identity.sop_uid)
        dataset = b"".join(self.archive.dataset(stored))
        assert len(dataset) == stored.length
        assert data.endswith(dataset)
        if form == "dataset":
            assert dataset == data
        elif acknowledged.outcome is Outcome.DUPLICATE:
            pass  # the data set was there already, and keeps the preamble it came with first
        elif stored.version.prefix > PREAMBLE + 4:
            length, pieces = self.archive.file(stored, "FUZZ")
            file = b"".join(pieces)
            assert len(file) == length
            assert file == data
        self._ask(stored)

    def _ask(self, stored: StoredObject) -> None:
        metadata = _answer(lambda: self.archive.metadata(stored, "uri"))
        assert metadata is None or isinstance(json.loads(metadata), dict)
        for number in FRAMES:
            frame = _answer(lambda number=number: self.archive.frame(stored, number))
            frames = stored.version.frames
            count = frames.count if frames else 0
            assert frame is None or stored.version.deflated or number <= count
        for hole in stored.version.holes[:4]:
            if stored.version.deflated:
                break
            whole = b"".join(self.archive.bulk_range(stored, hole, 0, hole.length))
            assert len(whole) == hole.length

    def close(self) -> None:
        self.archive.close()
        self.loop.close()


def _answer(ask: Callable[[], bytes]) -> bytes | None:
    try:
        return ask()
    except VnaError as error:
        assert str(error)
        return None


def _dataset(file: bytes, syntax: str) -> bytes:
    image = dcmread(io.BytesIO(file))
    image.file_meta, image.preamble = FileMetaDataset(), None
    out = io.BytesIO()
    dcmwrite(out, image, implicit_vr=syntax == SYNTAXES[1], little_endian=syntax != SYNTAXES[2])
    return out.getvalue()


def _deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def _deflated(file: bytes) -> bytes:
    out = io.BytesIO()
    image = dcmread(io.BytesIO(file))
    image.file_meta.TransferSyntaxUID = SYNTAXES[3]
    dcmwrite(out, image)
    return out.getvalue()


def _encapsulated(*, extended: bool) -> bytes:
    """Return a file of three compressed frames, told apart by one of the two offset tables."""
    frames = [b"\xff\xd8" + bytes([n]) * 1998 for n in range(3)]
    image = dcmread(io.BytesIO(ct_image("1.2.3.3", NumberOfFrames=3)))
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    if extended:
        image.PixelData, offsets, lengths = encapsulate_extended(frames)
        image.ExtendedOffsetTable, image.ExtendedOffsetTableLengths = offsets, lengths
    else:
        image.PixelData = encapsulate(frames, fragments_per_frame=2)
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    dcmwrite(out, image)
    return out.getvalue()
