"""The attributes that the index knows, and how values are dealt out to levels.

The table covers the required and usual optional keys of QIDO-RS (PS3.18 table 10.6.1-5), their
answers (tables 10.6.3-3 to -5) and the keys of Patient Root and Study Root (PS3.4 C.6.1, C.6.2).
Tags and VRs come from the data dictionary; levels, secondary keys and what is computed from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from vna.dicom.paths import parse_path
from vna.types import Level, Value

__all__ = [
    "BY_PATH",
    "COMPUTED",
    "EVERY_LEVEL",
    "INTEREST",
    "LEVELS",
    "MAX_TEXT",
    "MAX_VALUES",
    "TABLE",
    "Attribute",
    "patient_key",
]

SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
SOP_CLASS_UID: Final = 0x0008_0016
SOP_INSTANCE_UID: Final = 0x0008_0018
STUDY_DATE: Final = 0x0008_0020
STUDY_TIME: Final = 0x0008_0030
ACCESSION_NUMBER: Final = 0x0008_0050
RETRIEVE_AE_TITLE: Final = 0x0008_0054
INSTANCE_AVAILABILITY: Final = 0x0008_0056
MODALITY: Final = 0x0008_0060
MODALITIES_IN_STUDY: Final = 0x0008_0061
SOP_CLASSES_IN_STUDY: Final = 0x0008_0062
REFERRING_PHYSICIAN_NAME: Final = 0x0008_0090
STATION_NAME: Final = 0x0008_1010
INSTITUTIONAL_DEPARTMENT_NAME: Final = 0x0008_1040
RETRIEVE_URL: Final = 0x0008_1190
AVAILABLE_TRANSFER_SYNTAX_UID: Final = 0x0008_3002
PATIENT_NAME: Final = 0x0010_0010
PATIENT_ID: Final = 0x0010_0020
ISSUER_OF_PATIENT_ID: Final = 0x0010_0021
PATIENT_BIRTH_DATE: Final = 0x0010_0030
STUDY_INSTANCE_UID: Final = 0x0020_000D
SERIES_INSTANCE_UID: Final = 0x0020_000E
STUDY_ID: Final = 0x0020_0010
INSTANCE_NUMBER: Final = 0x0020_0013
NUMBER_OF_PATIENT_RELATED_STUDIES: Final = 0x0020_1200
NUMBER_OF_PATIENT_RELATED_SERIES: Final = 0x0020_1202
NUMBER_OF_PATIENT_RELATED_INSTANCES: Final = 0x0020_1204
NUMBER_OF_STUDY_RELATED_SERIES: Final = 0x0020_1206
NUMBER_OF_STUDY_RELATED_INSTANCES: Final = 0x0020_1208
NUMBER_OF_SERIES_RELATED_INSTANCES: Final = 0x0020_1209

MAX_TEXT: Final = 1024
"""Characters kept of one value: the object has it whole, the index needs a bound."""
MAX_VALUES: Final = 256
"""Values kept of one attribute, all items of its sequence together."""
MAX_PATIENT_KEY: Final = 256
"""Bytes of a patient key; a longer one is shortened to its beginning and its SHA-256."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A row of the table. `code` names its secondary keys in the index and never changes; 0: none."""

    path: int
    keyword: str
    vr: str
    level: Level
    code: int = 0
    computed: bool = False


# What a row says is the attribute's name, or `Sequence: item attributes`; a number after a name
# is the code of its secondary keys.
_CODE: Final = "CodeValue CodingSchemeDesignator CodeMeaning"
_REFERENCE: Final = "ReferencedSOPClassUID ReferencedSOPInstanceUID"

_STORED: Final[dict[Level, str]] = {
    Level.PATIENT: f"""
        PatientName=1 PatientID=2 PatientBirthDate=3 IssuerOfPatientID PatientSex PatientBirthTime
        OtherPatientIDs OtherPatientNames EthnicGroup PatientComments PatientSpeciesDescription
        ResponsiblePerson
        IssuerOfPatientIDQualifiersSequence: UniversalEntityID UniversalEntityIDType
        OtherPatientIDsSequence: PatientID IssuerOfPatientID TypeOfPatientID
        ReferencedPatientSequence: {_REFERENCE}
    """,
    Level.STUDY: f"""
        StudyInstanceUID StudyDate=16 StudyTime AccessionNumber=17 StudyID=18
        ReferringPhysicianName=19 StudyDescription PhysiciansOfRecord NameOfPhysiciansReadingStudy
        AdmissionID AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight Occupation
        AdditionalPatientHistory OtherStudyNumbers TimezoneOffsetFromUTC
        IssuerOfAccessionNumberSequence: LocalNamespaceEntityID UniversalEntityID UniversalEntityIDType
        AdmittingDiagnosesCodeSequence: {_CODE}
        ProcedureCodeSequence: {_CODE}
        ReferencedStudySequence: {_REFERENCE}
    """,
    Level.SERIES: f"""
        SeriesInstanceUID Modality=32 SeriesNumber SeriesDescription SeriesDate SeriesTime
        PerformedProcedureStepStartDate=33 PerformedProcedureStepStartTime
        PerformedProcedureStepEndDate PerformedProcedureStepEndTime PerformedProcedureStepID
        PerformedProcedureStepDescription BodyPartExamined Laterality PatientPosition ProtocolName
        PerformingPhysicianName OperatorsName Manufacturer ManufacturerModelName InstitutionName
        InstitutionalDepartmentName StationName DeviceSerialNumber FrameOfReferenceUID
        RequestAttributesSequence: RequestedProcedureID=34 ScheduledProcedureStepID=35
            AccessionNumber StudyInstanceUID RequestedProcedureDescription
            ScheduledProcedureStepDescription
        AnatomicRegionSequence: {_CODE}
        ReferencedPerformedProcedureStepSequence: {_REFERENCE}
    """,
    Level.INSTANCE: f"""
        SOPInstanceUID SOPClassUID=48 InstanceNumber Rows Columns BitsAllocated NumberOfFrames
        RelatedGeneralSOPClassUID ImageType AcquisitionNumber AcquisitionDate AcquisitionTime
        AcquisitionDateTime ContentDate ContentTime InstanceCreationDate InstanceCreationTime
        PhotometricInterpretation LossyImageCompression BurnedInAnnotation ContentLabel
        ContentDescription ContentCreatorName CompletionFlag VerificationFlag DocumentTitle
        MIMETypeOfEncapsulatedDocument ContainerIdentifier ConcatenationUID
        ConceptNameCodeSequence: {_CODE}
        ReferencedRequestSequence: StudyInstanceUID AccessionNumber RequestedProcedureID
            PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest
        SpecimenDescriptionSequence: SpecimenIdentifier SpecimenUID
        AlternateRepresentationSequence: {_REFERENCE}
    """,
}

_COMPUTED: Final[dict[Level, str]] = {
    Level.PATIENT: """
        NumberOfPatientRelatedStudies NumberOfPatientRelatedSeries NumberOfPatientRelatedInstances
    """,
    Level.STUDY: """
        ModalitiesInStudy SOPClassesInStudy NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances
    """,
    Level.SERIES: "NumberOfSeriesRelatedInstances",
    Level.INSTANCE: "AvailableTransferSyntaxUID",
}

_EVERY_LEVEL: Final = "SpecificCharacterSet InstanceAvailability RetrieveAETitle RetrieveURL"


def _rows(level: Level, text: str, *, computed: bool) -> list[Attribute]:
    rows = []
    for line in text.replace("\n            ", " ").splitlines():
        sequence, colon, names = line.rpartition(":")
        for name in names.split():
            keyword, _, code = name.partition("=")
            path = parse_path(f"{sequence.strip()}.{keyword}" if colon else keyword)
            rows.append(Attribute(path.key, path.keyword, path.vr, level, int(code or 0), computed))
    return rows


TABLE: Final[tuple[Attribute, ...]] = tuple(
    row
    for level in Level
    for rows in (
        _rows(level, _STORED[level], computed=False),
        _rows(level, _COMPUTED[level], computed=True),
        _rows(level, _EVERY_LEVEL, computed=True) if level is Level.PATIENT else [],
    )
    for row in rows
)
"""Every attribute that the index knows, by level."""

BY_PATH: Final[Mapping[int, Attribute]] = {row.path: row for row in TABLE}

INTEREST: Final[list[int]] = [row.path for row in TABLE if not row.computed]
"""Path keys that a scan looks for."""

COMPUTED: Final[frozenset[int]] = frozenset(row.path for row in TABLE if row.computed)

EVERY_LEVEL: Final[frozenset[int]] = frozenset(parse_path(k).key for k in _EVERY_LEVEL.split())
"""Computed attributes that entities of every level have; the table files them under PATIENT."""

LEVELS: Final[dict[int, int]] = {row.path: int(row.level) for row in TABLE if not row.computed}
"""The level of each of them, by which a scan deals an object's values out."""


def patient_key(values: Mapping[int, Sequence[Value]]) -> str:
    """Return what groups studies into patients: issuer, NUL, Patient ID.

    An object without a Patient ID is a patient of its own study only: studies of unknown patients
    never merge. That key has two NULs in front, which no other key has. The result is at most
    MAX_PATIENT_KEY bytes of UTF-8.
    """
    patient_id = _text(values, PATIENT_ID)
    if patient_id:
        key = f"{_text(values, ISSUER_OF_PATIENT_ID)}\0{patient_id}"
    else:
        key = f"\0\0{_text(values, STUDY_INSTANCE_UID)}"
    encoded = key.encode("utf-8", "surrogatepass")
    if len(encoded) <= MAX_PATIENT_KEY:
        return key
    return f"{key[:32]}\0{sha256(encoded).hexdigest()}"


def _text(values: Mapping[int, Sequence[Value]], path: int) -> str:
    found = values.get(path)
    return str(found[0]).strip(" \0").replace("\0", "") if found else ""
