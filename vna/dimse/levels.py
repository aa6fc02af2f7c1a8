"""Query/Retrieve levels and unique keys of the two information models (PS3.4 C.6.1, C.6.2)."""

from __future__ import annotations

from typing import Final

from vna.dimse.identifiers import LEVEL, Identifier
from vna.dimse.negotiation import STUDY_ROOT
from vna.dimse.statuses import Refused, Status
from vna.types import Level

__all__ = ["keys_above", "keys_to", "level_of"]

UNIQUE_KEY: Final = {
    Level.PATIENT: 0x0010_0020,
    Level.STUDY: 0x0020_000D,
    Level.SERIES: 0x0020_000E,
    Level.INSTANCE: 0x0008_0018,
}
_LEVELS: Final = {
    "PATIENT": Level.PATIENT,
    "STUDY": Level.STUDY,
    "SERIES": Level.SERIES,
    "IMAGE": Level.INSTANCE,
}


def top_level(sop_class: str) -> Level:
    """Return the root of the information model that a SOP class belongs to."""
    return Level.STUDY if sop_class.startswith(STUDY_ROOT) else Level.PATIENT


def level_of(identifier: Identifier, sop_class: str) -> Level:
    """Return the identifier's level. Raises Refused where its model has no such level."""
    level = _LEVELS.get(identifier.level)
    if level is None or level < top_level(sop_class):
        raise Refused(Status.DOES_NOT_MATCH, "no such Query/Retrieve Level in this model", (LEVEL,))
    return level


def keys_above(level: Level, sop_class: str) -> list[int]:
    """Return the unique keys of the model's levels above `level`, top first."""
    return [UNIQUE_KEY[Level(above)] for above in range(top_level(sop_class), level)]


def keys_to(level: Level) -> list[int]:
    """Return the unique keys that lead to entities of `level` in the archive, top first.

    A study has a UID of its own, so that its patient is not needed to name it.
    """
    if level is Level.PATIENT:
        return [UNIQUE_KEY[level]]
    return [UNIQUE_KEY[at] for at in (Level.STUDY, Level.SERIES, Level.INSTANCE) if at <= level]
