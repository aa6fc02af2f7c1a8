"""Big endian values to the little endian octets that bulk data is sent in (PS3.18 8.7.3.3.1)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Final

from vna.dicom.uids import transfer_syntax
from vna.web.multipart import Buffer

__all__ = ["WORDS", "is_big_endian", "little_endian"]

WORDS: Final[Mapping[str, str]] = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}
"""Array type code of the words that a VR is made of; other VRs are strings of bytes."""


def is_big_endian(stored: str) -> bool:
    """Return whether values of this transfer syntax are stored big endian."""
    syntax = transfer_syntax(stored)
    return syntax is not None and syntax.big_endian


def little_endian(pieces: Iterator[Buffer], stored: str, vr: str) -> Iterator[Buffer]:
    """Yield a value's bytes in little endian order, as many as come in.

    Bytes past the last whole word stay as they are.
    """
    code = WORDS.get(vr)
    if code is None or not is_big_endian(stored):
        yield from pieces
        return
    rest = b""
    for piece in pieces:
        data = rest + piece
        words = array(code)
        whole = len(data) - len(data) % words.itemsize
        words.frombytes(data[:whole])
        words.byteswap()
        rest = data[whole:]
        yield words.tobytes()
    if rest:
        yield rest
