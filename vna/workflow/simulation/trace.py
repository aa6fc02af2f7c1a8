"""What arrives and what is read, by series, in time: from a file, or from the archive's own log."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from vna.archive import Archive, moment_of
from vna.errors import Invalid, Unavailable
from vna.workflow.facts import facts_of
from vna.workflow.priors import StudyFacts

__all__ = ["Arrival", "Read", "Trace", "log_trace", "read_trace"]

STORED = "stored"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A series that arrives at `time` (ns since 1970), with data sets of `bytes`.

    Studies of one `patient` share that name; empty is nobody known.
    """

    time: int
    study: str
    series: str
    bytes: int
    instances: int = 1
    modality: str = ""
    department: str = ""
    station: str = ""
    body_part: str = ""
    patient: str = ""
    study_date: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A series being read at `time`: `reads` of it, of `bytes` together."""

    time: int
    study: str
    series: str
    bytes: int
    reads: int = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals and reads, each in the order of time; nothing is read before it arrived.

    What is before `begin` is history, and not counted. `known` are facts of studies, by UID, where
    more is known than their series say.
    """

    begin: int
    end: int
    arrivals: list[Arrival]
    reads: list[Read]
    known: Mapping[str, StudyFacts] = field(default_factory=dict)


class _Line(msgspec.Struct):
    """A line of a trace, as docs/format/access.md has it."""

    time: str
    study: str
    series: str = ""
    kind: str = ""
    reads: int = 1
    bytes: int = 0
    instances: int = 1
    modality: str = ""
    department: str = ""
    station: str = ""
    body_part: str = ""
    patient: str = ""
    study_date: str = ""


def read_trace(path: Path) -> Trace:
    """Return the trace in a file of JSON Lines, or of CSV where its name ends so.

    Raises Invalid with the line that cannot be read, Unavailable when the file cannot.
    """
    arrivals: list[Arrival] = []
    reads: list[Read] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, line in _lines(file, as_csv=path.suffix == ".csv"):
                try:
                    _take(line, arrivals, reads)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise Invalid(f"{path}, line {number}: {error}") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not text in UTF-8: {error}") from error
    times = [each.time for each in arrivals] + [each.time for each in reads]
    if not times:
        raise Invalid(f"{path} has no line")
    return _whole(min(times), arrivals, reads)


def log_trace(archive: Archive) -> Trace:
    """Return what the archive's log says was read, and what is there to read. Raises Invalid."""
    reads = [
        Read(moment_of(each.time), each.study, each.series, each.bytes, each.reads)
        for each in archive.accesses()
    ]
    if not reads:
        raise Invalid("the access log is empty: nothing was read since it was begun")
    known: dict[str, StudyFacts] = {}
    patients: dict[str, str] = {}
    arrivals: list[Arrival] = []
    for each in archive.series_facts():
        if each.study_uid not in known and (study := archive.study(each.study_uid)) is not None:
            known[each.study_uid], patients[each.study_uid] = facts_of(study), study.patient
        arrivals.append(
            Arrival(
                each.received,
                each.study_uid,
                each.series_uid,
                each.bytes,
                each.instances,
                each.modality,
                each.department,
                each.station,
                patient=patients.get(each.study_uid, ""),
                study_date=each.study_date,
            )
        )
    trace = _whole(min(each.time for each in reads), arrivals, reads)
    return replace(trace, end=archive.clock.stamp(), known=known)


def _lines(file: TextIO, *, as_csv: bool) -> Iterator[tuple[int, str | Mapping[str, str]]]:
    if as_csv:
        rows = csv.DictReader(file)
        for row in rows:
            # A cell that is empty says nothing, and one beyond the header has no name.
            yield rows.line_num, {name: cell for name, cell in row.items() if name and cell}
        return
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, line


def _take(line: str | Mapping[str, str], arrivals: list[Arrival], reads: list[Read]) -> None:
    if isinstance(line, str):
        found = msgspec.json.decode(line, type=_Line)
    else:
        found = msgspec.convert(line, _Line, strict=False)
    if not found.series:
        raise ValueError("it names no series")
    if found.bytes < 0 or found.reads < 1:
        raise ValueError("reads are at least 1, bytes at least 0")
    time = moment_of(found.time)
    if found.kind != STORED:
        reads.append(Read(time, found.study, found.series, found.bytes, found.reads))
        return
    day = time
    if found.study_date:
        day = int(
            datetime.strptime(found.study_date, "%Y%m%d").replace(tzinfo=UTC).timestamp() * 10**9
        )
    arrivals.append(
        Arrival(
            time,
            found.study,
            found.series,
            found.bytes,
            found.instances,
            found.modality,
            found.department,
            found.station,
            found.body_part,
            found.patient,
            day,
        )
    )


def _whole(begin: int, arrivals: Iterable[Arrival], reads: list[Read]) -> Trace:
    """Return a trace in which everything that is read is there by then."""
    reads.sort(key=lambda each: each.time)
    first: dict[str, Read] = {}
    largest: dict[str, int] = {}
    for read in reads:
        first.setdefault(read.series, read)
        largest[read.series] = max(largest.get(read.series, 0), read.bytes)
    there = {
        each.series: replace(each, time=begin)
        if each.series in first and first[each.series].time < each.time
        else each
        for each in arrivals
    }
    for series, read in first.items():
        if series not in there:
            there[series] = Arrival(begin, read.study, series, largest[series])
    every = sorted(there.values(), key=lambda each: each.time)
    end = max([every[-1].time, *(each.time for each in reads[-1:])])
    return Trace(begin, end, every, reads)
