"""Taking files from disk into the archive, many at once so that they share syncs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vna.app.gather import Noted, Why, gather, is_part10
from vna.archive import Archive, Outcome, Stored
from vna.errors import Busy, Unavailable, VnaError

__all__ = ["ImportReport", "import_files"]

AT_ONCE = 16
"""Files on their way at the same time; each waits for the sync that all of them share."""
LARGE_BYTES = 8 << 20
LARGE_AT_ONCE = 2
"""Larger files hold more memory while they are parted, so fewer of them go together."""
PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class ImportReport:
    """What became of each file.

    `warned` are stored although their data set is broken; `left` are not stored. `stopped` is
    empty, or why the archive could take no more: files behind that were not tried.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    warned: list[Noted] = field(default_factory=list)
    left: list[Noted] = field(default_factory=list)
    stopped: str = ""

    @property
    def taken(self) -> int:
        """Files whose object the archive holds."""
        return self.outcomes.total()

    @property
    def complete(self) -> bool:
        """Whether every DICOM object that was found or listed has been taken."""
        return not self.stopped and all(left.why == "skipped" for left in self.left)


async def import_files(
    archive: Archive, paths: Iterable[Path], progress: Callable[[int, int], None]
) -> ImportReport:
    """Import what `paths` name; `progress(done, total)` follows it.

    A file that cannot be taken is reported and the others go on. When the archive itself is full
    or down, the import stops.
    """
    found = await archive.run(list, gather(paths))
    report = ImportReport()
    todo = iter(found)
    large = asyncio.Semaphore(LARGE_AT_ONCE)
    done = 0

    async def take_next() -> None:
        nonlocal done
        for each in todo:
            if report.stopped:
                return
            if isinstance(each, Noted):
                report.left.append(each)
            else:
                await _take(archive, each, large, report)
            done += 1
            progress(done, len(found))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(take_next())
    report.left.sort(key=lambda left: left.path)
    report.warned.sort(key=lambda left: left.path)
    return report


async def _take(
    archive: Archive, path: Path, large: asyncio.Semaphore, report: ImportReport
) -> None:
    """Import one file and put what became of it in the report."""
    try:
        size = await archive.run(os.path.getsize, path)
        async with large if size > LARGE_BYTES else contextlib.nullcontext():
            stored = await _ingest(archive, path)
    except (Busy, Unavailable) as error:
        report.stopped = report.stopped or f"{path}: {error}"
    except VnaError as error:
        why: Why = "refused" if _says_dicom(path) else "skipped"
        report.left.append(Noted(path, why, str(error)))
    except OSError as error:
        report.left.append(Noted(path, "missing", f"cannot be read: {error.strerror}"))
    else:
        report.outcomes[stored.outcome] += 1
        if stored.warning:
            report.warned.append(Noted(path, "warned", stored.warning))


async def _ingest(archive: Archive, path: Path) -> Stored:
    ingest = archive.ingest(form="part10", source="import")
    pieces = _pieces(path)
    try:
        async for piece in archive.stream(pieces):
            await ingest.write(piece)
        return await ingest.commit()
    finally:
        ingest.abort()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _says_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_part10(file.read(132))
