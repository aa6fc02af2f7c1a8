"""Secondary keys: bytes under which the index finds entities, and the plan that uses them.

A key is the attribute's code (one byte), the normalised value cut to MAX_VALUE bytes, and 01; it
holds no 00, which the index keeps for itself. A range of keys is a superset filter: every entity
that matches is in it, matching still decides. Names are filed by each group whole, and word by
word under the code with WORD set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from vna.dicom.attributes import (
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    TABLE,
    Attribute,
)
from vna.dicom.matching import WILDCARD_VRS, alternatives, matchable
from vna.dicom.names import groups, words
from vna.dicom.patterns import has_wildcard, literal_prefix, name_body
from vna.dicom.times import END, date, date_range
from vna.types import Attributes, Level, Query

__all__ = ["MAX_VALUE", "Plan", "keys_of", "plan"]

Range: TypeAlias = tuple[bytes, bytes]
"""Keys from the first (included) to the second (not included)."""

MAX_VALUE: Final = 300
"""Bytes of a value in a key; longer values share keys with what begins alike."""
MAX_RANGES: Final = 512
"""Ranges of one plan; a longer list of values is matched by another key or by looking at all."""
WORD: Final = 0x80

_STOP: Final = b"\1"
_NO_CONTROLS: Final = bytes([2, 2, *range(2, 256)])
_END: Final = b"\xff"
"""Sorts after every value: it is no byte of UTF-8."""

_KEYED: Final[tuple[tuple[tuple[int, str, bytes, bytes], ...], ...]] = tuple(
    tuple(
        (row.path, row.vr, bytes([row.code]), bytes([row.code | WORD]))
        for row in TABLE
        if row.code and row.level is level
    )
    for level in Level
)

_UIDS: Final = (SOP_INSTANCE_UID, SERIES_INSTANCE_UID, STUDY_INSTANCE_UID)

# The attributes with keys, most selective first; a date range ranks with its attribute, a prefix
# or a word, of which there can be very many, after every exact value.
_PREFERENCE: Final = (
    "AccessionNumber",
    "PatientID",
    "RequestAttributesSequence.RequestedProcedureID",
    "RequestAttributesSequence.ScheduledProcedureStepID",
    "StudyID",
    "PatientName",
    "PatientBirthDate",
    "StudyDate",
    "PerformedProcedureStepStartDate",
    "ReferringPhysicianName",
    "SOPClassUID",
    "Modality",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to reach every entity that can match.

    Either the entities of `level` with one of `uids`, or those of `level` under a key in one of
    `ranges`, which are of `attribute`, or all (`scan`). An entity may be under several keys of the
    ranges. `level` is never below the query's. `reason` is for logs and holds no value.
    """

    level: Level
    reason: str
    uids: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    scan: bool = False
    attribute: int = 0

    def is_first(self, attributes: Attributes, number: int, key: bytes) -> bool:
        """Say whether `key` of an entity, in range `number`, is the first that it has in the ranges."""
        if self._has_one_key(attributes):
            return True
        keys = keys_of(self.level, {self.attribute: attributes.get(self.attribute, [])})
        places = (
            (place, each)
            for each in keys
            for place, (low, high) in enumerate(self.ranges)
            if low <= each < high
        )
        return (number, key) == min(places, default=(number, key))

    def _has_one_key(self, attributes: Attributes) -> bool:
        """Say whether that is plain to see: one value, of one group, which is not looked for by words."""
        values = attributes.get(self.attribute, ())
        by_word = self.ranges[0][0][0] & WORD
        return len(self.ranges) == len(values) == 1 and not by_word and "=" not in str(values[0])


def keys_of(level: Level, attributes: Attributes) -> list[bytes]:
    """Return the secondary keys of an entity, without duplicates."""
    keys: list[bytes] = []
    for path, vr, code, word_code in _KEYED[level]:
        for value in attributes.get(path, ()):
            text = str(value).strip(" ")
            if vr == "PN":
                for group in groups(text):
                    if group:
                        keys.append(code + _encode(group) + _STOP)
                        for component in group.split("^"):
                            keys += [word_code + _encode(word) + _STOP for word in words(component)]
            elif vr == "DA":
                day = date(text)
                if day is not None:
                    keys.append(code + b"%08d\1" % day)
            elif text:
                keys.append(code + _encode(text) + _STOP)
    return list(dict.fromkeys(keys)) if len(keys) > 1 else keys


def plan(query: Query) -> Plan:
    """Return the best access path for `query`. Raises Invalid for no query: matching does that."""
    values = {key.path: found for key in query.keys if (found := alternatives(key))}
    for path in _UIDS:
        row = matchable(path, query.level)
        if path in values and row is not None:
            uids = tuple(dict.fromkeys(uid for uid in values[path] if len(uid) <= 64))
            return Plan(row.level, f"{row.keyword} list of {len(uids)}", uids=uids)
    best: tuple[int, Plan] | None = None
    for path, found in values.items():
        row = matchable(path, query.level)
        if row is None or not row.code or len(found) > MAX_RANGES:
            continue
        ranged = [_ranged(row, value, query.fuzzy) for value in found]
        ranges = [pair for exact, pair in ranged if pair is not None]
        if len(ranges) < len(found):
            continue
        exact = all(exact for exact, _ in ranged)
        rank = _PREFERENCE.index(row.keyword) + (0 if exact else len(_PREFERENCE))
        if best is None or rank < best[0]:
            reason = f"{row.keyword} {'exact' if exact else 'range'}"
            distinct = tuple(dict.fromkeys(ranges))
            best = rank, Plan(row.level, reason, ranges=distinct, attribute=path)
    if best is not None:
        return best[1]
    return Plan(query.level, "no key that the index has", scan=True)


def _ranged(row: Attribute, value: str, fuzzy: bool) -> tuple[bool, Range | None]:
    """Return whether `value` names few entities, and the range they are in; None: no range."""
    code = bytes([row.code])
    if row.vr == "PN":
        return _ranged_name(row, value, fuzzy)
    if row.vr == "DA":
        days = date_range(value)
        if days is None:
            return False, None
        low = code + (b"%08d" % days[0] if days[0] else b"")
        high = code + (b"%08d\2" % days[1] if days[1] < END else _END)
        return bool(days[0]) and days[1] < END, (low, high)
    if row.vr in WILDCARD_VRS and has_wildcard(value):
        return False, _prefixed(code, literal_prefix(value))
    return True, _exactly(code, value)


def _ranged_name(row: Attribute, value: str, fuzzy: bool) -> tuple[bool, Range | None]:
    """Use the first group that begins with something; any group of a name is under the same code."""
    for group in groups(value):
        body, free = name_body(group)
        if fuzzy:
            found = _ranged_words(row, body)
        elif free or has_wildcard(body):
            found = _prefixed(bytes([row.code]), literal_prefix(body))
        elif body:
            return True, _exactly(bytes([row.code]), body)
        else:
            continue
        if found is not None:
            return False, found
    return False, None


def _ranged_words(row: Attribute, body: str) -> Range | None:
    """Every name that a fuzzy key matches has a word that begins like the key's longest one."""
    if has_wildcard(body.rstrip("*")):
        return None
    asked = [word for component in body.rstrip("*").split("^") for word in words(component)]
    longest = max(asked, key=len, default="")
    return _prefixed(bytes([row.code | WORD]), longest)


def _exactly(code: bytes, text: str) -> Range:
    key = code + _encode(text)
    return key + _STOP, key + b"\2"


def _prefixed(code: bytes, text: str) -> Range | None:
    """Return the range of values that begin with `text`; None for an empty one."""
    return (code + _encode(text), code + _encode(text) + _END) if text else None


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")[:MAX_VALUE].translate(_NO_CONTROLS)
