"""One query for C-FIND and QIDO-RS (PS3.4 C.2.2, PS3.18 10.6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vna.types.objects import Attributes, Level


@dataclass(frozen=True, slots=True)
class Key:
    """A matching key: `value` as sent, decoded to Unicode, multiple values still joined by a backslash."""

    path: int
    value: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: entities of `level` that match every key.

    Keys of levels above `level` match the parents (relational). An empty value is universal
    matching and asks for the attribute to be returned. `returned` is the set of path keys wanted
    in answers, or None for all that the index has. `combine_datetime` matches date and time
    ranges as one.
    """

    level: Level
    keys: tuple[Key, ...] = ()
    returned: frozenset[int] | None = None
    fuzzy: bool = False
    combine_datetime: bool = False
    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """One answer: attributes of its level and of all levels above, computed counts included.

    The UIDs are empty strings for levels below the answer's.
    """

    level: Level
    attributes: Attributes
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    extra: dict[str, str] = field(default_factory=dict)
