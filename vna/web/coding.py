"""Content codings: text that is sent again and again, compressed where the client takes it."""

from __future__ import annotations

import gzip
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import zstandard
from aiohttp import hdrs
from multidict import MultiMapping

__all__ = ["Coding", "choose_coding", "coded", "vary_by_coding"]

Coding: TypeAlias = Literal["zstd", "gzip", "identity"]

_CODINGS: Final[tuple[Coding, ...]] = ("zstd", "gzip", "identity")
"""Best first, of those that a client likes equally."""
_GZIP_LEVEL: Final = 5
_ZSTD_LEVEL: Final = 3


def choose_coding(asked: MultiMapping[str]) -> Coding:
    """Return the content coding that a client likes best (RFC 9110 12.5.3); identity if unsaid.

    `asked` are its request's header fields.
    """
    return _chosen(",".join(asked.getall(hdrs.ACCEPT_ENCODING, ())))


def vary_by_coding(headers: MutableMapping[str, str]) -> None:
    """Say in an answer's `headers` that clients which take other codings get others (RFC 9110 12.5.5)."""
    varies = [headers[hdrs.VARY]] if hdrs.VARY in headers else []
    headers[hdrs.VARY] = ", ".join([*varies, hdrs.ACCEPT_ENCODING])


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
