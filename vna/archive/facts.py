"""What policies go by: of each series its age, size and kind, and where it is; of each tier its space."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psutil

from vna.archive.inventory import largest_bulk
from vna.archive.movement import PACK_BYTES
from vna.archive.tiers import Tiers
from vna.dicom.attributes import INSTITUTIONAL_DEPARTMENT_NAME, STATION_NAME, STUDY_DATE
from vna.dicom.times import date
from vna.index import Index, Instance, Reader, Series, Study
from vna.storage import HOT, tier_of
from vna.types import Attributes

__all__ = ["Facts", "SeriesFacts", "TierFacts"]

log = logging.getLogger(__name__)

ONE_PACK = PACK_BYTES // 2
"""Series of no more bytes are never moved in parts, whatever their records take."""
STUDIES = 64
"""Studies looked at in one snapshot of the index."""


class _Standing(NamedTuple):
    """The hottest tier that serves something of a series, and the tiers that keep all of it."""

    tier: int
    tiers: frozenset[int]


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series that has bulk, which is what moves.

    It has `instances` with data sets of `bytes`. `department` is its Institutional Department Name
    (0008,1040), `station` its Station Name (0008,1010); empty where it has none. Moments are ns
    since 1970: `received` of the last instance, `accessed` of the last read in its study or when it
    was received, `study_date` 0 where there is none that can be read. `tier` is named the hottest
    that some of its bulk is served from; each of `tiers` keeps a copy of all of it, or is that one.
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


class Facts:
    """Says what is known of the series and tiers of an archive. Thread-safe."""

    def __init__(self, index: Index, tiers: Tiers) -> None:
        self._index = index
        self._tiers = tiers
        self._alike: dict[tuple[int, int], tuple[int, _Standing]] = {}

    def series(self, accessed: Mapping[str, int]) -> Iterator[SeriesFacts]:
        """Yield every series that has bulk on a tier that there is, the oldest studies first.

        `accessed` says when studies were last read.
        """
        after = 0
        while True:
            found: list[SeriesFacts] = []
            with self._index.read() as reader:
                studies = list(islice(reader.studies(after), STUDIES))
                for study in studies:
                    made = _date(study)
                    for series in reader.series_of(study.id):
                        standing = self._standing(reader, series)
                        if standing is not None:
                            since = accessed.get(study.uid, 0)
                            found.append(self._known(study, series, standing, made, since))
            if not studies:
                return
            yield from found
            after = studies[-1].id

    def tiers(self) -> list[TierFacts]:
        """Return the facts of each tier, from hot to cold."""
        with self._index.read() as reader:
            dead = sum(use.dead for pack, use in reader.packs().items() if tier_of(pack) == HOT)
        found = []
        for number, each in self._tiers.names.items():
            total, used = _space(self._tiers.folders.get(number))
            found.append(
                TierFacts(
                    each.name,
                    each.copies,
                    each.high_watermark_percent,
                    each.low_watermark_percent,
                    total,
                    max(used - dead, 0) if number == HOT else used,
                )
            )
        return found

    def _known(
        self, study: Study, series: Series, standing: _Standing, made: int, accessed: int
    ) -> SeriesFacts:
        names = self._tiers.names
        return SeriesFacts(
            study_uid=study.uid,
            series_uid=series.uid,
            modality=series.modality,
            department=_text(series.attributes, INSTITUTIONAL_DEPARTMENT_NAME),
            station=_text(series.attributes, STATION_NAME),
            instances=series.instances,
            bytes=series.bytes,
            study_date=made,
            received=series.updated,
            accessed=max(series.updated, accessed),
            tier=names[standing.tier].name,
            tiers=frozenset(names[each].name for each in standing.tiers if each in names),
        )

    def _standing(self, reader: Reader, series: Series) -> _Standing | None:
        """Return where a series is.

        Its first and its last instance tell, for what comes later is on the hot tier. But a series
        of several packs may have been left amid a move: of those all instances are looked at, once.
        """
        instances = reader.instances_of(series.study_id, series.id)
        first = next((each for each in instances if each.version.holes), None)
        last = reader.last_instance_of(series.study_id, series.id)
        if first is None or last is None:
            return None  # it is all header, which stays
        ends = self._joined(reader, [first] if first.id == last.id else [first, last])
        if series.bytes <= ONE_PACK or ends is None:
            return ends
        key = (series.study_id, series.id)
        if self._alike.get(key) == (series.changed, ends):
            return ends
        every = self._joined(reader, reader.instances_of(series.study_id, series.id))
        if every == ends:
            self._alike[key] = (series.changed, ends)
        return every

    def _joined(self, reader: Reader, instances: Iterable[Instance]) -> _Standing | None:
        """Return where instances are, all of them together; None where that is not known."""
        hottest: int | None = None
        kept: frozenset[int] | None = None
        for instance in instances:
            bulk = largest_bulk(instance.version)
            places = reader.places(bulk) if bulk is not None else []
            if bulk is None or not places or tier_of(places[0].pack) not in self._tiers.names:
                continue
            tier = tier_of(places[0].pack)
            tiers = {tier_of(each.pack) for each in places if not reader.moved(bulk, each)}
            hottest = tier if hottest is None else min(hottest, tier)
            kept = frozenset(tiers) if kept is None else kept & tiers
        return None if hottest is None or kept is None else _Standing(hottest, kept | {hottest})


def _space(folder: Path | None) -> tuple[int, int]:
    """Return all and used bytes of a tier's disk, none of a disk that is away."""
    try:
        if folder is not None and (folder / "tier").exists():
            space = psutil.disk_usage(str(folder))
            return space.used + space.free, space.used
    except OSError as error:
        log.warning("how full the disk of %s is cannot be told: %s", folder, error)
    return 0, 0


def _text(attributes: Attributes, path: int) -> str:
    values: Sequence[object] = attributes.get(path) or [""]
    return str(values[0]).strip()


def _date(study: Study) -> int:
    """Return the Study Date as ns since 1970, 0 where there is none that can be read."""
    day = date(_text(study.attributes, STUDY_DATE)) or 0
    try:
        midnight = datetime(day // 10_000, day // 100 % 100, day % 100, tzinfo=UTC)
    except ValueError:
        return 0
    return int(midnight.timestamp()) * 10**9
