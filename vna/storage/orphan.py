"""Recovering a pack whose writer is gone."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from vna.storage.encode import SEAL_RECORD
from vna.storage.faults import write_error
from vna.storage.format import PACK_HEADER, pack_name
from vna.storage.tier import write_all
from vna.storage.walk import RecordWalk, ends_in_seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vna.storage.tier import HotTier, PackFile
    from vna.types import PackId


class OrphanPack:
    """A claimed pack: nobody else writes or recovers it until it is let go.

    Walk `records` to the end, then `truncate_torn_tail`, then `seal`.
    """

    def __init__(self, tier: HotTier, pack: PackId, file: PackFile) -> None:
        self.pack = pack
        self._tier = tier
        self._file = file
        self._walk: RecordWalk | None = None

    @property
    def sealed(self) -> bool:
        """True when the pack ends in a seal: it is complete, and there is nothing to recover."""
        return ends_in_seal(self._file, self.pack)

    def records(self, start: int = 0) -> RecordWalk:
        """Walk the records from `start` on; all before `start` is known to be durable.

        A pack without a seal is synced first, so that what is found here, and may be applied
        before the pack is sealed, is durable; and a blob counts only if its chunks are undamaged.
        """
        sealed = self.sealed
        if not sealed:
            with self._recovering():
                self._file.sync()
        self._walk = RecordWalk(nullcontext(self._file), self.pack, start, check=not sealed)
        return self._walk

    def truncate_torn_tail(self) -> int:
        """Cut what the finished walk found behind the last record; return how many bytes."""
        end = self._walked().valid_end
        with self._recovering():
            torn = self._file.size() - end
            if torn > 0 or not self._walked().sealed:  # its writer may have had room kept behind it
                self._file.truncate(end)
                self._file.sync()
        return max(torn, 0)

    def seal(self) -> int:
        """Say durably in the pack that it is complete; return where it now ends.

        A pack without any record is removed; it ends at 0.
        """
        walk = self._walked()
        with self._recovering():
            if walk.valid_end <= PACK_HEADER.size:
                self._tier.remove(self.pack)
                return 0
            if walk.sealed:
                self._file.sync()  # its writer did not wait for the seal
                return walk.valid_end
            seal = SEAL_RECORD.placed(self.pack, walk.valid_end, walk.valid_end)
            end = write_all(self._file, seal, walk.valid_end)
            self._file.sync()
            return end

    def _walked(self) -> RecordWalk:
        if self._walk is None or not self._walk.finished:
            raise RuntimeError("an orphaned pack is cut and sealed after its records were walked")
        return self._walk

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            what = f"pack {pack_name(self.pack)} cannot be recovered"
            raise write_error(error, what) from error
