"""How fast the index is made again from packs: objects per second, and what memory it takes.

    .venv/bin/python bench/rebuild.py [--objects 20000] [--data DIR] [--json FILE]

Fills an archive with small CT images that share their pixels, 50 to a series, 100 to a study, and
rebuilds its index in a process of its own. With `--data` the archive stays, and is used again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydicom.data import get_testdata_file

from vna.archive import Archive, ArchiveSettings, rebuild_index

AT_ONCE = 32
STEMS = {b"1.1.1.1.1": 1, b"1.3.1.1": 50, b"1.2.1": 100}
"""The middle of the sample's SOP, series and study UIDs, and how many objects share one."""


def objects(count: int) -> Iterator[bytes]:
    """Yield files whose UIDs end in numbers of their own."""
    sample = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    for number in range(count):
        file = sample
        for stem, shared in STEMS.items():
            uid = b"1.3.6.1.4.1.5962." + stem + b".20040119072730."
            file = file.replace(uid + b"12322", uid + b"%05d" % (number // shared))
        yield file


async def fill(data: Path, count: int) -> float:
    """Store the objects; return how many per second."""
    archive = Archive.open(ArchiveSettings(data=data))
    todo = objects(count)

    async def lane() -> None:
        for file in todo:
            await archive.store(file, source="bench")

    began = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(lane())
    finally:
        archive.close()
    return count / (time.perf_counter() - began)


def rebuild(data: Path) -> dict[str, float]:
    """Rebuild the index of this archive; the comparison with the old one is timed too."""
    filled: list[float] = []
    began = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if done == total and not filled:
            filled.append(time.perf_counter() - began)

    rebuilt = rebuild_index(ArchiveSettings(data=data), progress)
    whole = time.perf_counter() - began
    if rebuilt.uncompared or rebuilt.different:
        raise RuntimeError(f"not equal: {rebuilt.uncompared} {rebuilt.different}")
    count = rebuilt.counts.instances
    return {
        "objects": count,
        "rebuild_per_s": round(count / filled[0]),
        "with_compare_per_s": round(count / whole),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000, help="up to 99999")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rebuild", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rebuild:
        print(json.dumps(rebuild(options.rebuild)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "data"
        if not (data / "archive.toml").exists():
            print(f"filled: {asyncio.run(fill(data, options.objects)):,.0f} objects/s")
        again = [sys.executable, __file__, "--rebuild", str(data)]
        result = json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE).stdout)
    for name, value in result.items():
        print(f"{name:20} {value:>12,}")
    if options.json:
        options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
