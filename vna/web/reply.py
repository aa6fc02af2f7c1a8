"""Answers before anybody sends them: what is asked, and what the answer is made of.

Whoever makes one knows neither connections nor coroutines: it reads through a `Retrieval`, so that
the same decisions serve requests that are answered at once, on the event loop, and all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Self

import msgspec
from aiohttp import hdrs, web
from multidict import CIMultiDict

from vna.archive import Item, Retrieval, StoredObject
from vna.web.addresses import Addresses
from vna.web.context import CLOCK, SETTINGS
from vna.web.negotiation import Accepted, accepted

__all__ = ["Asked", "Reply", "headers_of"]


class Asked(msgspec.Struct, frozen=True):
    """What a client asks for: `names` out of the path, and in which form.

    `boundary` is for a message of parts: nobody could know it before.
    """

    names: Mapping[str, str]
    headers: Mapping[str, str]
    accepted: Accepted
    addresses: Addresses
    ae_title: str
    boundary: str

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """Return what a request asks for. Raises Invalid for an Accept or Host that is none."""
        settings = request.app[SETTINGS]
        return cls(
            request.match_info,
            headers_of(request),
            accepted(request),
            Addresses.of(request, settings),
            settings.ae_title,
            request.app[CLOCK].token(16).hex(),
        )

    def instance(self, retrieval: Retrieval) -> StoredObject:
        """Return the instance that the path names. Raises NotFound (404) or Deleted (410)."""
        names = self.names
        (stored,) = retrieval.objects(names["study"], names["series"], names["instance"])
        return stored


def headers_of(request: web.Request) -> Mapping[str, str]:
    """Return a request's headers as they apply: Range does to GET alone (RFC 9110 14.2)."""
    if request.method == hdrs.METH_GET or hdrs.RANGE not in request.headers:
        return request.headers
    headers = CIMultiDict(request.headers)
    del headers[hdrs.RANGE]
    return headers


class Reply(msgspec.Struct, frozen=True):
    """What an answer is made of."""

    items: list[Item]
    content_type: str
    headers: dict[str, str]
    status: HTTPStatus = HTTPStatus.OK
