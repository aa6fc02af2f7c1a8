"""Bodies that arrive in a content coding (RFC 9110 8.4): decoded as they come, to their last byte.

aiohttp would decode them, but takes one that breaks off for whole.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from vna.errors import Invalid
from vna.web.multipart import Buffer
from vna.web.problems import TooLarge, WrongMediaType

__all__ = ["decoded"]

PIECE: Final = 256 << 10
"""Most bytes that are decoded at once."""

_FORMS: Final = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
"""What zlib calls the codings that are taken."""


def decoded(body: AsyncIterator[Buffer], coding: str, limit: int) -> AsyncIterator[Buffer]:
    """Return `body` without its content coding, in bounded pieces; as it is where that is identity.

    Raises WrongMediaType for a coding that is not taken. Reading it raises Invalid where it is
    broken or breaks off, and TooLarge where it has more than `limit` bytes (0: any number).
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in _FORMS:
        raise WrongMediaType(
            f"bodies are taken as they are, in gzip or in deflate, not in {coding[:64]}"
        )
    return _decoded(body, coding, limit)


async def _decoded(body: AsyncIterator[Buffer], coding: str, limit: int) -> AsyncIterator[Buffer]:
    stream = zlib.decompressobj(_FORMS[coding])
    taken = 0
    async for coded in body:
        rest, piece = coded, b""
        while rest or len(piece) == PIECE:
            if stream.eof and rest:  # streams may follow one another (RFC 1952 2.2)
                stream = zlib.decompressobj(_FORMS[coding])
            try:
                piece = stream.decompress(rest, PIECE)
            except zlib.error as error:
                raise Invalid(f"the body is broken: it is no {coding} ({error})") from error
            rest = stream.unused_data or stream.unconsumed_tail
            taken += len(piece)
            if limit and taken > limit:
                raise TooLarge(f"the body is over {limit} bytes")
            yield piece
            await asyncio.sleep(0)  # a few bytes may become many
    if not stream.eof:
        raise Invalid(f"the body is broken: its {coding} ends early")
