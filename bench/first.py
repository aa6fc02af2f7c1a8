"""The first bench: ingest, frames and QIDO, this archive beside Orthanc in one run.

    .venv/bin/python bench/first.py [--slices 100] [--rounds 3] [--seconds 3] [--json FILE]

Both run in turns on this machine, which the client shares. What counts are the ratios. Server CPU
is of the whole process tree, user and system, per operation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from peers import Orthanc, Server, Vna, VnaRaw
from phantom import ROOT, write_ct

STUDIES = 4


@dataclass(frozen=True)
class Sample:
    scenario: str
    server: str
    per_s: float
    cpu_ms: float


def ingest(server: Server, folder: Path, associations: int) -> tuple[int, float]:
    """Send one study per association with dcmsend (TCP_NODELAY); return instances and seconds."""
    base = ["dcmsend", "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port)]
    environment = os.environ | {"TCP_NODELAY": "1"}
    files = sorted(folder.glob("*.dcm"))
    lanes = [files[lane::associations] for lane in range(associations)]
    start = time.perf_counter()
    senders = [
        subprocess.Popen([*base, *map(str, lane)], env=environment, stderr=subprocess.DEVNULL)
        for lane in lanes
    ]
    codes = [sender.wait() for sender in senders]
    elapsed = time.perf_counter() - start
    if any(codes):
        raise RuntimeError(f"dcmsend to {server.name} failed: {codes}")
    return len(files), elapsed


def load(url: str, accept: str, seconds: int) -> tuple[int, float]:
    """Ask for one resource over 8 connections; return requests and seconds."""
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", f"Accept: {accept}", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", out)
    if not found or "Non-2xx" in out:
        raise RuntimeError(f"{url}: {out}")
    return int(found[1]), float(found[2])


def measure(server: Server, scenario: str, work: tuple[int, float], cpu_before: float) -> Sample:
    count, seconds = work
    cpu = server.cpu_s() - cpu_before
    return Sample(scenario, server.name, count / seconds, cpu / count * 1000)


def one_round(kind: type[Server], files: Path, seconds: int) -> Iterator[Sample]:
    for associations in (1, 4):
        with tempfile.TemporaryDirectory() as folder, kind(Path(folder)) as server:
            before = server.cpu_s()
            work = ingest(server, files, associations)
            yield measure(server, f"C-STORE CT, {associations} associations", work, before)
            if associations == 1:
                continue
            study = f"{server.url}/studies/{ROOT}.1"
            frame = f"{study}/series/{ROOT}.1.1/instances/{ROOT}.1.1.7/frames/1"
            octets = 'multipart/related; type="application/octet-stream"'
            for scenario, url, accept in (
                ("WADO-RS frame, 8 connections", frame, octets),
                ("QIDO-RS by PatientID", f"{server.url}/studies?PatientID=PH0001", "application/dicom+json"),
            ):  # fmt: skip
                load(url, accept, 1)
                before = server.cpu_s()
                yield measure(server, scenario, load(url, accept, seconds), before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=100, help=f"per study, {STUDIES} studies")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    servers: list[type[Server]] = [Vna, VnaRaw, *([Orthanc] if Orthanc.installed() else [])]
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        write_ct(files, STUDIES, options.slices)
        for number in range(options.rounds):
            for kind in servers:
                print(f"round {number + 1} of {options.rounds}: {kind.name}", file=sys.stderr)
                samples += one_round(kind, files, options.seconds)
    report(samples)
    if options.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "arch": platform.machine()}
        text = json.dumps({"machine": machine, "samples": [asdict(s) for s in samples]}, indent=1)
        options.json.write_text(text, encoding="utf-8")


def report(samples: list[Sample]) -> None:
    table: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        table[sample.scenario][sample.server].append(sample)
    print(
        "| scenario | server | per second, median (min to max) | CPU ms | rate / Orthanc | CPU / Orthanc |"
    )
    print("|---|---|---|---|---|---|")
    for scenario, by_server in table.items():
        base = by_server.get("orthanc")
        for name, found in by_server.items():
            rates = [s.per_s for s in found]
            rate, cpu = statistics.median(rates), statistics.median(s.cpu_ms for s in found)
            ratios = "| |"
            if base:
                times = rate / statistics.median(s.per_s for s in base)
                share = cpu / statistics.median(s.cpu_ms for s in base)
                ratios = f"| {times:.2f} | {share:.2f} |"
            spread = f"{min(rates):.0f} to {max(rates):.0f}"
            print(f"| {scenario} | {name} | {rate:.0f} ({spread}) | {cpu:.2f} {ratios}")


if __name__ == "__main__":
    main()
