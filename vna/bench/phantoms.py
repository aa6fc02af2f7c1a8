"""Objects of five kinds from a seed: anatomy of circles and boxes, the noise of real machines.

Needs NumPy, and Pillow for JPEG (`pip install 'vna[bench]'`); workers never import this.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from vna.bench.own_files import encode, identify
from vna.bench.templates import PIXEL_DATA, Template

__all__ = ["MIXES", "phantoms"]

Picture: TypeAlias = NDArray[np.float64]
SEAL = b"VNASTAMP"
VARIANTS = {"CT": 4, "MR": 4, "DX": 1, "US": 2, "WSI": 1, "FAR": 1, "TINY": 1}
MIXES = {
    "CT": ("CT",),
    "MR": ("MR",),
    "DX": ("DX",),
    "US": ("US",),
    "WSI": ("WSI",),
    "MIX": ("CT", "MR", "CT", "MR", "CT", "DX", "US", "WSI"),
    "FAR": ("FAR",),
    "TINY": ("TINY",),
}
"""What each mix is made of; TINY is a 32 x 32 image, FAR one of 60,000 small frames."""
FAR_FRAMES = 60_000
Noise: TypeAlias = np.random.Generator


def phantoms(mix: str, seed: int = 1) -> list[Template]:
    """Return the templates of a mix, the same for the same seed."""
    noise = np.random.default_rng(seed)
    made: dict[str, list[Template]] = {}
    turn: list[Template] = []
    for modality in MIXES[mix]:
        if modality not in made:
            made[modality] = [MAKERS[modality](noise, n) for n in range(VARIANTS[modality])]
        variants = made[modality]
        turn.append(variants[sum(t.modality == modality for t in turn) % len(variants)])
    return turn if len(set(MIXES[mix])) > 1 else made[MIXES[mix][0]]


def _grid(rows: int, columns: int) -> tuple[Picture, Picture]:
    down, across = np.mgrid[0:rows, 0:columns].astype(float)
    return down / rows - 0.5, across / columns - 0.5


def _body(noise: Noise, rows: int, columns: int, number: int, levels: tuple[int, ...]) -> Picture:
    """Return air, body, organ and bone at these levels, with grain that grows in the body."""
    air, body, organ, bone, grain = levels
    y, x = _grid(rows, columns)
    inside = np.hypot(y / 0.39, x / 0.47) < 1
    image = np.where(inside, body, air).astype(float)
    image[np.hypot(y + 0.07 - number / rows, x - 0.09) < 0.08] += organ
    image[np.hypot(y - 0.24, x) < 0.05] += bone
    return image + noise.normal(0, np.where(inside, grain, grain / 3))


def _native(modality: str, sop_class: str, pixels: Picture, top: int) -> Template:
    ds = _head(modality, sop_class)
    rows, columns = pixels.shape
    _grey(ds, rows, columns, stored=top.bit_length(), allocated=16)
    ds.add_new(0x7FE0_0010, "OW", np.clip(pixels, 0, top).astype("<u2").tobytes())
    data = encode(ds)
    return Template(
        modality,
        str(sop_class),
        str(ExplicitVRLittleEndian),
        data,
        1,
        (data.find(PIXEL_DATA) + 12,),
    )


def _ct(noise: Noise, number: int) -> Template:
    image = _body(noise, 512, 512, number, (24, 1040, 60, 700, 18))
    return _native("CT", CTImageStorage, image, 4095)


def _mr(noise: Noise, number: int) -> Template:
    image = np.abs(_body(noise, 256, 256, number, (0, 320, 180, -200, 12)))
    return _native("MR", MRImageStorage, image, 4095)


def _tiny(noise: Noise, number: int) -> Template:
    image = _body(noise, 32, 32, number, (24, 1040, 60, 700, 18))
    return _native("TINY", CTImageStorage, image, 4095)


def _dx(noise: Noise, number: int) -> Template:
    smooth = _body(noise, 2500, 2048, number, (3600, 1500, 200, -400, 0))
    image = smooth + noise.normal(0, np.sqrt(np.maximum(smooth, 1)) / 2)
    return _native("DX", DigitalXRayImageStorageForPresentation, image, 4095)


def _us(noise: Noise, number: int) -> Template:
    y, x = _grid(480, 640)
    fan = (np.hypot(y + 0.5, x) < 0.95) & (np.abs(x) < (y + 0.55) * 0.8)
    frames = []
    for beat in range(4):
        wall = np.abs(np.hypot(y, x * 1.3) - 0.2 - 0.02 * (beat + number)) < 0.03
        speckle = noise.rayleigh(26, y.shape) * (1 + 3 * wall) * fan
        frames.append(_jpeg(np.clip(speckle, 0, 255).astype("u1"), 75))
    ds = _head("US", UltrasoundMultiFrameImageStorage)
    _grey(ds, 480, 640, stored=8, allocated=8)
    return _encapsulated(ds, "US", [frames[n % 4] for n in range(40)])


def _wsi(noise: Noise, _number: int) -> Template:
    ds = _head("WSI", VLWholeSlideMicroscopyImageStorage)
    ds.TotalPixelMatrixRows = ds.TotalPixelMatrixColumns = 256 * 16
    ds.DimensionOrganizationType = "TILED_FULL"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    _size(ds, 256, 256, stored=8, allocated=8)
    y, x = _grid(256, 256)
    tiles = []
    for _ in range(8):
        cells = np.zeros((256, 256))
        for row, column in noise.uniform(-0.5, 0.5, (60, 2)):
            cells = np.maximum(cells, np.hypot(y - row, x - column) < 0.025)
        tint = np.array([230.0, 190.0, 215.0]) - cells[..., None] * np.array([120.0, 130.0, 60.0])
        grain = noise.normal(0, 9, (256, 256, 3))
        tiles.append(_jpeg(np.clip(tint + grain, 0, 255).astype("u1"), 80))
    return _encapsulated(ds, "WSI", [tiles[n % 8] for n in range(256)])


def _far(noise: Noise, _number: int) -> Template:
    ds = _head("FAR", VLWholeSlideMicroscopyImageStorage)
    _grey(ds, 64, 64, stored=8, allocated=8)
    tiles = [_jpeg(noise.integers(90, 140, (64, 64)).astype("u1"), 70) for _ in range(16)]
    return _encapsulated(ds, "FAR", [tiles[n % 16] for n in range(FAR_FRAMES)])


MAKERS: dict[str, Callable[[Noise, int], Template]] = {
    "CT": _ct,
    "MR": _mr,
    "DX": _dx,
    "US": _us,
    "WSI": _wsi,
    "FAR": _far,
    "TINY": _tiny,
}


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Return a baseline JPEG with a comment segment to stamp."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    found = out.getvalue()
    return found[:2] + b"\xff\xfe\x00\x0a" + SEAL + found[2:]


def _encapsulated(ds: Dataset, modality: str, frames: list[bytes]) -> Template:
    ds.NumberOfFrames = len(frames)
    ds.LossyImageCompression = "01"
    ds.add_new(0x7FE0_0010, "OB", encapsulate(frames, has_bot=False))
    ds["PixelData"].is_undefined_length = True
    data = encode(ds)
    stamps = []
    at = data.find(SEAL)
    while at >= 0:
        stamps.append(at)
        at = data.find(SEAL, at + 1)
    # A stamp in each of 60,000 frames would be most of the sender's work: one in a hundred is.
    kept = tuple(stamps if len(stamps) < 1_000 else stamps[::100])
    return Template(modality, str(ds.SOPClassUID), str(JPEGBaseline8Bit), data, len(frames), kept)


def _grey(ds: Dataset, rows: int, columns: int, *, stored: int, allocated: int) -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    _size(ds, rows, columns, stored=stored, allocated=allocated)


def _size(ds: Dataset, rows: int, columns: int, *, stored: int, allocated: int) -> None:
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, stored, stored - 1
    ds.PixelRepresentation = 0


def _head(modality: str, sop_class: str) -> Dataset:
    """Return what a scanner says about an image, as much of it as one does."""
    ds = Dataset()
    identify(ds)
    ds.SOPClassUID = sop_class
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = "101500"
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260101"
    ds.ContentTime = "101500.250000"
    ds.Modality = {"WSI": "SM", "FAR": "SM", "TINY": "CT"}.get(modality, modality)
    ds.Manufacturer = "VNA"
    ds.InstitutionName = "Phantom General"
    ds.ReferringPhysicianName = "Referrer^Rita"
    ds.StationName = "BENCH1"
    ds.StudyDescription = f"Phantom {modality}"
    ds.SeriesDescription = f"{modality} axial 1.0"
    ds.ManufacturerModelName = "Phantom 1"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19700101", "O", "056Y"
    ds.BodyPartExamined = "CHEST"
    ds.SliceThickness, ds.KVP = "1.0", "120"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "4711", "1.0"
    ds.ProtocolName = "Phantom routine"
    ds.PatientPosition = "HFS"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "1", "1", "1"
    ds.ImagePositionPatient = ["-250.0", "-250.0", "1.0"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.1559.8.1"
    ds.PixelSpacing = ["0.97", "0.97"]
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
    return ds
