"""Storage: blobs and commits as records of append-only packs on tiers. Knows no patient.

Glossary
    pack         a file of records, appended to by one process, then sealed (docs/format/pack.md)
    record       a blob or a commit with its header, chunk table and payload
    chunk        a run of a blob that is stored, checked and decoded on its own
    stride       the length of every chunk of a blob but the last
    codec        how a chunk is stored: raw, zstd, lanes (docs/format/codecs.md), weave (docs/format/weave.md)
    seal         the record that says that a pack is complete
    torn tail    what an unsynced write left at the end of a pack; never acknowledged
    orphan       a pack without a seal whose writer is gone
    tier         a place that keeps packs (docs/design/tiers.md); packs grow on the hot one only
    fresh       memory in which the workers of an archive keep what they appended last
    extent       a byte range of a far pack, kept in the cache on the SSD
    mark         a pack and the offset up to which it is written

An object becomes durable in this order: `encode_blob` (any thread), `PackWriter.append` (blobs,
then the commit that needs them), `PackWriter.sync`. Large blobs come first, by `BlobStore.stream`.
"""

from vna._native import EncodedBlob, Fresh
from vna.storage.codecs import CodecName
from vna.storage.copies import CopiedPack, PackFolder, copy_file, digest_file
from vna.storage.encode import digest_of, encode_blob
from vna.storage.extents import ExtentCache
from vna.storage.faults import AwayPack, MissingPack, write_error
from vna.storage.format import pack_name
from vna.storage.lift import LARGE_RECORD
from vna.storage.orphan import OrphanPack
from vna.storage.present import PresentBlobs
from vna.storage.store import BlobStore, PackInfo, StorageSettings
from vna.storage.stream import BlobStream
from vna.storage.tier import HotTier, PackFile, PackReader, Tier
from vna.storage.tiers.breaker import BreakerTier
from vna.storage.tiers.cached import CachedTier, Flight
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.tiers.s3 import S3Settings, S3Tier
from vna.storage.tiers.wrapping import MarkedTier, MeteredTier, QueuedTier, WrappedTier
from vna.storage.tierset import HOT, TierSet, tier_of
from vna.storage.walk import BlobRecord, CommitRecord, DamagedRecord, Record, RecordWalk
from vna.storage.whole import LargeBlob, WholePack
from vna.storage.writer import PackMark, PackWriter, commit_record
from vna.storage.zstd_frames import framed

__all__ = [
    "HOT",
    "LARGE_RECORD",
    "AwayPack",
    "BlobRecord",
    "BlobStore",
    "BlobStream",
    "BreakerTier",
    "CachedTier",
    "CodecName",
    "CommitRecord",
    "CopiedPack",
    "DamagedRecord",
    "DirectoryTier",
    "EncodedBlob",
    "ExtentCache",
    "Flight",
    "Fresh",
    "HotTier",
    "LargeBlob",
    "MarkedTier",
    "MeteredTier",
    "MissingPack",
    "OrphanPack",
    "PackFile",
    "PackFolder",
    "PackInfo",
    "PackMark",
    "PackReader",
    "PackWriter",
    "PresentBlobs",
    "QueuedTier",
    "Record",
    "RecordWalk",
    "S3Settings",
    "S3Tier",
    "StorageSettings",
    "Tier",
    "TierSet",
    "WholePack",
    "WrappedTier",
    "commit_record",
    "copy_file",
    "digest_file",
    "digest_of",
    "encode_blob",
    "framed",
    "pack_name",
    "tier_of",
    "write_error",
]
