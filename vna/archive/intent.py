"""The pack that is about to be put on a lower tier: noted before, so that it is not left there unnamed.

A note in the data folder, and not a look at what is on the tier: packs that this archive has not
named are not its to remove. It may have come back from an older backup.
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import msgspec

from vna.archive.turnstile import Turnstile
from vna.archive.vacate import settled
from vna.errors import Busy, Unavailable
from vna.folders import sync_folder, write_durably
from vna.index import Index
from vna.storage import BlobStore, pack_name, write_error
from vna.types import PackId

__all__ = ["Intent"]

log = logging.getLogger(__name__)

FILE = "moving.json"
PATIENCE_S = 2.0
"""How long stores are kept waiting, at the very most, until it is said what names the pack."""


class _Note(msgspec.Struct, frozen=True):
    pack: PackId


class Intent:
    """The note; used by the one process that moves."""

    def __init__(self, data: Path, store: BlobStore, index: Index) -> None:
        self._data = data
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

        The hot tier may name it in what is not applied yet, be it that another process settles that
        just now: then, and while a group of stores does not end, raises Busy, and leaves all as it
        is. Raises Full, and Unavailable while its tier is away.
        """
        try:
            note = msgspec.json.decode(self._path.read_bytes(), type=_Note)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error
        self._must_be_applied(note.pack)
        with self._index.read() as reader:
            named = note.pack in reader.packs()
        if not named:
            log.warning("pack %s was not finished, and is removed", pack_name(note.pack))
            self._store.discard(note.pack)
        self.end()

    def _must_be_applied(self, pack: PackId) -> None:
        """Raise Busy unless the index has every record of the hot tier."""
        with closing(Turnstile(self._data)) as turnstile, turnstile.drained(PATIENCE_S) as drained:
            if not drained or not settled(self._store, self._index):
                raise Busy(f"whether pack {pack_name(pack)} was finished cannot be said yet")

    def end(self) -> None:
        """Forget the note."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)
