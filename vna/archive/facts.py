"""What policies go by: of each series its age, size and kind, and where it is; of each tier its space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from vna.archive.inventory import largest_bulk
from vna.archive.tiers import Tiers
from vna.dicom.attributes import INSTITUTIONAL_DEPARTMENT_NAME, STATION_NAME, STUDY_DATE
from vna.index import Index, Reader, Series, Study
from vna.storage import HOT, tier_of
from vna.types import Attributes

__all__ = ["SeriesFacts", "TierFacts", "series_facts", "tier_facts"]


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series that has bulk, which is what moves.

    It has `instances` with data sets of `bytes`. `department` is its Institutional Department Name
    (0008,1040), `station` its Station Name (0008,1010); empty where it has none. Moments are ns
    since 1970: `received` of the last instance, `accessed` of the last read in its study or when it
    was received, `study_date` 0 where there is none that can be read. Its bulk is served from the
    tier named `tier`; all of `tiers` keep a copy.
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
    accessed: int
    tier: str
    tiers: frozenset[str]


@dataclass(frozen=True, slots=True)
class TierFacts:
    """A tier: its name, what is set for it (see TierSettings), and the space of its disk.

    `used_bytes` are without what compaction is going to free. No bytes at all where they cannot be
    told: of an S3 store, or a disk that is away.
    """

    name: str
    copies: int = 1
    high_watermark_percent: float = 0.0
    low_watermark_percent: float = 0.0
    total_bytes: int = 0
    used_bytes: int = 0


def tier_facts(index: Index, tiers: Tiers) -> list[TierFacts]:
    """Return the facts of each tier, from hot to cold."""
    with index.read() as reader:
        dead = sum(use.dead for pack, use in reader.packs().items() if tier_of(pack) == HOT)
    found = []
    for number, each in tiers.names.items():
        folder = tiers.folders.get(number)
        there = folder is not None and (folder / "tier").exists()
        space = psutil.disk_usage(str(folder)) if there else None
        found.append(
            TierFacts(
                each.name,
                each.copies,
                each.high_watermark_percent,
                each.low_watermark_percent,
                space.used + space.free if space else 0,
                max(space.used - (dead if number == HOT else 0), 0) if space else 0,
            )
        )
    return found


def series_facts(index: Index, tiers: Tiers, accessed: Mapping[str, int]) -> Iterator[SeriesFacts]:
    """Yield every series that has bulk on a tier that there is, the oldest studies first.

    `accessed` says when studies were last read.
    """
    after = 0
    while True:
        with index.read() as reader:
            study = next(reader.studies(after), None)
            if study is None:
                return
            found = [
                facts
                for series in reader.series_of(study.id)
                if (facts := _facts(reader, tiers, study, series, accessed)) is not None
            ]
        yield from found
        after = study.id


def _facts(
    reader: Reader, tiers: Tiers, study: Study, series: Series, accessed: Mapping[str, int]
) -> SeriesFacts | None:
    instances = reader.instances_of(study.id, series.id)
    first = next((each for each in instances if each.version.holes), None)
    if first is None:
        return None  # it is all header, which stays
    bulk = largest_bulk(first.version)
    places = reader.places(bulk) if bulk is not None else []
    if bulk is None or not places or tier_of(places[0].pack) not in tiers.names:
        return None
    kept = {tier_of(place.pack) for place in places if not reader.moved(bulk, place)}
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
        accessed=max(series.updated, accessed.get(study.uid, 0)),
        tier=tiers.names[tier_of(places[0].pack)].name,
        tiers=frozenset(tiers.names[each].name for each in kept if each in tiers.names),
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
