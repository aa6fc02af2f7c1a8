"""From validated values to each room's own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vna.archive import (
    ArchiveSettings,
    CompactionSettings,
    RetentionSettings,
    ScrubSettings,
    TierSettings,
)
from vna.config.model import Config, ListenSettings, ProcessSettings
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.types import Remote
from vna.web import WebSettings
from vna.workflow import PolicySettings, PrefetchingSettings, PrefetchRule, TieringSettings

__all__ = ["build"]


def build(
    values: Mapping[str, Mapping[str, Any]], tables: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Config:
    """Return the rooms' settings. `values` and `tables` are complete and valid."""
    known = tuple(
        Remote(**{**remote, "may": frozenset(remote["may"])}) for remote in tables["remote"]
    )
    tiers = tuple(TierSettings(**tier) for tier in tables["tier"])
    archive = ArchiveSettings(**values["archive"], tiers=tiers)
    if tiers:  # what arrives is stored as the first tier says
        archive = replace(archive, codec=tiers[0].codec)
    return Config(
        listen=ListenSettings(**values["listen"]),
        process=ProcessSettings(**values["process"]),
        log=LogSettings(**values["log"]),
        archive=archive,
        scrub=ScrubSettings(**values["scrub"]),
        compaction=CompactionSettings(**values["compaction"]),
        retention=RetentionSettings(**values["retention"]),
        tiering=TieringSettings(**values["tiering"]),
        policies=tuple(PolicySettings(**policy) for policy in tables["policy"]),
        prefetching=PrefetchingSettings(**values["prefetching"]),
        prefetches=tuple(
            PrefetchRule(**{**each, "send_to": each["send_to"] or ""})
            for each in tables["prefetch"]
        ),
        dimse=DimseSettings(**values["dimse"], remotes=known),
        web=WebSettings(**values["web"], ae_title=values["dimse"]["ae_title"]),
        remotes=known,
        values=values,
        tables=tables,
    )
