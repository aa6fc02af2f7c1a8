"""Where blobs are. The index keeps these values and does not look inside them."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

PackId: TypeAlias = int
"""`tier << 56 | node << 32 | sequence`: unique across nodes and tiers."""


class BlobKind(IntEnum):
    """What a blob is for; recorded in its pack record, so that a rebuild can tell."""

    HEADER = 1
    BULK = 2
    TABLE = 3


class BlobPlace(msgspec.Struct, frozen=True, array_like=True):
    """A blob's record in a pack: `offset` and `size` are of the whole record, `length` of the raw blob."""

    pack: PackId
    offset: int
    size: int
    length: int
