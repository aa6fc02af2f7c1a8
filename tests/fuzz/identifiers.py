"""Identifiers of C-FIND, C-MOVE and C-GET: read or Invalid, asked of an archive, and answered.

The first byte of an input chooses the transfer syntax.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from fuzzing import Target
from pydicom import dcmwrite
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from vna.archive import Archive, ArchiveSettings
from vna.dicom import attributes
from vna.dicom.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from vna.dimse.elements import read_elements
from vna.dimse.identifiers import Answers, read_identifier
from vna.errors import Invalid
from vna.testing.images import ct_image
from vna.types import Key, Level, Query

SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)


class Identifiers(Target):
    name = "identifiers"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.archive = Archive.open(ArchiveSettings(data=folder / "data"))
        for n in range(3):
            asyncio.run(self.archive.store(ct_image(f"1.2.3.{n}"), source="fuzz"))

    def seeds(self) -> list[bytes]:
        return [
            bytes([n]) + _encoded(identifier, syntax)
            for n, syntax in enumerate(SYNTAXES)
            for identifier in _identifiers()
        ]

    def check(self, data: bytes) -> None:
        syntax = SYNTAXES[data[0] % len(SYNTAXES)] if data else SYNTAXES[0]
        try:
            identifier = read_identifier(data[1:], syntax)
        except Invalid:
            return
        known = [path for path in identifier.keys if path in attributes.BY_PATH]
        for level in Level:
            keys = tuple(Key(path, identifier.keys[path]) for path in known)
            try:
                matches = list(self.archive.query(Query(level, keys, None, fuzzy=True)))
            except Invalid:
                matches = list(self.archive.query(Query(level)))
            answers = Answers(
                syntax, identifier.level, "VNA", identifier.keys, identifier.sequences
            )
            for match in matches:
                read_elements(answers.write(match.attributes), syntax)

    def close(self) -> None:
        self.archive.close()


def _identifiers() -> list[Dataset]:
    study = Dataset()
    study.SpecificCharacterSet = "ISO_IR 100"
    study.QueryRetrieveLevel = "STUDY"
    study.PatientName, study.PatientID = "M*ller^J?rg", "P1\\P2"
    study.StudyDate, study.StudyTime = "20250101-20261231", "10-"
    study.StudyInstanceUID = ["1.2.3", "1.2.4"]
    study.ModalitiesInStudy = "CT"
    series = Dataset()
    series.QueryRetrieveLevel = "SERIES"
    series.StudyInstanceUID, series.SeriesInstanceUID = "1.2.3", ""
    series.SeriesNumber = 1
    step = Dataset()
    step.ScheduledProcedureStepID = "S*"
    series.RequestAttributesSequence = [step]
    image = Dataset()
    image.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    image.QueryRetrieveLevel = "IMAGE"
    image.PatientName = "Yamada^Tarou=山田^太郎"
    image.SOPInstanceUID, image.Rows, image.InstanceNumber = "", 16, "1"
    return [study, series, image]


def _encoded(identifier: Dataset, syntax: str) -> bytes:
    out = io.BytesIO()
    implicit, little = syntax == IMPLICIT_VR_LITTLE_ENDIAN, syntax != EXPLICIT_VR_BIG_ENDIAN
    with disable_value_validation():
        dcmwrite(out, identifier, implicit_vr=implicit, little_endian=little)
    return out.getvalue()
