"""DICOM JSON (PS3.18 F) of indexed attributes, for query answers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from vna.dicom.attributes import BY_PATH
from vna.dicom.paths import describe, parse_path
from vna.types import Attributes, Value

__all__ = ["attributes_json", "attributes_json_bytes", "element_json"]

_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_VRS: Final = {path: row.vr for path, row in BY_PATH.items()}
_NAMES: Final = {path: f"{path:08X}" for path in BY_PATH if path >> 32 == 0}

_encoder = msgspec.json.Encoder()


def attributes_json(attributes: Attributes) -> dict[str, Any]:
    """Return the DICOM JSON model of `attributes`, ordered by tag.

    Sequences are put together again from their path keys. The index runs items together: where
    every attribute of a sequence has the same number of values, value n goes to item n; where the
    numbers differ, an item of its own holds what cannot be told apart.
    """
    elements: dict[int, Any] = {}
    sequences: dict[int, dict[int, list[Value]]] = {}
    for path, values in attributes.items():
        if path >> 32:
            sequences.setdefault(path >> 32, {})[path & 0xFFFFFFFF] = values
        else:
            elements[path] = element_json(_VRS.get(path) or _vr(path), values)
    for tag, members in sequences.items():
        elements[tag] = _sequence(tag, members)
    return {_NAMES.get(tag) or f"{tag:08X}": elements[tag] for tag in sorted(elements)}


def attributes_json_bytes(attributes: Attributes) -> bytes:
    """Return `attributes_json` as UTF-8 JSON."""
    return _encoder.encode(attributes_json(attributes))


def element_json(vr: str, values: Iterable[Value]) -> dict[str, Any]:
    """Return one element: its VR, and its values unless there are none (PS3.18 F.2.2)."""
    if vr == "PN":
        found: list[Any] = [_name(str(value)) for value in values]
    elif vr in ("IS", "DS"):
        found = [_number(value) for value in values]
    else:
        found = [None if value == "" else value for value in values]
    while found and found[-1] is None:
        found.pop()
    return {"vr": vr, "Value": found} if found else {"vr": vr}


def _name(name: str) -> dict[str, str] | None:
    groups = zip(_GROUPS, name.split("="), strict=False)
    return {label: group for label, group in groups if group} or None


def _number(value: Value) -> int | float | str | None:
    """Return a number, or the text where it is none: the model allows both (PS3.18 F.2.3)."""
    if not isinstance(value, str):
        return value
    text = value.strip(" ")
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text or None


def _sequence(tag: int, members: dict[int, list[Value]]) -> dict[str, Any]:
    counts = {len(values) for values in members.values()}
    members = {member: members[member] for member in sorted(members)}
    vrs = {member: _vr(tag << 32 | member) for member in members}
    if len(counts) == 1 and counts != {0}:
        items = [
            {f"{m:08X}": element_json(vrs[m], values[i : i + 1]) for m, values in members.items()}
            for i in range(counts.pop())
        ]
    else:
        items = [{f"{m:08X}": element_json(vrs[m], values) for m, values in members.items()}]
    return {"vr": "SQ", "Value": items}


def _vr(path: int) -> str:
    return _VRS.get(path) or parse_path(describe(path)).vr
