"""Headers that every answer carries, and which pages of other origins may see it (CORS)."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final

from aiohttp import hdrs, web

from vna.web.context import REQUEST_ID, SETTINGS
from vna.web.drain import REQUESTS
from vna.web.settings import WebSettings

__all__ = ["add_defaults", "allowed_origin", "default_headers", "set_defaults"]

EXPOSED: Final = "Content-Location, Content-Range, ETag, Warning, X-Request-Id"


def default_headers(request: web.Request, headers: MutableMapping[str, str]) -> None:
    """Put into `headers` what every answer carries."""
    if request.app[REQUESTS].ending:
        headers[hdrs.CONNECTION] = "close"
    add_defaults(headers, request.get(REQUEST_ID, ""), request.headers, request.app[SETTINGS])


def add_defaults(
    headers: MutableMapping[str, str],
    request_id: str,
    asked: Mapping[str, str],
    settings: WebSettings,
) -> None:
    """Put into `headers` what they carry unless the archive ends; `asked` are those of the request."""
    headers[hdrs.SERVER] = "vna"
    headers["X-Request-Id"] = request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Cache-Control", "private, no-cache")
    if not settings.allowed_origins:
        return
    vary = headers.get(hdrs.VARY)
    headers[hdrs.VARY] = f"{vary}, Origin" if vary else "Origin"
    if origin := allowed_origin(asked, settings):
        headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


async def set_defaults(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer carries on one that aiohttp sends, just before its headers leave."""
    if request.app[REQUESTS].ending:
        response.force_close()
    default_headers(request, response.headers)


def allowed_origin(asked: Mapping[str, str], settings: WebSettings) -> str:
    """Return the origin that the answer may be shown to, or nothing.

    What is not ASCII is no origin (RFC 6454 6.2).
    """
    origin = asked.get(hdrs.ORIGIN, "")
    allowed = settings.allowed_origins
    return origin if origin.isascii() and ("*" in allowed or origin in allowed) else ""
