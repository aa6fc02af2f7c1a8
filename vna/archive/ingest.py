"""One object on its way in: parted as it arrives, checked when it ends, committed as a whole.

Bulk values stay in memory until the object passes the stream threshold; the value that is
arriving then moves to a pack of its own and the rest of it follows from the socket, so that an
object of any size needs bounded memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from vna.archive.commit import Committer, Proposal
from vna.archive.offload import Offload
from vna.archive.settings import ArchiveSettings
from vna.dicom.scan import ObjectScan, Scanned
from vna.errors import Conflict, Invalid, Unavailable
from vna.index import Applied, Index, Outcome
from vna.storage import BlobStore, BlobStream, CodecName, EncodedBlob, digest_of, encode_blob
from vna.types import (
    BlobKind,
    BlobPlace,
    Commit,
    DuplicatePolicy,
    Frames,
    StoreCommit,
    Version,
)

__all__ = ["Expected", "Form", "Identified", "Ingest", "Stored"]

Form: TypeAlias = Literal["dataset", "part10"]
Buffer: TypeAlias = bytes | bytearray | memoryview

INLINE_OFFSETS = 16
"""Frame offsets up to this many stand in the index; more go to a blob."""
SMALL_PIECE = 256 << 10
"""Pieces up to this size are scanned on the event loop: under 0.1 ms."""
STREAM_BATCH = 1 << 20
"""Bytes of a streamed value that are handed to a thread at once."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the sender said of the object; what it did not say is None."""

    sop_class: str | None = None
    sop_uid: str | None = None
    study_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """Who an object is, as far as that is known; empty strings where it is not."""

    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """An acknowledged object. `warning` is empty, or what is wrong with its data set."""

    outcome: Outcome
    identity: Identified
    warning: str


class _Bulk:
    """The bytes of one hole as they come: in memory, or in a pack of their own."""

    __slots__ = ("batch", "chunk_length", "codec", "parts", "stream")

    def __init__(self, chunk_length: int, codec: CodecName) -> None:
        self.chunk_length = chunk_length
        self.codec = codec
        self.parts: list[Buffer] = []
        self.stream: BlobStream | None = None
        self.batch = 0


@dataclass(frozen=True, slots=True)
class IngestRoom:
    """What every ingest of an archive shares."""

    settings: ArchiveSettings
    store: BlobStore
    index: Index
    committer: Committer
    offload: Offload


class Ingest:
    """Takes one object in pieces: `write` each, then `commit`; or `abort` at any time.

    Not for use by two tasks at once. A VnaError from `write` or `commit` means refused: nothing
    of the object is visible, and what was written for it is cleaned up.
    """

    def __init__(
        self,
        room: IngestRoom,
        form: Form,
        transfer_syntax: str | None,
        source: str,
        expected: Expected,
    ) -> None:
        self._room = room
        self._source = source
        self._expected = expected
        self._scan = ObjectScan(form, transfer_syntax, max_header=room.settings.max_header_bytes)
        self._bulks: list[_Bulk] = []
        self._held = 0
        self._ended = False
        self.identity = Identified(
            expected.sop_class or "", expected.sop_uid or "", expected.study_uid or ""
        )

    async def write(self, piece: Buffer) -> None:
        """Take the next piece. Returns when there is room for more: that is the back-pressure."""
        self._open()
        if len(piece) <= SMALL_PIECE:
            runs = self._scan.feed(piece)
        else:
            runs = await self._room.offload.run(self._scan.feed, piece)
        if not runs:
            return
        view = memoryview(piece)
        for hole, start, end in runs:
            bulk = self._bulk(hole)
            bulk.parts.append(view[start:end])
            self._held += end - start
            bulk.batch += end - start
        await self._spill(self._bulks[-1])

    def _bulk(self, hole: int) -> _Bulk:
        while len(self._bulks) <= hole:
            chunk_length, declared = self._scan.hole_plan(len(self._bulks))
            # Of undefined length are encapsulated and deflated values: compressed already.
            codec: CodecName = "raw" if declared < 0 else self._room.settings.codec
            self._bulks.append(_Bulk(chunk_length, codec))
        return self._bulks[hole]

    async def _spill(self, bulk: _Bulk) -> None:
        """Move what is held of the arriving value to its own pack once the object is large."""
        if bulk.stream is None:
            if self._held <= self._room.settings.stream_threshold_bytes:
                return
            bulk.stream = await self._room.offload.run(
                self._room.store.stream, bulk.chunk_length, codec=bulk.codec
            )
        elif bulk.batch < STREAM_BATCH:
            return
        await self._drain(bulk, bulk.stream)

    async def _drain(self, bulk: _Bulk, stream: BlobStream) -> None:
        parts, bulk.parts = bulk.parts, []
        self._held -= bulk.batch
        bulk.batch = 0
        if parts:
            await self._room.offload.run(_write_all, stream, parts)

    async def commit(self) -> Stored:
        """Make the object durable and findable; return only then.

        Raises Invalid (not an object this archive can file), Conflict (not what the sender
        announced, or refused by the duplicate policy), Full, Busy, Unavailable.
        """
        self._open()
        try:
            return await self._commit()
        finally:
            self.abort()

    async def _commit(self) -> Stored:
        scanned = self._scan.finish()
        self.identity = Identified(
            scanned.sop_class, scanned.sop_uid, scanned.study_uid, scanned.series_uid
        )
        if scanned.refusal:
            raise Invalid(scanned.refusal)
        _check(self._expected, self.identity)
        if scanned.holes:
            self._bulk(
                len(scanned.holes) - 1
            )  # a value cut off before its first byte has a hole too
        standing = await self._room.offload.run(self._standing, scanned)
        if standing is None:
            applied = await self._submit(scanned)
            standing = applied.outcome
        if standing is Outcome.REJECTED:
            raise Conflict(
                f"SOP Instance UID {scanned.sop_uid} is stored already with other content"
            )
        return Stored(standing, self.identity, scanned.problem)

    def _standing(self, scanned: Scanned) -> Outcome | None:
        """Return what is decided without writing: a duplicate, or a policy that refuses."""
        with self._room.index.read() as reader:
            instance = reader.instance(scanned.sop_uid)
        if instance is None:
            return None
        current = instance.version
        if (current.digest, current.transfer_syntax) == (scanned.digest, scanned.transfer_syntax):
            return Outcome.DUPLICATE
        refusals: dict[DuplicatePolicy, Outcome] = {
            "keep": Outcome.KEPT,
            "reject": Outcome.REJECTED,
        }
        return refusals.get(self._room.settings.duplicates)

    async def _submit(self, scanned: Scanned) -> Applied:
        placed: list[tuple[bytes, BlobPlace]] = []
        for bulk, hole in zip(self._bulks, scanned.holes, strict=True):
            if bulk.stream is not None and not self._known(hole.blob):
                await self._drain(bulk, bulk.stream)
                place = await self._room.offload.run(bulk.stream.finish, hole.blob)
                placed.append((hole.blob, place))
        frames, table = _frames(scanned)
        blobs = await self._room.offload.run(self._encode, scanned, table)
        record = _recorder(scanned, frames, self._room.settings.duplicates, self._source)
        for bulk, hole in zip(self._bulks, scanned.holes, strict=True):
            if any(hole.blob == digest for digest, _ in placed):
                bulk.stream = None  # the committer's from here on, even if our caller hangs up
        done = self._room.committer.submit(Proposal(record, blobs, placed))
        return await asyncio.shield(asyncio.wrap_future(done))

    def _known(self, digest: bytes) -> bool:
        with self._room.index.read() as reader:
            return reader.blob(digest) is not None

    def _encode(self, scanned: Scanned, table: bytes) -> list[EncodedBlob]:
        """Return the blobs that the archive does not have yet, ready to be appended."""
        settings = self._room.settings
        header = scanned.header
        wanted: dict[bytes, tuple[BlobKind, list[Buffer], int, CodecName]]
        wanted = {digest_of(header): (BlobKind.HEADER, [header], len(header) or 1, settings.codec)}
        if table:
            wanted[digest_of(table)] = (BlobKind.TABLE, [table], 65536, settings.codec)
        for bulk, hole in zip(self._bulks, scanned.holes, strict=True):
            if bulk.stream is None:
                wanted[hole.blob] = (BlobKind.BULK, bulk.parts, bulk.chunk_length, bulk.codec)
        with self._room.index.read() as reader:
            missing = [digest for digest in wanted if reader.blob(digest) is None]
        encoded = []
        for digest in missing:
            kind, parts, chunk_length, codec = wanted[digest]
            level = settings.zstd_level
            encoded.append(encode_blob(kind, digest, parts, chunk_length, codec, level=level))
        return encoded

    def abort(self) -> None:
        """Forget the object and remove what was streamed for it. Safe at any time."""
        self._ended = True
        for bulk in self._bulks:
            if bulk.stream is not None:
                bulk.stream.abort()
                bulk.stream = None
        self._bulks = []

    def _open(self) -> None:
        if self._ended:
            raise Invalid("the object has ended already")
        if self._room.committer.broken:
            raise Unavailable(f"the archive takes no changes: {self._room.committer.broken}")


def _write_all(stream: BlobStream, parts: list[Buffer]) -> None:
    for part in parts:
        stream.write(part)


def _check(expected: Expected, found: Identified) -> None:
    """Raise Conflict where the object is not the one that was announced."""
    for name, said, is_ in (
        ("SOP Class UID", expected.sop_class, found.sop_class),
        ("SOP Instance UID", expected.sop_uid, found.sop_uid),
        ("Study Instance UID", expected.study_uid, found.study_uid),
    ):
        if said is not None and said != is_:
            raise Conflict(f"{name} of the data set is {is_}, announced was {said}")


def _frames(scanned: Scanned) -> tuple[Frames | None, bytes]:
    """Return the frame table as the index keeps it, and the bytes of its blob if it needs one."""
    frames = scanned.frames
    if frames is None or len(frames.offsets) <= 8 * INLINE_OFFSETS:
        return frames, b""
    table = frames.offsets
    return msgspec.structs.replace(frames, offsets=b"", table=digest_of(table)), table


def _recorder(
    scanned: Scanned, frames: Frames | None, policy: DuplicatePolicy, source: str
) -> Callable[[int], Commit]:
    """Return what makes the commit record of an object for the stamp it is given."""
    version = Version(
        stamp=0,
        digest=scanned.digest,
        transfer_syntax=scanned.transfer_syntax,
        length=scanned.length,
        header=digest_of(scanned.header),
        prefix=scanned.prefix,
        holes=scanned.holes,
        frames=frames,
        deflated=scanned.deflated,
        source=source,
        problem=scanned.problem,
    )

    def record(stamp: int) -> StoreCommit:
        return StoreCommit(
            stamp=stamp,
            policy=policy,
            patient_key=scanned.patient_key,
            study_uid=scanned.study_uid,
            series_uid=scanned.series_uid,
            sop_uid=scanned.sop_uid,
            sop_class=scanned.sop_class,
            patient=scanned.patient,
            study=scanned.study,
            series=scanned.series,
            instance=scanned.instance,
            version=msgspec.structs.replace(version, stamp=stamp),
        )

    return record
