"""Whether the packs tell all that an index says."""

from __future__ import annotations

import shutil
from pathlib import Path

from vna.archive import Archive, ArchiveSettings

__all__ = ["rebuilds_alike"]


def rebuilds_alike(archive: Archive, data: Path, folder: Path) -> bool:
    """Say whether an index made from the hot packs at `data` alone, in `folder`, is as the archive's.

    What is in `folder` is lost.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(data / "archive.toml", folder)
    shutil.copytree(data / "packs", folder / "packs")
    other = Archive.open(ArchiveSettings(data=folder, index_map_bytes=1 << 20))
    try:
        other.recover()
        return list(archive._index.dump()) == list(other._index.dump())  # noqa: SLF001  compared inside
    finally:
        other.close()
