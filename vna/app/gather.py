"""Which files an import takes: what folders hold and what a DICOMDIR lists (PS3.10 8, PS3.3 F)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

__all__ = ["Noted", "Why", "gather", "is_part10", "read_dicomdir"]

DICOMDIR_CLASS = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage."""
REFERENCED_FILE_ID = 0x0004_1500
_UNREADABLE = (
    InvalidDicomError,
    OSError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # and so NotImplementedError
)
"""What pydicom raises for data sets that are broken."""
META_BYTES = 4096
"""The Media Storage SOP Class UID stands within the first bytes of any real file."""

Why: TypeAlias = Literal["refused", "skipped", "missing", "warned"]


@dataclass(frozen=True, slots=True)
class Noted:
    """A file worth a line in the report.

    It was refused by the archive, skipped as no object, is missing, or was taken with a warning.
    """

    path: Path
    why: Why
    reason: str


def gather(paths: Iterable[Path]) -> Iterator[Path | Noted]:
    """Yield each file to take once, in a stable order, and what is left out with the reason.

    A folder stands for all files below it; links to folders are not followed. A DICOMDIR stands
    for the files that it lists, wherever it is met; itself it is no object.
    """
    seen: set[Path] = set()
    for path in paths:
        for found in _walk(path):
            yield from _once(found, seen)


def _walk(path: Path) -> Iterator[Path | Noted]:
    try:
        is_folder = path.is_dir()
        there = is_folder or path.exists()
    except OSError as denied:
        yield Noted(path, "missing", f"cannot be read: {denied.strerror}")
        return
    if not is_folder:
        yield path if there else Noted(path, "missing", "there is no such file")
        return
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unreadable.append):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(files))
    for error in unreadable:
        yield Noted(Path(error.filename), "missing", f"cannot be read: {error.strerror}")


def _once(found: Path | Noted, seen: set[Path]) -> Iterator[Path | Noted]:
    if isinstance(found, Noted):
        yield found
        return
    real = Path(os.path.realpath(found))
    if real in seen:
        return
    seen.add(real)
    try:
        if not real.is_file():
            yield Noted(found, "skipped", "is not a regular file")
            return
        directory = _is_dicomdir(found)
    except OSError as error:
        yield Noted(found, "missing", f"cannot be read: {error.strerror}")
        return
    if not directory:
        yield found
        return
    yield Noted(found, "skipped", "is a DICOMDIR: a list of files, not an object")
    for listed in read_dicomdir(found):
        yield from _once(listed, seen)


def is_part10(head: bytes) -> bool:
    """Return whether a file that begins with `head` says that it is DICOM (PS3.10 7.1)."""
    return head[128:132] == b"DICM"


def _is_dicomdir(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(META_BYTES)
    return is_part10(head) and DICOMDIR_CLASS in head.partition(b"\x02\x00\x03\x00")[0]


def read_dicomdir(path: Path) -> Iterator[Path | Noted]:
    """Yield the files that a DICOMDIR lists (Referenced File ID, PS3.10 8.2)."""
    try:
        records = dcmread(path).get("DirectoryRecordSequence") or []
        listed = [_file_id(record) for record in records]
    except _UNREADABLE as error:
        yield Noted(path, "refused", f"its list of files cannot be read: {error}")
        return
    for parts in filter(None, listed):
        if any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
            yield Noted(path, "refused", f"lists {'/'.join(parts)!r}, which is no file ID")
            continue
        try:
            found = _resolve(path.parent, parts)
        except OSError:  # a name that no file can have, or a folder that may not be read
            found = None
        yield found or Noted(path.parent.joinpath(*parts), "missing", f"is listed by {path}")


def _file_id(record: Dataset) -> list[str]:
    """Return the components as they stand: names in lower case are no reason to refuse a disc."""
    element = record.get_item(REFERENCED_FILE_ID)
    value = element.value if element is not None else None
    return value.decode("latin-1").rstrip(" \0").split("\\") if isinstance(value, bytes) else []


def _resolve(folder: Path, parts: list[str]) -> Path | None:
    """Return the file of that ID; its letters may be of either case, as mounted media show them.

    Raises OSError.
    """
    for part in parts:
        exact = folder / part
        if not exact.exists():
            names = sorted(entry.name for entry in os.scandir(folder))
            alike = (name for name in names if name.upper().rstrip(".") == part.upper())
            exact = folder / next(alike, part)
        folder = exact
    return folder if folder.is_file() else None
