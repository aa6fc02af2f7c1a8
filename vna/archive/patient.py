"""What the archive knows of a patient: the studies, and what their series say of themselves."""

from __future__ import annotations

from dataclasses import dataclass

from vna.index import Index, Reader, Study
from vna.types import Attributes

__all__ = ["PatientStudy", "patient_studies", "study_known"]


@dataclass(frozen=True, slots=True)
class PatientStudy:
    """A study as the index has it: `patient` is its patient key, `received` when it began to come.

    `series` are the attributes of each of its series, in the order in which they came.
    """

    uid: str
    patient: str
    received: int
    bytes: int
    attributes: Attributes
    series: tuple[Attributes, ...]


def study_known(index: Index, uid: str) -> PatientStudy | None:
    """Return a study; None where nothing of it is alive."""
    with index.read() as reader:
        study = reader.study(uid)
        return _known(reader, study) if study is not None else None


def patient_studies(index: Index, patient: str) -> list[PatientStudy]:
    """Return the studies of the patient with this key, in the order in which they came."""
    with index.read() as reader:
        found = reader.patient(patient)
        studies = reader.studies_of(found.id) if found is not None else ()
        return [_known(reader, study) for study in studies]


def _known(reader: Reader, study: Study) -> PatientStudy:
    return PatientStudy(
        uid=study.uid,
        patient=study.patient_key,
        received=study.created,
        bytes=study.bytes,
        attributes=study.attributes,
        series=tuple(each.attributes for each in reader.series_of(study.id)),
    )
