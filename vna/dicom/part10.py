"""Preamble and file meta information for objects that came without (PS3.10 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

__all__ = ["IMPLEMENTATION_CLASS_UID", "IMPLEMENTATION_VERSION_NAME", "file_prefix"]

IMPLEMENTATION_CLASS_UID: Final = "2.25.154779568381731972707946692025985827030"
"""This implementation, in association negotiation and in files; derived from a UUID (PS3.5 B.2)."""
IMPLEMENTATION_VERSION_NAME: Final = "VNA_0_1"

_PREAMBLE: Final = bytes(128) + b"DICM"
_VERSION: Final = struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\x00\x01")


def file_prefix(*, sop_class: str, sop_uid: str, transfer_syntax: str, ae_title: str = "") -> bytes:
    """Return the bytes to put in front of a data set so that both make a Part 10 file.

    `ae_title` is the Source Application Entity Title, left out when empty.
    """
    before, after = _around(sop_class, transfer_syntax, ae_title)
    uid = _uid(0x0003, sop_uid)
    length = len(before) + len(uid) + len(after)
    group_length = struct.pack("<HH2sHI", 2, 0x0000, b"UL", 4, length)
    return b"".join((_PREAMBLE, group_length, before, uid, after))


@lru_cache(maxsize=256)  # objects that follow one another differ in their UID alone
def _around(sop_class: str, transfer_syntax: str, ae_title: str) -> tuple[bytes, bytes]:
    """Return the elements before and after that of the SOP instance UID."""
    after = (
        _uid(0x0010, transfer_syntax)
        + _uid(0x0012, IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" ")
        + (_element(0x0016, b"AE", ae_title, b" ") if ae_title else b"")
    )
    return _VERSION + _uid(0x0002, sop_class), after


def _uid(element: int, uid: str) -> bytes:
    return _element(element, b"UI", uid, b"\0")


def _element(element: int, vr: bytes, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += padding
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value
