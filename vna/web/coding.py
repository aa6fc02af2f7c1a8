"""Content codings: text that is sent again and again, compressed where the client takes it."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import zstandard
from aiohttp import hdrs, web

__all__ = ["Coding", "choose_coding", "coded"]

Coding: TypeAlias = Literal["zstd", "gzip", "identity"]

_CODINGS: Final[tuple[Coding, ...]] = ("zstd", "gzip", "identity")
"""Best first, of those that a client likes equally."""
_GZIP_LEVEL: Final = 5
_ZSTD_LEVEL: Final = 3


def choose_coding(request: web.BaseRequest) -> Coding:
    """Return the content coding that a client likes best (RFC 9110 12.5.3); identity if unsaid."""
    return _chosen(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())))


@lru_cache(maxsize=256)
def _chosen(header: str) -> Coding:
    liked: dict[str, float] = {}
    for item in header.lower().split(","):
        name, _, parameter = item.partition(";")
        weight = parameter.replace(" ", "").removeprefix("q=")
        try:
            liked[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            liked[name.strip()] = 0.0
    others = liked.get("*", 0.0)
    # Unless it is named, identity is what is left when nothing else is wanted.
    weights = {coding: liked.get(coding, others) for coding in _CODINGS}
    weights["identity"] = max(liked.get("identity", 0.0), 1e-9)
    return max(_CODINGS, key=lambda coding: weights[coding])


def coded(body: bytes, coding: Coding) -> bytes:
    """Return `body` in a content coding."""
    match coding:
        case "zstd":
            return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)
        case "gzip":
            return gzip.compress(body, _GZIP_LEVEL, mtime=0)
        case "identity":
            return body
