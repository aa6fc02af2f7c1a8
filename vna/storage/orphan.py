"""Recovering a pack whose writer is gone."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from vna.errors import VnaError
from vna.storage.encode import SEAL_RECORD
from vna.storage.faults import write_error
from vna.storage.format import PACK_HEADER, RECORD_HEADER, SEAL, pack_name, parse_record_header
from vna.storage.tier import write_all
from vna.storage.walk import RecordWalk

if TYPE_CHECKING:
    from vna.storage.tier import PackFile, Tier
    from vna.types import PackId


class OrphanPack:
    """A claimed pack: nobody else writes or recovers it until it is let go.

    Walk `records` to the end, then `truncate_torn_tail`, then `seal`.
    """

    def __init__(self, tier: Tier, pack: PackId, file: PackFile) -> None:
        self.pack = pack
        self._tier = tier
        self._file = file
        self._walk: RecordWalk | None = None

    @property
    def sealed(self) -> bool:
        """True when the pack ends in a seal: it is complete, and there is nothing to recover."""
        at = self._file.size() - RECORD_HEADER.size
        if at < PACK_HEADER.size:
            return False
        header = parse_record_header(self._file.read(at, RECORD_HEADER.size), self.pack, at)
        return header is not None and header.kind == SEAL

    def records(self, start: int = 0) -> RecordWalk:
        """Walk the records from `start` on; all before `start` is known to be durable.

        In a pack without a seal a blob counts only if its chunks are undamaged.
        """
        self._walk = RecordWalk(nullcontext(self._file), self.pack, start, check=not self.sealed)
        return self._walk

    def truncate_torn_tail(self) -> int:
        """Cut what the finished walk found behind the last record; return how many bytes."""
        end = self._valid_end()
        torn = self._file.size() - end
        if torn > 0:
            try:
                self._file.truncate(end)
                self._file.sync()
            except OSError as error:
                raise self._error(error) from error
        return max(torn, 0)

    def seal(self) -> int:
        """Make the pack durable and say in it that it is complete; return where it now ends.

        A pack without any record is removed; it ends at 0.
        """
        end = self._valid_end()
        try:
            if end <= PACK_HEADER.size:
                self._tier.remove(self.pack)
                return 0
            if not self._walked().sealed:
                self._file.sync()
                end = write_all(self._file, SEAL_RECORD.placed(self.pack, end, end), end)
                self._file.sync()
        except OSError as error:
            raise self._error(error) from error
        return end

    def _walked(self) -> RecordWalk:
        if self._walk is None or not self._walk.finished:
            raise RuntimeError("an orphaned pack is cut and sealed after its records were walked")
        return self._walk

    def _valid_end(self) -> int:
        return self._walked().valid_end

    def _error(self, error: OSError) -> VnaError:
        return write_error(error, f"pack {pack_name(self.pack)} cannot be recovered")
