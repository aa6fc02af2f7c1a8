"""Bytes as frames of zstd (RFC 8878), for clients that take them so: nothing is compressed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vna._native import Buffer

__all__ = ["LARGEST_WINDOW", "framed"]

LARGEST_WINDOW: Final = 8 << 20
"""What clients of HTTP have to keep of a frame at most (RFC 9659)."""

_BLOCK: Final = 128 << 10
_HEAD: Final = bytes.fromhex("28b52ffd 00 38")
"""Magic number, a descriptor without size and checksum, a window of 128 KiB."""


def framed(raw: Buffer) -> bytes:
    """Return a frame that holds `raw` uncompressed, in blocks of up to 128 KiB."""
    view = memoryview(raw)
    parts: list[Buffer] = [_HEAD]
    for at in range(0, len(view), _BLOCK) or (0,):
        block = view[at : at + _BLOCK]
        last = at + _BLOCK >= len(view)
        parts += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(parts)
