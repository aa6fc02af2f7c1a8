"""Names of elements as people and URLs write them, to path keys and back.

"PatientName", "00100010", "(0010,0010)"              a top-level element
"RequestAttributesSequence.ScheduledProcedureStepID",
"00400275.00400009"                                   an element in the items of a sequence
"54000100/0/54001010"                                 a bulk value: tags and 0-based items
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from vna.errors import Invalid

__all__ = ["Path", "bulk_path", "describe", "parse_bulk_path", "parse_path", "tag_name"]

_HEX_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", re.ASCII)
_BULK_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_BULK_ITEM = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed attribute name: its path key, its VR, its keyword (dotted inside a sequence)."""

    key: int
    vr: str
    keyword: str


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Return the attribute that `text` names. Raises Invalid where it names none.

    VR and keyword of a tag that the dictionary does not have are "UN" and the tag in hex. Names
    nested deeper than one sequence are refused: the index does not reach there.
    """
    parts = text.split(".")
    if len(parts) > 2:
        raise Invalid(f"{text!r} is nested deeper than one sequence")
    tags = [_tag(part, text) for part in parts]
    keyword = ".".join(_keyword(tag) for tag in tags)
    vrs = [_vr(tag) for tag in tags]
    if len(tags) == 1:
        return Path(tags[0], vrs[0], keyword)
    if vrs[0] not in ("SQ", "UN"):
        raise Invalid(f"{text!r}: {_keyword(tags[0])} is not a sequence")
    return Path(tags[0] << 32 | tags[1], vrs[1], keyword)


def describe(key: int) -> str:
    """Return the keyword of a path key for messages, or its tags in hex where it has none."""
    if key >> 32:
        return f"{_keyword(key >> 32)}.{_keyword(key & 0xFFFFFFFF)}"
    return _keyword(key)


def tag_name(tag: int) -> str:
    """Return a tag as the standard prints it: (0020,000D)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def bulk_path(path: tuple[int, ...]) -> str:
    """Return a bulk value's path as it stands at the end of its BulkDataURI."""
    return "/".join(f"{part:08X}" if i % 2 == 0 else str(part) for i, part in enumerate(path))


def parse_bulk_path(text: str) -> tuple[int, ...]:
    """Return the path that `bulk_path` wrote as `text`. Raises Invalid for anything else."""
    parts = text.split("/")
    if len(parts) % 2 == 0 or len(parts) > 129:
        raise Invalid(f"{text[:64]!r} is not the path of a bulk value")
    path = []
    for i, part in enumerate(parts):
        pattern, base = (_BULK_TAG, 16) if i % 2 == 0 else (_BULK_ITEM, 10)
        if not pattern.fullmatch(part):
            raise Invalid(f"{text[:64]!r} is not the path of a bulk value")
        path.append(int(part, base))
    return tuple(path)


def _tag(part: str, text: str) -> int:
    hexadecimal = _HEX_TAG.fullmatch(part)
    if hexadecimal:
        return int(hexadecimal[1] + hexadecimal[2], 16)
    tag = tag_for_keyword(part) if part else None  # some retired attributes have no keyword
    if tag is None:
        raise Invalid(f"{text[:64]!r} is not the keyword or tag of an attribute")
    return int(tag)


def _keyword(tag: int) -> str:
    return keyword_for_tag(tag) or f"{tag:08X}"


def _vr(tag: int) -> str:
    try:
        # The dictionary says "US or SS" where the pixel representation decides.
        return dictionary_VR(tag)[:2]
    except KeyError:
        return "UN"
