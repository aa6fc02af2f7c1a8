"""Settings of the archive room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vna.archive.identity import Identity
from vna.archive.tiers import TierSettings, hot_path
from vna.index import IndexSettings
from vna.storage import StorageSettings
from vna.types import DuplicatePolicy

__all__ = ["ArchiveSettings"]


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """How an archive stores and serves.

    `data` is the folder that holds everything. `duplicates` decides on a SOP Instance UID that is
    stored already with other bytes. An object's bulk value streams into a pack of its own once
    the object passes `stream_threshold_bytes`, or all that arrive in this process together
    `memory_in_flight_bytes`. `threads` serve blocking reads and encoding. Packs are written past the
    page cache where `direct_writes` says so; then workers keep `fresh_memory_bytes` of what they
    wrote last. They hold `index_memory_bytes` of the index in memory. New
    objects are refused while less than `min_free_bytes` are free where the archive is, or while
    its data sets add up to `quota_bytes` (0: any number).
    `tiers` go from hot to cold; without any, all packs are in the data folder. What is read from
    far tiers is kept in the data folder, up to `cache_bytes`, what had to be decoded in memory, up to
    `decoded_cache_bytes` of each process, and the log of what was read up to `access_log_bytes` (0:
    there is none).
    """

    data: Path
    duplicates: DuplicatePolicy = "replace"
    stream_threshold_bytes: int = 32 << 20
    memory_in_flight_bytes: int = 256 << 20
    max_header_bytes: int = 256 << 20
    threads: int = 8
    pack_size_bytes: int = 1 << 30
    direct_writes: bool = True
    fresh_memory_bytes: int = 1 << 30
    codec: Literal["raw", "zstd", "fast", "strong"] = "raw"
    zstd_level: int = 1
    index_map_bytes: int = 4 << 30
    index_memory_bytes: int = 4 << 30
    min_free_bytes: int = 1 << 30
    quota_bytes: int = 0
    cache_bytes: int = 10 << 30
    decoded_cache_bytes: int = 64 << 20
    access_log_bytes: int = 256 << 20
    tiers: tuple[TierSettings, ...] = ()

    @property
    def packs(self) -> Path:
        """The folder of the packs that grow: that of the first tier."""
        return hot_path(self.data, self.tiers)

    def storage(self, identity: Identity) -> StorageSettings:
        """Return the settings of the archive's packs."""
        return StorageSettings(
            path=self.packs,
            node=identity.node,
            pack_size_bytes=self.pack_size_bytes,
            decoded_cache_bytes=self.decoded_cache_bytes,
        )

    def index(self, identity: Identity) -> IndexSettings:
        """Return the settings of the archive's index."""
        return IndexSettings(
            path=self.data / "index",
            archive_uuid=str(identity.archive),
            map_size_bytes=self.index_map_bytes,
            memory_bytes=self.index_memory_bytes,
        )
