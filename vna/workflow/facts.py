"""From what the archive knows of a study to the facts that rules look at.

Regions are those of Body Part Examined and of the Anatomic Region Sequence; where no series has
one, those that words of descriptions and of the protocol name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from vna.archive import PatientStudy
from vna.dicom.attributes import MODALITY, STATION_NAME, STUDY_DATE, STUDY_TIME
from vna.dicom.paths import parse_path
from vna.dicom.times import date, time
from vna.types import Attributes
from vna.workflow.anatomy import regions_named, regions_told
from vna.workflow.priors import StudyFacts, folded

__all__ = ["facts_of"]


def _paths(names: str) -> tuple[int, ...]:
    return tuple(parse_path(name).key for name in names.split())


BODY_PARTS: Final = _paths("BodyPartExamined AnatomicRegionSequence.CodeMeaning")
PROCEDURES: Final = _paths("""
    StudyDescription ProcedureCodeSequence.CodeValue ProcedureCodeSequence.CodeMeaning
    PerformedProcedureStepDescription RequestAttributesSequence.RequestedProcedureDescription
    RequestAttributesSequence.ScheduledProcedureStepDescription
""")
TOLD: Final = PROCEDURES + _paths("SeriesDescription ProtocolName")


def facts_of(study: PatientStudy) -> StudyFacts:
    """Return the facts of a study."""
    every = (study.attributes, *study.series)
    named = regions_named(_texts(every, BODY_PARTS))
    return StudyFacts(
        study_uid=study.uid,
        made=_made(study.attributes) or study.received,
        modalities=frozenset(_texts(study.series, (MODALITY,))),
        body_parts=named or regions_told(_texts(every, TOLD)),
        procedures=frozenset(map(folded, _texts(every, PROCEDURES))),
        stations=frozenset(_texts(study.series, (STATION_NAME,))),
    )


def _texts(levels: Iterable[Attributes], paths: Iterable[int]) -> Iterator[str]:
    """Yield the values of attributes that are not empty."""
    paths = tuple(paths)
    for attributes in levels:
        for path in paths:
            for value in attributes.get(path, ()):
                if text := str(value).strip():
                    yield text


def _made(attributes: Attributes) -> int:
    """Return Study Date and Time as ns since 1970, 0 without a date that can be read."""
    day = date(next(_texts([attributes], (STUDY_DATE,)), ""))
    if day is None:
        return 0
    moment = time(next(_texts([attributes], (STUDY_TIME,)), "")) or (0, 0)
    try:
        midnight = datetime(day // 10_000, day // 100 % 100, day % 100, tzinfo=UTC)
    except ValueError:
        return 0
    return int(midnight.timestamp()) * 10**9 + moment[0] * 1000
