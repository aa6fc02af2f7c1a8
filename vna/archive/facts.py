"""What policies go by: of each series its age, size and kind, and where it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vna.archive.inventory import tier_of_version
from vna.archive.tiers import Tiers
from vna.dicom.attributes import INSTITUTIONAL_DEPARTMENT_NAME, STATION_NAME, STUDY_DATE
from vna.index import Index, Reader, Series, Study
from vna.types import Attributes

__all__ = ["SeriesFacts", "series_facts"]


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series that has bulk, which is what moves.

    It has `instances` with data sets of `bytes`. `department` is its Institutional Department Name
    (0008,1040), `station` its Station Name (0008,1010); empty where it has none. Moments are ns
    since 1970: `received` of the last instance, `study_date` 0 where there is none that can be read.
    Its bulk is served from the tier named `tier`.
    """

    study_uid: str
    series_uid: str
    modality: str
    department: str
    station: str
    instances: int
    bytes: int
    study_date: int
    received: int
    tier: str


def series_facts(index: Index, tiers: Tiers) -> Iterator[SeriesFacts]:
    """Yield every series that has bulk on a tier that there is, the oldest studies first."""
    after = 0
    while True:
        with index.read() as reader:
            study = next(reader.studies(after), None)
            if study is None:
                return
            found = [
                facts
                for series in reader.series_of(study.id)
                if (facts := _facts(reader, tiers, study, series)) is not None
            ]
        yield from found
        after = study.id


def _facts(reader: Reader, tiers: Tiers, study: Study, series: Series) -> SeriesFacts | None:
    instances = reader.instances_of(study.id, series.id)
    first = next((each for each in instances if each.version.holes), None)
    if first is None:
        return None  # it is all header, which stays
    number = tier_of_version(reader, first.version)
    if number not in tiers.names:
        return None
    return SeriesFacts(
        study_uid=study.uid,
        series_uid=series.uid,
        modality=series.modality,
        department=_text(series.attributes, INSTITUTIONAL_DEPARTMENT_NAME),
        station=_text(series.attributes, STATION_NAME),
        instances=series.instances,
        bytes=series.bytes,
        study_date=_date(study),
        received=series.updated,
        tier=tiers.names[number].name,
    )


def _text(attributes: Attributes, path: int) -> str:
    values: Sequence[object] = attributes.get(path) or [""]
    return str(values[0]).strip()


def _date(study: Study) -> int:
    """Return the Study Date as ns since 1970, 0 where there is none that can be read."""
    try:
        date = datetime.strptime(_text(study.attributes, STUDY_DATE), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(date.timestamp()) * 10**9
