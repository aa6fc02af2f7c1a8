"""What becomes of an object that has arrived: nothing new, or a proposal to commit.

All of it in one visit to a thread: it reads the index and compresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from vna.archive.commit import Committer, Proposal
from vna.archive.memory import Memory
from vna.archive.offload import Offload
from vna.archive.settings import ArchiveSettings
from vna.archive.space import Space
from vna.dicom.scan import Scanned
from vna.index import Index, Outcome
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

__all__ = ["Buffer", "Bulk", "IngestRoom", "prepare", "standing", "store_commit"]

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


@dataclass(frozen=True, slots=True)
class IngestRoom:
    """What every ingest of an archive shares."""

    settings: ArchiveSettings
    store: BlobStore
    index: Index
    committer: Committer
    offload: Offload
    memory: Memory
    space: Space

    def known(self, digest: bytes) -> bool:
        """Return whether the archive has a blob, and keeps it."""
        with self.index.read() as reader:
            return reader.reliable(digest)


def standing(room: IngestRoom, scanned: Scanned) -> Outcome | None:
    """Return what is decided without writing: a duplicate, or a policy that refuses."""
    with room.index.read() as reader:
        instance = reader.instance(scanned.sop_uid)
        whole = instance is not None and reader.whole(instance.version)
    if instance is None:
        return None
    current = instance.version
    if (current.digest, current.transfer_syntax) == (scanned.digest, scanned.transfer_syntax):
        return Outcome.DUPLICATE if whole else None  # what is damaged is stored once more
    refusals: dict[DuplicatePolicy, Outcome] = {
        "keep": Outcome.KEPT,
        "reject": Outcome.REJECTED,
    }
    return refusals.get(room.settings.duplicates)


def prepare(
    room: IngestRoom,
    scanned: Scanned,
    bulks: Sequence[Bulk],
    placed: Mapping[bytes, BlobPlace],
    source: str,
) -> Outcome | Proposal:
    """Return what stands already, or the proposal that stores the object.

    `placed` are the streamed values, durable already. Raises Full.
    """
    outcome = standing(room, scanned)
    if outcome is not None:
        return outcome
    room.space.check()
    frames, table = _frames(scanned)
    header = digest_of(scanned.header)
    blobs = _encode(room, scanned, header, table, bulks)
    record = _recorder(scanned, header, frames, room.settings.duplicates, source)
    parts = {header, *(hole.blob for hole in scanned.holes), *([digest_of(table)] if table else [])}
    shared = parts.difference((blob.digest for blob in blobs), placed)
    return Proposal(record, blobs, list(placed.items()), shared)


def _encode(
    room: IngestRoom, scanned: Scanned, header: bytes, table: bytes, bulks: Sequence[Bulk]
) -> list[EncodedBlob]:
    """Return the blobs that the archive does not have yet, ready to be appended."""
    settings = room.settings
    wanted: dict[bytes, tuple[BlobKind, list[Buffer], int, CodecName]]
    wanted = {header: (BlobKind.HEADER, [scanned.header], len(scanned.header) or 1, settings.codec)}
    if table:
        wanted[digest_of(table)] = (BlobKind.TABLE, [table], TABLE_CHUNK, settings.codec)
    for bulk, hole in zip(bulks, scanned.holes, strict=True):
        if bulk.stream is None:
            wanted[hole.blob] = (BlobKind.BULK, bulk.parts, bulk.chunk_length, bulk.codec)
    with room.index.read() as reader:
        missing = [digest for digest in wanted if not reader.reliable(digest)]
    encoded = []
    for digest in missing:
        kind, parts, chunk_length, codec = wanted[digest]
        level = settings.zstd_level
        encoded.append(encode_blob(kind, digest, parts, chunk_length, codec, level=level))
    return encoded


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
