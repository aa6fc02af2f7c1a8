"""What a configuration is once it has been validated: each room's own settings."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vna.archive import (
    ArchiveSettings,
    CompactionSettings,
    RetentionSettings,
    ScrubSettings,
)
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.types import Remote
from vna.web import WebSettings
from vna.workflow import PolicySettings, PrefetchingSettings, PrefetchRule, TieringSettings

__all__ = ["Config", "ListenSettings", "ProcessSettings"]

MOST_WORKERS_BY_DEFAULT = 4
"""Past four processes on one disk, syncs share less and gain little; say more where it pays."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where the fronts listen. Port 0 takes any free one."""

    bind: str = "127.0.0.1"
    dimse_port: int = 11112
    http_port: int = 8080
    allow_insecure: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.bind).is_loopback


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """How many processes serve, and how long they may take to finish what they began."""

    workers: int = 0
    drain_s: float = 30.0

    @property
    def worker_count(self) -> int:
        """The number of workers: as set, or one for each processor up to four."""
        processors = len(os.sched_getaffinity(0))
        return self.workers or min(processors, MOST_WORKERS_BY_DEFAULT)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration.

    `values` are the validated settings by section and key, `tables` those of the sections of which
    there may be several.
    """

    listen: ListenSettings
    process: ProcessSettings
    log: LogSettings
    archive: ArchiveSettings
    scrub: ScrubSettings
    compaction: CompactionSettings
    retention: RetentionSettings
    tiering: TieringSettings
    policies: tuple[PolicySettings, ...]
    prefetching: PrefetchingSettings
    prefetches: tuple[PrefetchRule, ...]
    dimse: DimseSettings
    web: WebSettings
    remotes: tuple[Remote, ...]
    values: Mapping[str, Mapping[str, object]]
    tables: Mapping[str, Sequence[Mapping[str, object]]]

    @property
    def works_in_background(self) -> bool:
        """Whether there is anything to do beside serving."""
        retains = self.retention.deleted_days or self.retention.versions_days
        return bool(
            self.scrub.rate_bytes_s
            or self.compaction.rate_bytes_s
            or retains
            or self.moves
            or self.prefetches_in_background
        )

    @property
    def moves(self) -> bool:
        """Whether anything is moved between tiers in the background."""
        full = any(tier.high_watermark_percent for tier in self.archive.tiers)
        return bool(self.tiering.rate_bytes_s and (self.policies or full))

    @property
    def prefetches_in_background(self) -> bool:
        """Whether priors are made hot by themselves."""
        return bool(self.prefetching.rate_bytes_s and self.prefetches)

    def document(self) -> dict[str, object]:
        """Return the effective settings as plain data; `validate` of it gives an equal Config."""
        sections: dict[str, object] = {
            section: {key: _plain(value) for key, value in values.items()}
            for section, values in self.values.items()
        }
        for section, tables in self.tables.items():
            sections[section] = [
                {key: _plain(value) for key, value in table.items()} for table in tables
            ]
        return sections


def _plain(value: object) -> object:
    match value:
        case None:
            return ""
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value
