"""The one table from kinds of error to HTTP status, and the problem body (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from vna.errors import (
    Busy,
    Conflict,
    Corrupt,
    Deleted,
    Denied,
    Full,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
    VnaError,
)

__all__ = [
    "RETRY_AFTER_S",
    "STATUS_OF",
    "NotAcceptable",
    "TooLarge",
    "TooSlow",
    "WrongMediaType",
    "problem",
    "status_of",
]

RETRY_AFTER_S = 5


class NotAcceptable(Unsupported):
    """The resource is here, but not in a form that the Accept header allows."""


class WrongMediaType(Unsupported):
    """The request's body is of a media type that this resource does not take."""


class TooLarge(Invalid):
    """The request's body is larger than this archive is set to take."""


class TooSlow(Invalid):
    """The request's body did not arrive in time."""


STATUS_OF: Mapping[type[VnaError], HTTPStatus] = {
    NotFound: HTTPStatus.NOT_FOUND,
    Deleted: HTTPStatus.GONE,
    Conflict: HTTPStatus.CONFLICT,
    Invalid: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    Unsupported: HTTPStatus.NOT_ACCEPTABLE,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    WrongMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    Denied: HTTPStatus.FORBIDDEN,
    Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    Full: HTTPStatus.INSUFFICIENT_STORAGE,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Corrupt: HTTPStatus.INTERNAL_SERVER_ERROR,
    VnaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""An error has the status of the nearest of its classes that stands here."""


def status_of(error: VnaError) -> HTTPStatus:
    """Return the HTTP status that tells of `error`."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def problem(status: HTTPStatus | int, detail: str, *, request_id: str = "") -> web.Response:
    """Return an answer with a problem body; 503 and 507 say when to come back.

    What the detail quotes of a header may be bytes that are no text: they become "?".
    """
    status = HTTPStatus(status)
    detail = detail.encode(errors="replace").decode()
    body = {"title": status.phrase, "status": int(status), "detail": detail}
    if request_id:
        body["instance"] = f"urn:request:{request_id}"
    headers = {}
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers=headers,
    )
