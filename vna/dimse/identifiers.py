"""Identifiers (PS3.4 C.4): the data sets of C-FIND, C-MOVE and C-GET, read and written.

Text is decoded as that of objects is. Answers, which may be many, are written by a plan made once
per query.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from vna._native import decode_text
from vna.dicom.uids import EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from vna.dimse.elements import LONG_FORM, Element, dictionary_vr, read_elements
from vna.errors import Invalid
from vna.types import Attributes, Value

__all__ = ["Answers", "Identifier", "failed_list", "read_identifier"]

CHARACTER_SET: Final = 0x0008_0005
LEVEL: Final = 0x0008_0052
RETRIEVE_AE: Final = 0x0008_0054
AVAILABILITY: Final = 0x0008_0056
FAILED_LIST: Final = 0x0008_0058
UTF_8: Final = "ISO_IR 192"

NUMBERS: Final = {
    "US": "H",
    "SS": "h",
    "UL": "I",
    "SL": "i",
    "FL": "f",
    "FD": "d",
    "UV": "Q",
    "SV": "q",
}
UNKNOWN: Final = "\ufffd"
"""What bytes that are no text are decoded to."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """A request's identifier.

    `keys` are values as sent by path key, text decoded; `sequences` are the top-level sequences
    asked for; `deeper` tells of keys inside nested sequences, which are not matched.
    """

    level: str
    keys: dict[int, str]
    sequences: tuple[int, ...]
    deeper: bool


def read_identifier(data: bytes, transfer_syntax: str) -> Identifier:
    """Read an identifier. Raises Invalid where it cannot be read."""
    elements = read_elements(data, transfer_syntax)
    character_set = _character_set(elements) or b""
    big = transfer_syntax == EXPLICIT_VR_BIG_ENDIAN
    keys: dict[int, str] = {}
    sequences = []
    deeper = False
    for tag, vr, raw, items in elements:
        if tag & 0xFFFF == 0 or tag == CHARACTER_SET:
            continue
        if vr != "SQ":
            keys[tag] = _text(vr, raw, character_set, big=big)
            continue
        sequences.append(tag)
        for item in items:
            named = _character_set(item)
            own = character_set if named is None else named
            for inner, inner_vr, inner_raw, _ in item:
                if inner_vr == "SQ":
                    deeper = True
                elif inner & 0xFFFF and inner != CHARACTER_SET:
                    keys[tag << 32 | inner] = _text(inner_vr, inner_raw, own, big=big)
    return Identifier(keys.pop(LEVEL, "").strip().upper(), keys, tuple(sequences), deeper)


def _character_set(elements: Iterable[Element]) -> bytes | None:
    """Return the Specific Character Set of a data set or item; None where it has none of its own."""
    return next((raw for tag, _, raw, _ in elements if tag == CHARACTER_SET), None)


def _text(vr: str, raw: bytes, character_set: bytes, *, big: bool) -> str:
    """Return a value as text, multiple values joined by a backslash."""
    if vr in NUMBERS:
        code = struct.Struct((">" if big else "<") + NUMBERS[vr])
        whole = len(raw) // code.size * code.size
        return "\\".join(str(number) for (number,) in code.iter_unpack(raw[:whole]))
    text = decode_text(raw, vr, character_set)
    if UNKNOWN in text and UNKNOWN.encode() not in raw:
        raise Invalid("the identifier has text that is not in its character set")
    return text.strip(" \0")


class Answers:
    """Writes the answers of one query: each key asked for, empty where nothing is known.

    `paths` are the path keys to answer, `sequences` those top-level sequences that are answered
    even when nothing inside them is known.
    """

    def __init__(
        self,
        transfer_syntax: str,
        level: str,
        ae_title: str,
        paths: Iterable[int],
        sequences: Iterable[int] = (),
    ) -> None:
        self._encode = _element_encoder(transfer_syntax)
        self._big = transfer_syntax == EXPLICIT_VR_BIG_ENDIAN
        items: dict[int, list[int]] = {sequence: [] for sequence in sequences}
        flat = {LEVEL, RETRIEVE_AE, AVAILABILITY}
        for path in paths:
            if path >> 32:
                items.setdefault(path >> 32, []).append(path)
            else:
                flat.add(path)
        flat -= {CHARACTER_SET}
        constants: dict[int, list[Value]] = {LEVEL: [level], RETRIEVE_AE: [ae_title]}
        self._plan = [
            (tag, dictionary_vr(tag), sorted(items.get(tag, ())), constants.get(tag))
            for tag in sorted(flat | items.keys())
        ]
        self._utf_8 = self._encode(CHARACTER_SET, "CS", UTF_8.encode())

    def write(self, attributes: Attributes) -> bytes:
        """Return the identifier of one answer, in UTF-8 where ASCII does not do."""
        out = []
        get = attributes.get
        for tag, vr, inner, constant in self._plan:
            if vr == "SQ":
                out.append(self._sequence(tag, inner, attributes))
            else:
                out.append(self._encode(tag, vr, self._raw(vr, constant or get(tag) or ())))
        body = b"".join(out)
        if body.isascii() or not any(_is_coded(values) for values in attributes.values()):
            return body
        at = sum(
            len(done)
            for (tag, *_), done in zip(self._plan, out, strict=True)
            if tag < CHARACTER_SET
        )
        return body[:at] + self._utf_8 + body[at:]

    def _sequence(self, tag: int, inner: list[int], attributes: Attributes) -> bytes:
        """Return a sequence, its items apart as `vna.dicom.json` has them.

        The index runs items together: item n gets value n where all attributes that have any have
        as many; else nobody can say whose a value is, and one item has them all.
        """
        columns = [(path & 0xFFFF_FFFF, attributes.get(path) or []) for path in inner]
        counts = {len(values) for _, values in columns if values}
        cuts = [slice(None)]
        if len(counts) < 2:
            cuts = [slice(n, n + 1) for n in range(max(counts, default=0))]
        items = []
        for cut in cuts:
            body = b"".join(
                self._encode(leaf, vr, self._raw(vr, values[cut]))
                for leaf, values in columns
                for vr in (dictionary_vr(leaf),)
            )
            header = struct.pack(">HHI" if self._big else "<HHI", 0xFFFE, 0xE000, len(body))
            items.append(header + body)
        return self._encode(tag, "SQ", b"".join(items))

    def _raw(self, vr: str, values: Iterable[Value]) -> bytes:
        if vr in NUMBERS:
            code = (">" if self._big else "<") + NUMBERS[vr]
            kind = float if vr in {"FL", "FD"} else int
            try:
                return b"".join(struct.pack(code, kind(value)) for value in values)
            except (ValueError, OverflowError, struct.error):
                return b""  # the object has it in another VR, and it is no number of this one
        raw = "\\".join(map(str, values)).encode("utf-8", "replace")
        if len(raw) % 2:
            raw += b"\0" if vr == "UI" else b" "
        return raw


def failed_list(transfer_syntax: str, sop_uids: Iterable[str]) -> bytes:
    """Return the identifier with the Failed SOP Instance UID List (PS3.4 C.4.2.1.4.2)."""
    raw = "\\".join(sop_uids).encode("ascii", "replace")
    return _element_encoder(transfer_syntax)(FAILED_LIST, "UI", raw + b"\0" * (len(raw) % 2))


def _is_coded(values: list[Value]) -> bool:
    return any(isinstance(value, str) and not value.isascii() for value in values)


def _element_encoder(transfer_syntax: str) -> Callable[[int, str, bytes], bytes]:
    """Return what writes one element of a transfer syntax: tag, VR, value of even length."""
    if transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN:
        pack = struct.Struct("<HHI").pack
        return lambda tag, _, raw: pack(tag >> 16, tag & 0xFFFF, len(raw)) + raw
    order = ">" if transfer_syntax == EXPLICIT_VR_BIG_ENDIAN else "<"
    short = struct.Struct(order + "HH2sH").pack
    long = struct.Struct(order + "HH2s2xI").pack

    def explicit(tag: int, vr: str, raw: bytes) -> bytes:
        if vr in LONG_FORM:
            return long(tag >> 16, tag & 0xFFFF, vr.encode(), len(raw)) + raw
        if len(raw) > 0xFFFE:  # PS3.5 6.2.2: a value too long for its VR is sent as UN
            return long(tag >> 16, tag & 0xFFFF, b"UN", len(raw)) + raw
        return short(tag >> 16, tag & 0xFFFF, vr.encode(), len(raw)) + raw

    return explicit
