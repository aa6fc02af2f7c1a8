"""Appending to a pack of one's own: blobs and commits, synced before they are believed."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vna._native import place_records
from vna.errors import Invalid, Unavailable
from vna.observe import metrics
from vna.storage.encode import SEAL_RECORD, digest_of, encode_record
from vna.storage.faults import no_space, write_error
from vna.storage.format import COMMIT, MAX_COMMIT, PACK_HEADER, pack_header, pack_name
from vna.storage.tier import HotTier, PackFile, write_all
from vna.types import BlobPlace, PackId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vna._native import Buffer, EncodedBlob
    from vna.clock import Clock

_COMMIT_STRIDE = 1 << 20


@dataclass(frozen=True, slots=True)
class PackMark:
    """A pack is written up to `end`, a record's end."""

    pack: PackId
    end: int


class OwnedPack:
    """A pack that this process writes: knows its end, and how much of it is durable."""

    def __init__(self, file: PackFile, pack: PackId, end: int, synced: int) -> None:
        self.pack = pack
        self.end = end
        self.synced = synced
        self._file = file
        self._begun: tuple[int, float, Callable[[], None]] | None = None

    @classmethod
    def create(cls, tier: HotTier, node: int, clock: Clock) -> OwnedPack:
        """Make a pack under a new name, durable with its header. Full or Unavailable."""
        try:
            pack, file = _new_name(tier, node)
            try:
                write_all(file, [pack_header(pack, clock.stamp())], 0)
                file.sync()
            except OSError:
                # What cannot be removed now is an empty pack, which recovery removes.
                with suppress(OSError):
                    tier.remove(pack)
                file.close()
                raise
        except OSError as error:
            raise write_error(error, "a new pack cannot be made") from error
        return cls(file, pack, PACK_HEADER.size, PACK_HEADER.size)

    def append(self, records: Sequence[EncodedBlob]) -> list[BlobPlace]:
        """Take records for the end; the next sync writes them. OSError leaves `end` as it was."""
        buffers, places, end = place_records(records, self.pack, self.end, self.synced, BlobPlace)
        self._file.append(buffers, self.end)
        self.end = end
        return places

    def write_at(self, buffers: Sequence[Buffer], offset: int) -> int:
        """Write the parts of a record that is not complete yet; return where they end."""
        return write_all(self._file, buffers, offset)

    def flush(self) -> None:
        """Make durable what is written, complete or not."""
        self._file.sync()

    def drop_unsynced(self) -> None:
        """Remove what a sync failed to make durable."""
        self._file.truncate(self.synced)
        self.end = self.synced

    def begin_write(self) -> None:
        """Begin to write what was taken; more may be taken meanwhile."""
        self._file.begin_write()

    def begin_sync(self) -> None:
        """Begin to make everything up to `end` durable."""
        if self.synced != self.end and self._begun is None:
            self._begun = self.end, time.monotonic(), self._file.begin_sync()

    def end_sync(self) -> None:
        """Wait for the sync that was begun, if any."""
        if self._begun is not None:
            (end, begun, wait), self._begun = self._begun, None
            wait()
            metrics.SYNC_SECONDS.observe(time.monotonic() - begun)
            self.synced = end

    def sync(self) -> None:
        """Make everything up to `end` durable."""
        self.end_sync()
        if self.synced != self.end:
            end = self.end
            begun = time.monotonic()
            self._file.sync()
            metrics.SYNC_SECONDS.observe(time.monotonic() - begun)
            self.synced = end

    def seal(self) -> None:
        """Sync, cut the pack to its end, and say in it that it is complete.

        The seal is not waited for: a pack without it is only checked once more by recovery.
        """
        self.sync()
        self._file.truncate(self.end)
        self.end = write_all(
            self._file, SEAL_RECORD.placed(self.pack, self.end, self.synced), self.end
        )

    def close(self) -> None:
        """Let the pack go, as it is."""
        with suppress(OSError):
            self.end_sync()
        self._file.close()


class PackWriter:
    """Appends to the active pack of this process; one thread at a time.

    A failed sync, or a failed append that was not merely for want of space, breaks the writer:
    every later call raises Unavailable. Its pack, once closed, is an orphan like any other, to be
    recovered before a new writer is believed.
    """

    def __init__(self, tier: HotTier, node: int, pack_size_bytes: int, clock: Clock) -> None:
        self._tier = tier
        self._node = node
        self._pack_size = pack_size_bytes
        self._clock = clock
        self._active: OwnedPack | None = None
        self._full: list[OwnedPack] = []
        self._broken = ""

    @property
    def broken(self) -> str:
        """Why this writer takes nothing any more; empty while it does."""
        return self._broken

    @property
    def pack(self) -> PackId | None:
        """The active pack, if there is one yet."""
        return self._active.pack if self._active else None

    def append(
        self, blobs: Sequence[EncodedBlob], commit: bytes
    ) -> tuple[list[BlobPlace], PackMark]:
        """Take the blobs and, after them, the commit that needs them; all or nothing.

        Returns the blobs' places and the mark at which the commit ends. Written, and durable, only
        after `sync`; until then they stay as they are. Full when there is no space, Invalid for a
        commit above the format's limit: nothing of it is taken, and a later append may succeed.
        Unavailable when the writer is broken.
        """
        places, mark = self.append_records([*blobs, commit_record(commit)])
        return places[:-1], mark

    def append_records(self, records: Sequence[EncodedBlob]) -> tuple[list[BlobPlace], PackMark]:
        """Take records of any kind, one after the other; as `append`."""
        self._check()
        active = self._room(sum(record.size for record in records))
        try:
            places = active.append(records)
        except Exception as error:
            name = pack_name(active.pack)
            if not (isinstance(error, OSError) and no_space(error)):
                self._broken = f"pack {name} failed to be written"
            if isinstance(error, OSError):
                raise write_error(error, f"pack {name} cannot be written") from error
            raise
        return places, PackMark(active.pack, active.end)

    def open(self) -> None:
        """Have an active pack: shows whether the tier takes writes. Full or Unavailable."""
        self._check()
        self._room(0)

    def begin_write(self) -> None:
        """Begin to write what was appended, while more may come. The next sync tells of errors."""
        self._check()
        if self._active:
            with self._syncing(self._active):
                self._active.begin_write()

    def begin_sync(self) -> None:
        """Begin to make all that was appended durable: `sync` waits for it."""
        self._check()
        if self._active:
            with self._syncing(self._active):
                self._active.begin_sync()

    def sync(self) -> None:
        """Return when all that was appended is durable.

        Unavailable or Full break the writer: what is durable is then unknown.
        """
        self._check()
        if self._active:
            with self._syncing(self._active):
                self._active.sync()

    def let_go(self) -> None:
        """Let go of the packs that are full; what is in them has been judged.

        Before, recovery by another process would find their records, and take each of them.
        """
        while self._full:
            self._full.pop().close()

    def close(self) -> None:
        """Sync, seal and let go of the active pack; a broken writer just lets go of its packs.

        Errors of the sync are raised; the packs are let go in any case, the newest first: it may have
        the void of a store in another.
        """
        active, self._active = self._active, None
        try:
            if active is not None and not self._broken:
                self._finish(active)
        finally:
            self._broken = self._broken or "the writer is closed"
            if active is not None:
                active.close()
            self.let_go()

    def _room(self, size: int) -> OwnedPack:
        """Return a pack with room for `size` bytes, sealing the active one when it is full."""
        active = self._active
        if active and active.end > PACK_HEADER.size and active.end + size > self._pack_size:
            self._finish(active)
            self._full.append(active)
            active = self._active = None
        if active is None:
            active = self._active = OwnedPack.create(self._tier, self._node, self._clock)
        return active

    def _finish(self, active: OwnedPack) -> None:
        with self._syncing(active):
            active.sync()
        # All records are durable now, and recovery seals what is not sealed.
        with suppress(OSError):
            active.seal()

    @contextmanager
    def _syncing(self, active: OwnedPack) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._broken = f"pack {pack_name(active.pack)} cannot be synced"
            # The kernel forgets pages that it failed to write, yet shows them until they are
            # evicted: recovery must not take them for durable.
            with suppress(OSError):
                active.drop_unsynced()
            if isinstance(error, OSError):
                raise write_error(error, self._broken) from error
            raise

    def _check(self) -> None:
        if self._broken:
            raise Unavailable(self._broken)


def commit_record(commit: bytes) -> EncodedBlob:
    """Return the record of a commit. Invalid for one above the format's limit."""
    if not 0 < len(commit) <= MAX_COMMIT:
        raise Invalid(f"a commit record has 1 to {MAX_COMMIT} bytes, this one {len(commit)}")
    return encode_record(COMMIT, digest_of(commit), [commit], _COMMIT_STRIDE, "raw")


def _new_name(tier: HotTier, node: int) -> tuple[PackId, PackFile]:
    """Make an empty pack under a name that was never used, past names that turn out taken."""
    while True:
        pack = tier.reserve(node)
        with suppress(FileExistsError):
            return pack, tier.create(pack)
