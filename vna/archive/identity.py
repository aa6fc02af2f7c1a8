"""Who an archive is: `archive.toml` at the root of its data folder."""

from __future__ import annotations

import os
import re
import tomllib
import uuid
from dataclasses import dataclass
from pathlib import Path

from vna.clock import Clock
from vna.errors import Invalid
from vna.folders import make_folder, sync_folder

__all__ = ["FORMAT", "Identity", "load_identity"]

FORMAT = 1
"""Version of the data folder as a whole; packs and index have their own."""
MOST_NODES = (1 << 24) - 1
"""A pack's name has 24 bits for the node; those above are the tier's."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`archive` names the archive for ever; `node` is this machine's part of pack names."""

    archive: uuid.UUID
    node: int


def load_identity(data: Path, clock: Clock) -> Identity:
    """Return the identity of the archive at `data`, making folder and identity when there is none.

    Safe when several processes start at once: the first to link the file into place wins. Raises
    Invalid when the file is not one of ours, or the folder holds packs but no identity.
    """
    path = data / "archive.toml"
    if not path.exists():
        if any((data / "packs").glob("*.pack")):
            raise Invalid(f"{data} holds packs but no archive.toml: restore that file first")
        make_folder(data)
        _create(path, clock)
    return _parse(path)


def _create(path: Path, clock: Clock) -> None:
    archive = uuid.UUID(bytes=clock.token(16), version=4)
    draft = path.with_name(f".archive.toml.{clock.token(4).hex()}")
    with draft.open("x", encoding="ascii") as file:
        file.write(f'format = {FORMAT}\narchive = "{archive}"\nnode = 1\n')
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its identity is the archive's
    finally:
        draft.unlink()
    sync_folder(path.parent)


def _parse(path: Path) -> Identity:
    try:
        fields = tomllib.loads(path.read_text(encoding="ascii"))
        if fields["format"] != FORMAT:
            raise Invalid(f"{path}: format {fields['format']}, this program knows {FORMAT}")
        node = fields["node"]
        if not isinstance(node, int) or not 1 <= node <= MOST_NODES:
            raise Invalid(f"{path}: node must be a number from 1 to {MOST_NODES}")
        if not re.fullmatch(r"[0-9a-f-]{36}", str(fields["archive"])):
            raise Invalid(f"{path}: archive is not a UUID")
        return Identity(uuid.UUID(fields["archive"]), node)
    except (tomllib.TOMLDecodeError, KeyError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not an archive identity: {error}") from error
