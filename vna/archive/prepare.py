"""What becomes of an object that has arrived: a proposal to commit, or nothing new.

`propose` makes records of all that the object is; what the index has already is left out by
`judge`, in the committer's thread, where reading the index is due anyway and nobody waits for it
but the group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from vna.archive.answers import Answer, Answers
from vna.archive.commit import Committer, Proposal
from vna.archive.memory import Memory
from vna.archive.offload import Offload
from vna.archive.settings import ArchiveSettings
from vna.archive.space import Space
from vna.dicom.scan import Scanned
from vna.index import Applied, Index, Outcome, Reader, blobs_of
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

__all__ = ["Buffer", "Bulk", "IngestRoom", "propose", "standing", "store_commit"]

Buffer: TypeAlias = bytes | bytearray | memoryview

INLINE_OFFSETS = 16
"""Frame offsets up to this many stand in the index; more go to a blob."""
TABLE_CHUNK = 65536


class Bulk:
    """The bytes of one hole as they come: in memory, or in a pack of their own."""

    __slots__ = ("batch", "chunk_length", "codec", "parts", "stream")

    def __init__(self, chunk_length: int, codec: CodecName) -> None:
        self.chunk_length = chunk_length
        self.codec = codec
        self.parts: list[Buffer] = []
        self.stream: BlobStream | None = None
        self.batch = 0


@dataclass(slots=True)
class IngestRoom:
    """What every ingest of an archive shares."""

    settings: ArchiveSettings
    store: BlobStore
    index: Index
    committer: Committer
    offload: Offload
    memory: Memory
    space: Space
    answers: Answers | None = None

    def have_committed(
        self, proposal: Proposal, told: Callable[[Applied | Exception], None]
    ) -> None:
        """Queue a proposal; `told` is called on this event loop with what became of it."""
        loop = asyncio.get_running_loop()
        if self.answers is None or self.answers.loop is not loop:
            self.answers = Answers(loop)
        self.committer.enqueue(proposal, Answer(self.answers, told))

    def commit(self, proposal: Proposal) -> asyncio.Future[Applied]:
        """Queue a proposal; the future, which may be left at any time, says what became of it."""
        waiting: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()

        def told(answer: Applied | Exception) -> None:
            if waiting.done():
                return  # who waited has left
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

        self.have_committed(proposal, told)
        return waiting

    def known(self, digest: bytes) -> bool:
        """Return whether the archive has a blob, and keeps it."""
        with self.index.read() as reader:
            return reader.reliable(digest) and _there(self, reader, digest)


def standing(room: IngestRoom, reader: Reader, scanned: Scanned) -> Outcome | None:
    """Return what is decided without writing: a duplicate, or a policy that refuses."""
    instance = reader.instance(scanned.sop_uid)
    if instance is None:
        return None
    current = instance.version
    if (current.digest, current.transfer_syntax) == (scanned.digest, scanned.transfer_syntax):
        # what is damaged, or gone with its pack, is stored once more
        whole = all(_there(room, reader, digest) for digest in blobs_of(current))
        return Outcome.DUPLICATE if whole else None
    refusals: dict[DuplicatePolicy, Outcome] = {
        "keep": Outcome.KEPT,
        "reject": Outcome.REJECTED,
    }
    return refusals.get(room.settings.duplicates)


def _there(room: IngestRoom, reader: Reader, digest: bytes) -> bool:
    """Say whether a blob has an undamaged place, in a pack that has not been lost."""
    place = reader.blob(digest)
    return place is not None and room.store.has(place.pack)


def propose(
    room: IngestRoom,
    scanned: Scanned,
    bulks: Sequence[Bulk],
    placed: Mapping[bytes, BlobPlace],
    source: str,
) -> Proposal:
    """Return the proposal that stores the object. `placed` are the streamed values, durable already.

    Asks neither disk nor index. Takes as long as compressing takes, or adding up checksums.
    """
    frames, table = _frames(scanned)
    header = digest_of(scanned.header)
    blobs = _encode(room.settings, scanned, header, table, bulks)
    record = _recorder(scanned, header, frames, room.settings.duplicates, source)
    shared = {
        hole.blob
        for bulk, hole in zip(bulks, scanned.holes, strict=True)
        if bulk.stream is not None and hole.blob not in placed
    }

    def judge(reader: Reader, blobs: Sequence[EncodedBlob]) -> Outcome | Sequence[EncodedBlob]:
        outcome = standing(room, reader, scanned)
        if outcome is not None:
            return outcome
        room.space.check()
        return [
            blob
            for blob in blobs
            if not (reader.reliable(blob.digest) and _there(room, reader, blob.digest))
        ]

    return Proposal(record, blobs, list(placed.items()), shared, judge)


def _encode(
    settings: ArchiveSettings,
    scanned: Scanned,
    header: bytes,
    table: bytes,
    bulks: Sequence[Bulk],
) -> list[EncodedBlob]:
    """Return the blobs of an object, each once, ready to be appended; those in streams are not among them."""
    codec, level = settings.codec, settings.zstd_level
    length = len(scanned.header) or 1
    encoded = {
        header: encode_blob(BlobKind.HEADER, header, [scanned.header], length, codec, level=level)
    }
    if table:
        name = digest_of(table)
        encoded[name] = encode_blob(BlobKind.TABLE, name, [table], TABLE_CHUNK, codec, level=level)
    for bulk, hole in zip(bulks, scanned.holes, strict=True):
        if bulk.stream is None and hole.blob not in encoded:
            encoded[hole.blob] = encode_blob(
                BlobKind.BULK, hole.blob, bulk.parts, bulk.chunk_length, bulk.codec, level=level
            )
    return list(encoded.values())


def _frames(scanned: Scanned) -> tuple[Frames | None, bytes]:
    """Return the frame table as the index keeps it, and the bytes of its blob if it needs one."""
    frames = scanned.frames
    if frames is None or len(frames.offsets) <= 8 * INLINE_OFFSETS:
        return frames, b""
    table = frames.offsets
    return msgspec.structs.replace(frames, offsets=b"", table=digest_of(table)), table


def _recorder(
    scanned: Scanned, header: bytes, frames: Frames | None, policy: DuplicatePolicy, source: str
) -> Callable[[int], Commit]:
    """Return what makes the commit record of an object for the stamp it is given."""
    version = Version(
        stamp=0,
        digest=scanned.digest,
        transfer_syntax=scanned.transfer_syntax,
        length=scanned.length,
        header=header,
        prefix=scanned.prefix,
        holes=scanned.holes,
        frames=frames,
        deflated=scanned.deflated,
        source=source,
        problem=scanned.problem,
    )

    def record(stamp: int) -> StoreCommit:
        return store_commit(scanned, msgspec.structs.replace(version, stamp=stamp), policy)

    return record


def store_commit(scanned: Scanned, version: Version, policy: DuplicatePolicy) -> StoreCommit:
    """Return the commit that stores `version` of an object."""
    return StoreCommit(
        stamp=version.stamp,
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
        version=version,
    )
