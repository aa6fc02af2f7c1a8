"""A large blob, written as it arrives into a pack of its own, in bounded memory."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from vna._native import chunk_entry
from vna.errors import Unavailable, VnaError
from vna.storage.codecs import CodecName
from vna.storage.encode import encode_chunk, stride_of
from vna.storage.faults import write_error
from vna.storage.format import CHUNK_ENTRY, RECORD_HEADER, TABLE_LAST, RecordHeader
from vna.types import BlobKind, BlobPlace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vna._native import Buffer
    from vna.storage.tier import HotTier
    from vna.storage.writer import OwnedPack

_SYNC_EVERY: Final = 64 << 20


class BlobStream:
    """A blob under way; one thread at a time, but `abort` from any.

    Holds one chunk in memory (none after `complete`), and 16 bytes for each chunk that is written. The record's header
    is written last, so until `finish` the pack holds no record. From then on the blob is durable, and its
    pack stays this process's until `abort`: nobody else may take it for what a dead process left, and
    remove it, before the commit that needs it is applied. After any error only `abort` is left.
    """

    def __init__(
        self,
        tier: HotTier,
        pack: OwnedPack,
        chunk_length: int,
        kind: BlobKind,
        *,
        codec: CodecName,
        level: int,
    ) -> None:
        self._tier = tier
        self._pack: OwnedPack | None = pack
        self._kind = kind
        self._codec: CodecName = codec
        self._level = level
        self._stride = stride_of(chunk_length)
        self._chunk = bytearray()
        self._table = bytearray()
        self._length = 0
        self._stored = 0
        self._unsynced = 0
        self._failed = False
        self._finished = False
        self._aborted = False
        self._lock = threading.Lock()

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the blob. Full or Unavailable."""
        with self._exclusive():
            self._write(memoryview(data).cast("B"))

    def complete(self) -> None:
        """Say that no more bytes come: from here until `finish` nothing is held in memory."""
        with self._exclusive():
            if self._chunk:
                self._put_chunk()

    def finish(self, digest: bytes) -> BlobPlace:
        """Say that the blob is complete and has this BLAKE3; return its place once it is durable."""
        with self._exclusive():
            return self._finish(digest)

    def abort(self) -> None:
        """Let go of the pack; remove it unless it is finished. Does nothing a second time.

        While another thread is at work here this does not wait: that thread removes the pack when
        it is done. (It must not be closed under it: the descriptor may be another file's by then.)
        """
        self._aborted = True
        self._discard()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            if self._aborted:
                self._discard()

    def _discard(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            pack, self._pack = self._pack, None
            if pack is not None:
                if not self._finished:
                    # What cannot be removed now holds no record, and recovery removes it.
                    with suppress(OSError):
                        self._tier.remove(pack.pack)
                pack.close()
        finally:
            self._lock.release()

    def _write(self, rest: memoryview) -> None:
        self._open_pack()
        self._length += len(rest)
        while len(rest):
            if not self._chunk and len(rest) >= self._stride:
                chunk, rest = rest[: self._stride], rest[self._stride :]
                self._put(chunk)
                continue
            room = self._stride - len(self._chunk)
            self._chunk += rest[:room]
            rest = rest[room:]
            if len(self._chunk) == self._stride:
                self._put_chunk()

    def _finish(self, digest: bytes) -> BlobPlace:
        if self._chunk:
            self._put_chunk()
        pack = self._open_pack()
        header = RecordHeader(
            int(self._kind),
            TABLE_LAST,
            self._stored,
            self._length,
            self._stride if self._length else 0,
            len(self._table) // CHUNK_ENTRY.size,
            digest,
        )
        try:
            offset = pack.end
            front = header.placed(pack.pack, offset, pack.synced)
            behind = offset + RECORD_HEADER.size + self._stored
            pack.end = pack.write_at([bytes(header.padding), self._table], behind)
            pack.write_at([front], offset)
            pack.sync()
        except OSError as error:
            raise self._broken(error) from error
        # Durable now; a pack that misses its seal is checked once more and sealed by recovery.
        with suppress(OSError):
            pack.seal()
        self._finished = True
        return BlobPlace(pack.pack, offset, header.size, header.length)

    def _put_chunk(self) -> None:
        self._put(memoryview(self._chunk))
        self._chunk = bytearray()

    def _put(self, chunk: memoryview) -> None:
        """Write one whole chunk, and see to it that unwritten pages do not pile up."""
        pack = self._open_pack()
        codec_id, stored = encode_chunk([chunk], self._codec, self._level)
        at = pack.end + RECORD_HEADER.size + self._stored
        try:
            end = pack.write_at(stored, at)
            self._unsynced += end - at
            if self._unsynced >= _SYNC_EVERY:
                pack.flush()
                self._unsynced = 0
        except OSError as error:
            raise self._broken(error) from error
        self._stored += end - at
        self._table += chunk_entry(self._stored, codec_id, stored)

    def _open_pack(self) -> OwnedPack:
        if self._pack is None or self._failed or self._finished or self._aborted:
            raise Unavailable("the stream of a blob has failed or ended")
        return self._pack

    def _broken(self, error: OSError) -> VnaError:
        self._failed = True
        return write_error(error, "a large blob cannot be written")
