"""What differs between the logical contents of two indexes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vna.index.dump import KINDS, Line

__all__ = ["Difference", "differences"]

_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Difference:
    """One line that two dumps do not share: `what` is "missing", "surplus", or names of fields."""

    kind: str
    name: str
    what: str


def differences(expected: Iterator[Line], found: Iterator[Line]) -> Iterator[Difference]:
    """Yield what sets the dump `found` apart from the dump `expected`, in bounded memory."""
    ours, theirs = next(expected, None), next(found, None)
    while ours is not None or theirs is not None:
        if theirs is None or (ours is not None and _order(ours) < _order(theirs)):
            assert ours is not None, "one of both is there"
            yield Difference(*ours[:2], "missing")
            ours = next(expected, None)
        elif ours is None or _order(theirs) < _order(ours):
            yield Difference(*theirs[:2], "surplus")
            theirs = next(found, None)
        else:
            if ours != theirs:
                yield Difference(*ours[:2], _fields(ours, theirs))
            ours, theirs = next(expected, None), next(found, None)


def _order(line: Line) -> tuple[int, str]:
    return _RANK[line[0]], line[1]


def _fields(ours: Line, theirs: Line) -> str:
    if not (isinstance(ours[2], dict) and isinstance(theirs[2], dict)):
        return "value"
    names = {*ours[2], *theirs[2]}
    return ", ".join(sorted(name for name in names if ours[2].get(name) != theirs[2].get(name)))
