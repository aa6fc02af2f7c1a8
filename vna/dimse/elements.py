"""The elements of an identifier as they stand: tags, VRs, raw values, items of sequences.

Identifiers come from peers, so that every length is checked and nesting is bounded. Data sets of
objects never pass here: they belong to the native scan.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR

from vna.dicom.uids import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from vna.errors import Invalid

__all__ = ["LONG_FORM", "Element", "dictionary_vr", "read_elements"]

LONG_FORM: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
"""VRs with a 32-bit length in Explicit VR (PS3.5 7.1.2)."""
UNDEFINED: Final = 0xFFFF_FFFF
DELIMITERS: Final = 0xFFFE
ITEM: Final = 0xFFFE_E000
ITEM_END: Final = 0xFFFE_E00D
SEQUENCE_END: Final = 0xFFFE_E0DD
MAX_DEPTH: Final = 8
MAX_ELEMENTS: Final = 16_384
"""Each takes a hundred times its bytes while it is read; no query has a hundredth of so many."""


class Element(NamedTuple):
    """An element: `raw` is its value, or `items` those of a sequence."""

    tag: int
    vr: str
    raw: bytes
    items: list[list[Element]]


@lru_cache(maxsize=4096)
def dictionary_vr(tag: int) -> str:
    """Return the VR that the data dictionary gives a tag; UN when it knows none."""
    try:
        return dictionary_VR(tag)[:2]  # "US or SS" counts as US
    except KeyError:
        return "UN"


def read_elements(data: bytes, transfer_syntax: str) -> list[Element]:
    """Read all elements of a data set. Raises Invalid where it is broken."""
    reader = _Reader(data, transfer_syntax)
    try:
        return reader.elements(len(data), ended_by=0, depth=0)
    except struct.error as error:
        raise Invalid("the identifier is cut short") from error


class _Reader:
    def __init__(self, data: bytes, transfer_syntax: str, at: int = 0, read: int = 0) -> None:
        order = ">" if transfer_syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
        self._data = data
        self._at = at
        self._read = read
        self._implicit = transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN
        self._tag = struct.Struct(order + "HH")
        self._long = struct.Struct(order + "I")
        self._short = struct.Struct(order + "H")

    def elements(self, end: int, *, ended_by: int, depth: int) -> list[Element]:
        """Read up to `end`, or to the delimiter `ended_by` where the length is not defined."""
        found: list[Element] = []
        while self._at < end:
            tag = self._next_tag()
            vr, length = self._header(tag)
            if tag == ended_by:
                return found
            if tag >> 16 == DELIMITERS:
                raise Invalid(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) where an element was due")
            found.append(self._element(tag, vr, length, end, depth))
        if ended_by:
            raise Invalid("the identifier is cut short")
        return found

    def _element(self, tag: int, vr: str, length: int, end: int, depth: int) -> Element:
        if vr == "UN" and length == UNDEFINED and not self._implicit:
            return self._unknown(tag, end, depth)
        if vr == "SQ" or length == UNDEFINED:
            return Element(tag, "SQ", b"", self._items(length, end, depth + 1))
        return Element(tag, vr, self._take(length, end), [])

    def _unknown(self, tag: int, end: int, depth: int) -> Element:
        """Read a sequence of whose VR its writer knew nothing.

        It is in Implicit VR Little Endian, whatever is around it (PS3.5 6.2.2 note 2).
        """
        inner = _Reader(self._data, IMPLICIT_VR_LITTLE_ENDIAN, self._at, self._read)
        items = inner._items(UNDEFINED, end, depth + 1)
        self._at, self._read = inner._at, inner._read
        return Element(tag, "SQ", b"", items)

    def _items(self, length: int, end: int, depth: int) -> list[list[Element]]:
        if depth > MAX_DEPTH:
            raise Invalid("the identifier is nested too deep")
        stop = end if length == UNDEFINED else self._at + length
        if stop > end:
            raise Invalid("the identifier is cut short")
        items: list[list[Element]] = []
        while self._at < stop:
            tag, size = self._next_tag(), self._number(self._long)
            if tag == SEQUENCE_END:
                return items
            if tag != ITEM:
                raise Invalid(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) where an item was due")
            if size == UNDEFINED:
                items.append(self.elements(stop, ended_by=ITEM_END, depth=depth))
            elif self._at + size <= stop:
                items.append(self.elements(self._at + size, ended_by=0, depth=depth))
            else:
                raise Invalid("the identifier is cut short")
        return items

    def _header(self, tag: int) -> tuple[str, int]:
        if self._implicit or tag >> 16 == DELIMITERS:
            return dictionary_vr(tag), self._number(self._long)
        vr = self._data[self._at : self._at + 2].decode("latin-1")
        self._at += 2
        if vr in LONG_FORM:
            self._at += 2
            return vr, self._number(self._long)
        return vr, self._number(self._short)

    def _next_tag(self) -> int:
        self._read += 1
        if self._read > MAX_ELEMENTS:
            raise Invalid(f"the identifier has more than {MAX_ELEMENTS} elements and items")
        group, element = self._tag.unpack_from(self._data, self._at)
        self._at += 4
        return int(group << 16 | element)

    def _number(self, form: struct.Struct) -> int:
        (number,) = form.unpack_from(self._data, self._at)
        self._at += form.size
        return int(number)

    def _take(self, length: int, end: int) -> bytes:
        if self._at + length > end:
            raise Invalid("the identifier is cut short")
        self._at += length
        return self._data[self._at - length : self._at]
