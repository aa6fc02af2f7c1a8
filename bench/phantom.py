"""CT slices from a seed: a body with organs, air around it, and the noise of a real scanner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1559"


def write_ct(folder: Path, studies: int, slices: int, seed: int = 1) -> list[Path]:
    """Write `studies` x `slices` files of 512x512x16 bit (0.53 MB each) and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:512, 0:512]
    radius = np.hypot((rows - 256) / 200, (columns - 256) / 240)
    body = np.where(radius < 1, 1040, 24)
    paths = []
    for study in range(studies):
        for number in range(slices):
            organ = np.hypot(rows - 220 - number, columns - 300) < 40 + study
            bone = np.hypot(rows - 380, columns - 256) < 25
            image = body + 60 * organ + 700 * bone
            grain = noise.normal(0, np.where(radius < 1, 18, 6))
            pixels = np.clip(image + grain, 0, 4095).astype("<u2").tobytes()
            path = folder / f"{study}_{number:04}.dcm"
            _write(path, study, number, pixels)
            paths.append(path)
    return paths


def _write(path: Path, study: int, number: int, pixels: bytes) -> None:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{ROOT}.{study}.1.{number}"
    ds.StudyDate = f"202601{study % 28 + 1:02}"
    ds.StudyTime = "101500"
    ds.AccessionNumber = f"ACC{study}"
    ds.Modality = "CT"
    ds.Manufacturer = "VNA"
    ds.StudyDescription = "Phantom thorax"
    ds.SeriesDescription = "Axial 1.0"
    ds.PatientName = f"Phantom^{study}"
    ds.PatientID = f"PH{study:04}"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "O"
    ds.StudyInstanceUID = f"{ROOT}.{study}"
    ds.SeriesInstanceUID = f"{ROOT}.{study}.1"
    ds.StudyID = str(study)
    ds.SeriesNumber = 1
    ds.InstanceNumber = number + 1
    ds.ImagePositionPatient = [-250, -250, number]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 512
    ds.PixelSpacing = [0.98, 0.98]
    ds.BitsAllocated = 16
    ds.BitsStored = 12
    ds.HighBit = 11
    ds.PixelRepresentation = 0
    ds.RescaleIntercept = -1024
    ds.RescaleSlope = 1
    ds.PixelData = pixels
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    pydicom.dcmwrite(path, ds, enforce_file_format=True)
