"""The packs that are open for reading: shared by all threads, bounded in number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vna.errors import WouldWait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from vna.storage.tier import PackReader
    from vna.storage.tierset import TierSet
    from vna.types import PackId


@dataclass(slots=True)
class _Open:
    reader: PackReader
    pins: int = 0
    failed: bool = False


class OpenPacks:
    """Keeps the `limit` packs read last open. Thread-safe.

    A pack in use stays open beyond the limit, and stays readable after it was removed. One of which
    a read failed is opened anew by the next who wants it: its tier may be another by then, mounted
    again, or asked with other credentials.
    """

    def __init__(self, tiers: TierSet, limit: int) -> None:
        self._tiers = tiers
        self._limit = limit
        self._open: OrderedDict[PackId, _Open] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def pin(self, pack: PackId) -> Iterator[PackReader]:
        """Hold `pack` open. Raises OSError when it cannot be opened."""
        with self._lock:
            held = self._pinned(pack)
        if held is None:
            reader = self._tiers.open(pack)  # may wait for a disk: nobody else waits for the lock
            with self._lock:
                held = self._pinned(pack)
                if held is not None:
                    reader.close()
                else:
                    held = self._open[pack] = _Open(reader, 1)
                    self._shrink()
        try:
            yield held.reader
        except OSError:
            self._give_up(pack, held)
            raise
        finally:
            self.unpin(held)

    def pin_open(self, pack: PackId) -> _Pin:
        """Hold `pack` open if it is. Raises WouldWait when it must be opened first."""
        with self._lock:
            held = self._pinned(pack)
        if held is None:
            raise WouldWait
        return _Pin(self, held)

    def read_present(self, pack: PackId, offset: int, length: int) -> bytes | memoryview | None:
        """Return bytes of a pack if it is open and has them in memory; see `PackReader`.

        It needs no pin: who closes it has to wait until they are there.
        """
        with self._lock:
            held = self._open.get(pack)
            if held is None:
                return None
            self._open.move_to_end(pack)
            return held.reader.read_present(offset, length)

    def let_go(self) -> None:
        """Close what was removed and is not in use: its space is free only then."""
        with self._lock:
            idle = [pack for pack, held in self._open.items() if not held.pins]
        removed = [pack for pack in idle if not self._tiers.has(pack)]
        with self._lock:
            for pack in removed:
                held = self._open.get(pack)
                if held is not None and not held.pins:
                    self._open.pop(pack).reader.close()

    def close(self) -> None:
        """Close all packs; those in use when they are let go."""
        with self._lock:
            self._closed = True
            self._shrink()

    def _pinned(self, pack: PackId) -> _Open | None:
        held = self._open.get(pack)
        if held is not None:
            held.pins += 1
            self._open.move_to_end(pack)
        return held

    def unpin(self, held: _Open) -> None:
        """Let a pack go that was held open."""
        with self._lock:
            held.pins -= 1
            if held.failed and not held.pins:
                held.reader.close()
            self._shrink()

    def _give_up(self, pack: PackId, held: _Open) -> None:
        """Have others open a pack anew; who reads it now keeps what is open."""
        with self._lock:
            if self._open.get(pack) is held:
                del self._open[pack]
                held.failed = True

    def _shrink(self) -> None:
        limit = 0 if self._closed else self._limit
        over = len(self._open) - limit
        if over > 0:
            for pack in [pack for pack, held in self._open.items() if not held.pins][:over]:
                self._open.pop(pack).reader.close()


class _Pin:
    """A pack that is held open, until the end of a `with` statement."""

    __slots__ = ("_held", "_packs")

    def __init__(self, packs: OpenPacks, held: _Open) -> None:
        self._packs = packs
        self._held = held

    def __enter__(self) -> PackReader:
        return self._held.reader

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._packs.unpin(self._held)
