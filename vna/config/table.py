"""Every setting: its kind, its default (the room's own), and what it means.

`config/vna.toml` and `docs/settings.md` are written from this table, and a file of settings is
validated against it; `vna.config.build` hands the values to the rooms.
"""

from __future__ import annotations

from vna.config.keeping import KEEPING
from vna.config.section import Section
from vna.config.serving import SERVING
from vna.config.several import TABLES

__all__ = ["SECTIONS", "TABLES"]

_BY_NAME = {section.name: section for section in (*SERVING, *KEEPING)}
_ORDER = (
    "listen",
    "process",
    "log",
    "archive",
    "scrub",
    "compaction",
    "retention",
    "tiering",
    "prefetching",
    "dimse",
    "web",
)

SECTIONS: tuple[Section, ...] = tuple(_BY_NAME[name] for name in _ORDER)
"""The tables of which there is one each, in the order in which they are shown."""
