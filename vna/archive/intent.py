"""The pack that is about to be put on a lower tier: noted before, so that it is not left there unnamed.

A note in the data folder, and not a look at what is on the tier: packs that this archive has not
named are not its to remove. It may have come back from an older backup. What is left unfinished on a
tier that is away stays in the note, and holds up no move to another tier.
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
from vna.storage import BlobStore, pack_name, tier_of, write_error
from vna.types import PackId

__all__ = ["Intent"]

log = logging.getLogger(__name__)

FILE = "moving.json"
PATIENCE_S = 2.0
"""How long stores are kept waiting, at the very most, until it is said what names the pack."""


class _Note(msgspec.Struct, frozen=True):
    pack: PackId = 0
    left: tuple[PackId, ...] = ()


class Intent:
    """The note; used by the one process that moves, to tier `number`."""

    def __init__(self, data: Path, store: BlobStore, index: Index, number: int) -> None:
        self._data = data
        self._path = data / FILE
        self._store = store
        self._index = index
        self._number = number
        self._left: tuple[PackId, ...] = ()

    def begin(self, pack: PackId) -> None:
        """Note a pack; durable on return. Raises Full, Unavailable."""
        self._write(_Note(pack, self._left))

    def settle(self) -> None:
        """Remove the packs that are noted unless the index names them, and the note.

        The hot tier may name one in what is not applied yet, be it that another process settles that
        just now: then, and while a group of stores does not end, raises Busy, and leaves all as it
        is. Raises Full, and Unavailable while the tier that is moved to is away; those of others that
        are stay noted, and are looked for by the next mover.
        """
        try:
            note = msgspec.json.decode(self._path.read_bytes(), type=_Note)
        except FileNotFoundError:
            self._left = ()
            return
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(f"{self._path} cannot be read: {error}") from error
        if note == _Note(0, self._left):  # looked for by this mover already
            return
        packs = [*note.left, *filter(None, [note.pack])]
        self._must_be_applied(packs[-1])
        left = []
        for pack in packs:
            try:
                self._finish(pack)
            except Unavailable as error:
                if tier_of(pack) == self._number:
                    raise
                log.warning(
                    "pack %s was not finished, and stays for now: %s", pack_name(pack), error
                )
                left.append(pack)
        self._left = tuple(left)
        self.end()

    def _finish(self, pack: PackId) -> None:
        with self._index.read() as reader:
            named = pack in reader.packs()
        if not named:
            self._store.discard(pack)
            log.warning("pack %s was not finished, and is removed", pack_name(pack))

    def _must_be_applied(self, pack: PackId) -> None:
        """Raise Busy unless the index has every record of the hot tier."""
        with closing(Turnstile(self._data)) as turnstile, turnstile.drained(PATIENCE_S) as drained:
            if not drained or not settled(self._store, self._index):
                raise Busy(f"whether pack {pack_name(pack)} was finished cannot be said yet")

    def end(self) -> None:
        """Forget the pack that was begun with."""
        if self._left:
            self._write(_Note(0, self._left))
            return
        self._path.unlink(missing_ok=True)
        sync_folder(self._path.parent)

    def _write(self, note: _Note) -> None:
        try:
            write_durably(self._path, msgspec.json.encode(note))
        except OSError as error:
            raise write_error(error, f"{self._path} cannot be written") from error
