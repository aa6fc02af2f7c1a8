"""A year of a made-up hospital, the same for the same seed.

What is taken for granted: few patients come often; who comes has priors, the newest of the same part
of the body are read with the new study; a study is read within hours, again within days, and hardly
ever after a month; a few per cent of what is older are read for other reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final

from vna.workflow.simulation.trace import Arrival, Read, Trace

__all__ = ["synthetic_year"]

SECOND_NS: Final = 10**9
DAY_NS: Final = 86_400 * SECOND_NS
BEGIN: Final = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * SECOND_NS
MB: Final = 10**6

COMES_BACK: Final = 0.55
"""Of studies, those of a patient who was here before."""
READS_PRIORS: Final = 0.8
PRIORS: Final = 2
OTHER_READS: Final = 0.02
"""Of the studies of a day, so many times old ones are read for other reasons, per year of history."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Studies of one modality: how often, of which parts, how many series, of what size."""

    modality: str
    weight: float
    department: str
    parts: tuple[str, ...]
    series: tuple[int, int]
    instances: tuple[int, int]
    instance_bytes: int


KINDS: Final = (
    _Kind(
        "DX", 40, "RADIOLOGY", ("CHEST", "KNEE", "HAND", "PELVIS", "SPINE"), (1, 2), (1, 2), 15 * MB
    ),
    _Kind("CT", 22, "RADIOLOGY", ("CHEST", "ABDOMEN", "HEAD", "SPINE"), (2, 4), (80, 500), MB // 2),
    _Kind("US", 16, "RADIOLOGY", ("ABDOMEN", "NECK"), (1, 1), (10, 60), 2 * MB),
    _Kind("MR", 12, "RADIOLOGY", ("HEAD", "SPINE", "KNEE", "ABDOMEN"), (4, 8), (25, 200), MB // 3),
    _Kind("MG", 6, "WOMENS HEALTH", ("BREAST",), (1, 1), (4, 4), 27 * MB),
    _Kind("XA", 4, "CARDIOLOGY", ("HEART",), (1, 1), (5, 15), 40 * MB),
)


@dataclass(frozen=True, slots=True)
class _Study:
    uid: str
    time: int
    kind: _Kind
    part: str
    series: list[Arrival]


def synthetic_year(seed: int = 1, *, studies_a_day: int = 20, years_before: int = 2) -> Trace:
    """Return a year of arrivals and reads, with the arrivals of some years before as its history."""
    hospital = _Hospital(Random(seed))  # noqa: S311  no secret
    for day in range(-years_before * 365, 365):
        now = BEGIN + day * DAY_NS
        # Five days of work a week; the others bring emergencies.
        count = studies_a_day if day % 7 < 5 else studies_a_day // 3
        for _ in range(count):
            hospital.study(now, reads=day >= 0)
        if day >= 0:
            hospital.read_history(now, count * OTHER_READS * (years_before + 1))
    arrivals = sorted(hospital.arrivals, key=lambda each: each.time)
    reads = sorted(hospital.reads, key=lambda each: each.time)
    end = BEGIN + 365 * DAY_NS
    return Trace(BEGIN, end, arrivals, [each for each in reads if each.time < end])


class _Hospital:
    def __init__(self, chance: Random) -> None:
        self.arrivals: list[Arrival] = []
        self.reads: list[Read] = []
        self._chance = chance
        self._patients: list[list[_Study]] = []
        self._studies: list[_Study] = []

    def study(self, now: int, *, reads: bool) -> None:
        """Have a study made on the day that begins `now`, and read."""
        chance = self._chance
        if self._patients and chance.random() < COMES_BACK:
            # Who came last is likely to come again.
            back = min(int(chance.expovariate(3 / len(self._patients))), len(self._patients) - 1)
            patient = len(self._patients) - 1 - back
        else:
            self._patients.append([])
            patient = len(self._patients) - 1
        before = self._patients[patient]
        made = self._make(now + self._of_day(8, 10), patient, before)
        if reads:
            self._read_new(made, before)
        before.append(made)
        self._studies.append(made)

    def read_history(self, now: int, times: float) -> None:
        """Have old studies read for other reasons, so many times on average."""
        for _ in range(int(times) + (self._chance.random() < times % 1)):
            study = self._chance.choice(self._studies)
            when = now + self._of_day(8, 10)
            if study.time < when:
                self._read(study, when)

    def _make(self, time: int, patient: int, before: list[_Study]) -> _Study:
        chance = self._chance
        kind = chance.choices(KINDS, [each.weight for each in KINDS])[0]
        part = chance.choice(kind.parts)
        if before and chance.random() < 0.5:  # follow-up
            kind, part = before[-1].kind, before[-1].part
        uid = f"1.2.{len(self._studies) + 1}"
        station = f"{kind.modality} {chance.randint(1, 3)}"
        made = []
        for number in range(1, chance.randint(*kind.series) + 1):
            count = chance.randint(*kind.instances)
            made.append(
                Arrival(
                    time + number * 60 * SECOND_NS,
                    uid,
                    f"{uid}.{number}",
                    count * kind.instance_bytes,
                    count,
                    kind.modality,
                    kind.department,
                    station,
                    part,
                    f"P{patient}",
                    time // DAY_NS * DAY_NS,
                )
            )
        self.arrivals += made
        return _Study(uid, time, kind, part, made)

    def _read_new(self, study: _Study, before: list[_Study]) -> None:
        chance = self._chance
        # Reported within hours; a reader has a study open for a minute before the priors are wanted.
        report = study.time + int(chance.uniform(0.4, 6) * 3600) * SECOND_NS
        self._read(study, report)
        if chance.random() < READS_PRIORS:
            for prior in self._priors(study, before):
                self._read(prior, report + chance.randint(30, 120) * SECOND_NS)
        for days, likely in ((1, 0.5), (3, 0.3), (14, 0.15), (60, 0.04), (200, 0.02)):
            if chance.random() < likely:
                self._read(study, report + int(chance.uniform(0.2, 1) * days * DAY_NS))

    def _priors(self, study: _Study, before: list[_Study]) -> Iterator[_Study]:
        relevant = [each for each in reversed(before) if each.part == study.part]
        yield from relevant[:PRIORS]

    def _read(self, study: _Study, time: int) -> None:
        """Read a study: all of its series, one after the other."""
        for number, series in enumerate(study.series):
            when = time + number * 20 * SECOND_NS
            if when > series.time:  # else the prior is of the same day, and has not come yet
                size, count = series.bytes, series.instances
                self.reads.append(Read(when, study.uid, series.series, size, count))

    def _of_day(self, hour: float, hours: float) -> int:
        return int((hour + self._chance.random() * hours) * 3600) * SECOND_NS
