"""From validated values to each room's own settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vna.archive import ArchiveSettings, ScrubSettings
from vna.config.model import Config, ListenSettings, ProcessSettings
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.types import Remote
from vna.web import WebSettings

__all__ = ["build"]


def build(values: Mapping[str, Mapping[str, Any]], remotes: Sequence[Mapping[str, Any]]) -> Config:
    """Return the rooms' settings. `values` are complete and valid, section by section."""
    known = tuple(Remote(**{**remote, "may": frozenset(remote["may"])}) for remote in remotes)
    return Config(
        listen=ListenSettings(**values["listen"]),
        process=ProcessSettings(**values["process"]),
        log=LogSettings(**values["log"]),
        archive=ArchiveSettings(**values["archive"]),
        scrub=ScrubSettings(**values["scrub"]),
        dimse=DimseSettings(**values["dimse"], remotes=known),
        web=WebSettings(**values["web"], ae_title=values["dimse"]["ae_title"]),
        remotes=known,
        values=values,
    )
