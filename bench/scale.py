"""What a search costs in a small and in a very large archive: the index alone, without any image.

    .venv/bin/python bench/scale.py [--studies 1000 1000000] [--instances 10] [--data DIR] [--json FILE]

Makes an index of so many studies, with patients, dates and names spread as in a hospital of twenty
years, serves it, and asks for pages of 20 studies over HTTP in turns, once the workers hold
their index in memory. Every search has as many answers in one archive as in the other: three,
those of a patient, or a full page. Reports, for each kind of search, the median and 99th percentile
of latency, and the server's CPU time per search. With `--data` the archives stay, and are used again.
A million studies of ten instances are 11 GB, and take some 40 minutes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import http.client
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import psutil

from vna.archive import ArchiveSettings
from vna.archive.identity import load_identity
from vna.clock import SystemClock
from vna.dicom.keys import keys_of
from vna.index import Index, IndexSettings, Mutation
from vna.types import Attributes, BlobPlace, Hole, StoreCommit, Version

PACK = 1 << 32 | 1
PIECE = 8 << 20
DIGEST_BYTES = 32
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
STUDIES_PER_PATIENT = 3
INSTANCES_PER_SERIES = 5
STORES_PER_GROUP = 4000
FIRST_DAY = dt.date(2005, 1, 1)
DAYS = 20 * 365
PAGE = 20
QUIET = "[scrub]\nrate_bytes_s = 0\n[compaction]\nrate_bytes_s = 0\n"
"""There are no bytes to look after."""
TURN = 50
"""Searches before it is another archive's turn."""
SETTLED_S = 2.5
"""A daemon has all of the index at hand once that was no more than before for so long."""
SYLLABLES = ["BA", "KO", "VA", "LI", "NE", "RU", "SO", "TA", "MI", "DE", "GAR", "HOL", "STE"]
MODALITIES = ("CT", "MR", "DX", "US", "MG")


@dataclass(frozen=True, slots=True)
class Study:
    """A study of the archive; its number decides what it is."""

    number: int

    @property
    def patient_id(self) -> str:
        return f"P{self.number // STUDIES_PER_PATIENT:07d}"

    @property
    def patient_name(self) -> str:
        draw = random.Random(self.number // STUDIES_PER_PATIENT)
        family, given = draw.choices(SYLLABLES, k=3), draw.choices(SYLLABLES, k=2)
        return f"{''.join(family)}^{''.join(given)}"

    @property
    def day(self) -> dt.date:
        return FIRST_DAY + dt.timedelta(random.Random(~self.number).randrange(DAYS))

    @property
    def uid(self) -> str:
        return f"2.25.{10**30 + self.number}"

    def mutations(self, instances: int) -> Iterator[Mutation]:
        """Yield what stores the study."""
        patient: Attributes = {0x00100010: [self.patient_name], 0x00100020: [self.patient_id]}
        study: Attributes = {
            0x00080020: [self.day.strftime("%Y%m%d")],
            0x00080030: ["101112"],
            0x00080050: [f"A{self.number:08d}"],
            0x00081030: ["CHEST ROUTINE"],
            0x0020000D: [self.uid],
        }
        modality = MODALITIES[self.number % len(MODALITIES)]
        for number in range(instances):
            series_number = number // INSTANCES_PER_SERIES + 1
            series_uid = f"{self.uid}.{series_number}"
            uid = f"{series_uid}.{number}"
            series: Attributes = {
                0x00080060: [modality],
                0x0020000E: [series_uid],
                0x00200011: [str(series_number)],
            }
            instance: Attributes = {
                0x00080016: [CT],
                0x00080018: [uid],
                0x00200013: [str(number + 1)],
                0x00280010: [512],
                0x00280011: [512],
            }
            stamp = self.number * instances + number + 1
            # digests in the order of arrival: searches never look at them, and building is faster
            digest, header, pixels = (
                (stamp * 4 + part).to_bytes(DIGEST_BYTES, "big") for part in range(3)
            )
            version = Version(
                stamp=stamp,
                digest=digest,
                transfer_syntax=EXPLICIT_LITTLE_ENDIAN,
                length=526_288,
                header=header,
                prefix=300,
                holes=[Hole(2000, 524_288, pixels, (0x7FE00010,), "OW")],
                frames=None,
                deflated=False,
                source="scale",
                problem="",
            )
            commit = StoreCommit(
                stamp,
                "replace",
                f"\0{self.patient_id}",
                self.uid,
                series_uid,
                uid,
                CT,
                patient,
                study,
                series,
                instance,
                version,
            )
            offset = stamp * 527_000
            places = [
                (header, BlobPlace(PACK, offset, 2100, 2000)),
                (pixels, BlobPlace(PACK, offset + 2100, 524_400, 524_288)),
            ]
            yield Mutation(commit, places)


def build(data: Path, studies: int, instances: int) -> None:
    """Make the archive at `data` that has these studies and none of their bytes, or go on with it."""
    settings = ArchiveSettings(data=data)
    identity = load_identity(data, SystemClock())
    path = data / "index"
    index = Index.open(IndexSettings(path, str(identity.archive), sync=False), keys_of)
    group: list[Mutation] = []
    began = time.perf_counter()
    with index.read() as reader:
        first = reader.counts().studies
    for number in range(first, studies):
        group.extend(Study(number).mutations(instances))
        if len(group) >= STORES_PER_GROUP or number == studies - 1:
            index.apply(group, {}, replay=True)
            group.clear()
    index.sync()
    index.close()
    took = time.perf_counter() - began
    size = (settings.data / "index/data.mdb").stat().st_size
    print(
        f"{studies - first:>9} studies: {took:,.0f} s, index {size / 1e6:,.0f} MB", file=sys.stderr
    )


def by_patient_id(draw: random.Random, studies: int) -> Mapping[str, str]:
    whole = studies // STUDIES_PER_PATIENT * STUDIES_PER_PATIENT
    return {"PatientID": Study(draw.randrange(whole)).patient_id}


def by_date_range(draw: random.Random, studies: int) -> Mapping[str, str]:  # noqa: ARG001
    first = FIRST_DAY + dt.timedelta(draw.randrange(DAYS - 730))
    until = first + dt.timedelta(730)
    return {"StudyDate": f"{first:%Y%m%d}-{until:%Y%m%d}"}


def by_name_prefix(draw: random.Random, studies: int) -> Mapping[str, str]:
    # Three letters are too few names of a thousand for a page.
    return {"PatientName": Study(draw.randrange(studies)).patient_name[:2] + "*"}


SEARCHES: dict[str, tuple[Callable[[random.Random, int], Mapping[str, str]], int]] = {
    "PatientID": (by_patient_id, STUDIES_PER_PATIENT),
    "date range": (by_date_range, PAGE),
    "name prefix": (by_name_prefix, PAGE),
}
"""With the number of answers that each search has."""


@contextmanager
def served(data: Path) -> Iterator[tuple[psutil.Process, http.client.HTTPConnection]]:
    """Serve an archive; yield its supervisor and a connection to its DICOMweb."""
    vna = Path(sys.executable).with_name("vna")
    ports = ["--dimse-port", "0", "--http-port", "0", "--workers", "1"]
    config = data / "vna.toml"
    config.write_text(QUIET, encoding="utf-8")
    with (data / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [vna, "serve", "--json", "--config", config, "--data", data, *ports],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    try:
        report = json.loads(process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", report["http_port"])
        yield psutil.Process(process.pid), connection
        connection.close()
    finally:
        process.terminate()
        process.communicate()


def cpu_seconds(supervisor: psutil.Process) -> float:
    """Return the CPU time that a daemon's processes took so far."""
    processes = [supervisor, *supervisor.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def mapped_bytes(supervisor: psutil.Process) -> int:
    """Return how much of an index a daemon's processes can look at without a fault."""
    maps = (each for child in supervisor.children(True) for each in child.memory_maps())
    return sum(each.rss for each in maps if each.path.endswith("data.mdb"))


def settle(supervisor: psutil.Process) -> None:
    """Return once a daemon maps no more of its index."""
    before = -1
    while (now := mapped_bytes(supervisor)) > before:
        before = now
        time.sleep(SETTLED_S)


def ask(connection: http.client.HTTPConnection, search: Mapping[str, str], answers: int) -> float:
    """Search for studies; return the seconds until the answer is there, of so many studies."""
    query = urlencode({**search, "limit": PAGE})
    began = time.perf_counter()
    connection.request("GET", f"/dicom-web/studies?{query}")
    response = connection.getresponse()
    body = response.read()
    took = time.perf_counter() - began
    if response.status != HTTPStatus.OK or len(json.loads(body)) != answers:
        raise RuntimeError(f"{query}: {response.status} {body[:200]!r}")
    return took


def into_memory(file: Path) -> None:
    """Read a file, so that it is in the page cache: what is compared is work, not disks."""
    with file.open("rb", buffering=0) as whole:
        while whole.read(PIECE):
            pass


def measure(archives: Mapping[int, Path], searches: int) -> dict[str, dict[str, float]]:
    """Search archives of so many studies in turns; return rows of figures."""
    rows: dict[str, dict[str, float]] = {}
    smallest = min(archives)
    with ExitStack() as stack:
        daemons = {studies: stack.enter_context(served(data)) for studies, data in archives.items()}
        for supervisor, _ in daemons.values():
            settle(supervisor)
        for name, (search, answers) in SEARCHES.items():
            draw = random.Random(name)
            took: dict[int, list[float]] = {studies: [] for studies in daemons}
            cpu = dict.fromkeys(daemons, 0.0)
            for turn in range(-TURN, searches, TURN):
                for studies, (supervisor, connection) in daemons.items():
                    before = cpu_seconds(supervisor)
                    times = [ask(connection, search(draw, studies), answers) for _ in range(TURN)]
                    if turn >= 0:  # the first turn warms up
                        took[studies] += times
                        cpu[studies] += cpu_seconds(supervisor) - before
            for studies, times in took.items():
                middle = statistics.median(times)
                rows[f"{name}, {studies} studies"] = {
                    "p50_ms": round(middle * 1e3, 3),
                    "p50_against_smallest": round(middle / statistics.median(took[smallest]), 2),
                    "p99_ms": round(statistics.quantiles(times, n=100)[98] * 1e3, 3),
                    "cpu_ms": round(cpu[studies] / len(times) * 1e3, 3),
                }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--instances", type=int, default=10, help="of each study")
    parser.add_argument("--searches", type=int, default=500, help="of each kind in each archive")
    parser.add_argument("--data", type=Path, help="where the archives are made, and stay")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        archives = {
            studies: (options.data or Path(folder)) / str(studies) for studies in options.studies
        }
        for studies, data in archives.items():
            build(data, studies, options.instances)
            into_memory(data / "index/data.mdb")
        rows = measure(archives, options.searches)
    for name, figures in rows.items():
        print(f"{name:32}", *(f"{figure} {value:8.3f}" for figure, value in figures.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
