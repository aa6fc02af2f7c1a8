"""What belongs to a backup, as docs/format/backup.md draws it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from vna.errors import Corrupt, NotFound, Unavailable, Unsupported
from vna.folders import write_durably
from vna.index import Counts
from vna.storage import digest_of

__all__ = [
    "BACKUP_FORMAT",
    "Copy",
    "Manifest",
    "add_progress",
    "counts_of",
    "read_manifest",
    "read_progress",
    "write_manifest",
]

BACKUP_FORMAT: Final = 1


class Copy(msgspec.Struct, frozen=True):
    """A file of the backup: its first `size` bytes have the BLAKE3 `digest`, in hexadecimal."""

    name: str
    size: int
    digest: str


class Manifest(msgspec.Struct, frozen=True):
    """A backup: the snapshot's time and place in the feed, and the files that make it."""

    format: int
    stamp: int
    change: int
    counts: dict[str, int]
    archive: str
    identity: str
    index: Copy
    packs: list[Copy]
    tiers: str = ""


def counts_of(counts: Counts) -> dict[str, int]:
    """Return the counts by name."""
    return {name: int(value) for name, value in msgspec.structs.asdict(counts).items()}


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup. NotFound without one, Corrupt, Unavailable, Unsupported."""
    path = folder / "manifest"
    try:
        line, _, rest = path.read_bytes().partition(b"\n")
    except FileNotFoundError as error:
        raise NotFound(f"{folder} holds no backup: there is no manifest") from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if rest.strip() != digest_of(line).hex().encode():
        raise Corrupt(f"{path} is damaged: it does not have the digest that it names")
    try:
        held = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if held.get("format") != msgspec.Raw(b"%d" % BACKUP_FORMAT):
            raise Unsupported(f"{path}: this program knows backups of format {BACKUP_FORMAT}")
        return msgspec.json.decode(line, type=Manifest)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path} is no manifest: {error}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest in place, durably, instead of the one before."""
    line = msgspec.json.encode(manifest)
    write_durably(folder / "manifest", b"%b\n%b\n" % (line, digest_of(line).hex().encode()))


def read_progress(folder: Path) -> list[Copy]:
    """Return the copies that an interrupted backup noted."""
    try:
        lines = (folder / "progress").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    copies = []
    for line in lines:
        try:
            copies.append(msgspec.json.decode(line, type=Copy))
        except msgspec.MsgspecError:
            continue  # the interruption cut it short, or it is the empty line before one
    return copies


def add_progress(folder: Path, copy: Copy) -> None:
    """Note durably that a copy is done."""
    with (folder / "progress").open("ab") as file:
        file.write(b"\n%b\n" % msgspec.json.encode(copy))
        file.flush()
        os.fsync(file.fileno())
