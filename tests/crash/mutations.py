"""Mutations of an archive whose effect is known, and how to look for it."""

import random
import shutil
from dataclasses import dataclass

from vna.archive import Archive, ArchiveSettings
from vna.errors import NotFound
from vna.testing.images import ct_image
from vna.types import Level

SMALL, LARGE = 512, 90_000


@dataclass(frozen=True)
class Store:
    """`sop` is to have these bytes."""

    study: str
    sop: str
    file: bytes


@dataclass(frozen=True)
class Delete:
    """Nothing is to be left below `uid`."""

    level: Level
    uid: str


@dataclass(frozen=True)
class Purge(Delete):
    """And nothing is to bring it back."""


@dataclass(frozen=True)
class Compact:
    """No object changes."""


def image(study, number, content, size=SMALL):
    """Return the store of an object; equal `content` and `size` have equal pixels."""
    sop = f"1.2.{study}.9.{number}"
    pixels = random.Random(content).randbytes(size)
    file = ct_image(
        sop,
        StudyInstanceUID=f"1.2.{study}",
        SeriesInstanceUID=f"1.2.{study}.1",
        PatientID=f"P{study}",
        SeriesDescription=f"content {content}",
        Rows=1,
        Columns=size // 2,
        PixelData=pixels,
    )
    return Store(f"1.2.{study}", sop, file)


def content(archive, study, sop):
    try:
        (stored,) = archive.objects(study, None, sop)
    except NotFound:
        return None
    _, pieces = archive.file(stored, "TEST")
    return b"".join(pieces)


def rebuilt(settings, folder):
    """Return the logical content of an index that is made again from the packs alone."""
    folder.mkdir()
    shutil.copy(settings.data / "archive.toml", folder)
    shutil.copytree(settings.data / "packs", folder / "packs")
    archive = Archive.open(ArchiveSettings(data=folder, index_map_bytes=settings.index_map_bytes))
    try:
        archive.recover()
        return list(archive._index.dump())
    finally:
        archive.close()
