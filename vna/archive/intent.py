"""The pack that is about to be put on a lower tier: noted before, so that it is not left there unnamed.

A note in the data folder, and not a look at what is on the tier: packs that this archive has not
named are not its to remove. It may have come back from an older backup.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from vna.errors import Unavailable
from vna.folders import sync_folder, write_durably
from vna.index import Index
from vna.storage import BlobStore, pack_name, write_error
from vna.types import PackId

__all__ = ["Intent"]

log = logging.getLogger(__name__)

FILE = "moving.json"


class _Note(msgspec.Struct, frozen=True):
    pack: PackId


class Intent:
    """The note; used by the one process that moves."""

    def __init__(self, data: Path, store: BlobStore, index: Index) -> None:
        self._path = data / FILE
        self._store = store
        self._index = index

    def begin(self, pack: PackId) -> None:
        """Note a pack; durable on return. Raises Full, Unavailable."""
        try:
            write_durably(self._path, msgspec.json.encode(_Note(pack)))
        except OSError as error:
            raise write_error(error, f"{self._path} cannot be written") from error

    def settle(self) -> None:
        """Remove the pack that is noted unless the index names it, and the note.

        Raises Unavailable while its tier is away.
        """
        try:
            note = msgspec.json.decode(self._path.read_bytes(), type=_Note)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error
        with self._index.read() as reader:
            named = note.pack in reader.packs()
        if not named:
            log.warning("pack %s was not finished, and is removed", pack_name(note.pack))
            self._store.discard(note.pack)
        self.end()

    def end(self) -> None:
        """Forget the note."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)
