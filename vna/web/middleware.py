"""Around every handler: request ids, problem bodies, access log, cross-origin rules."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from vna.errors import VnaError
from vna.observe import metrics
from vna.web.context import CLOCK, REQUEST_ID, SETTINGS
from vna.web.drain import REQUESTS
from vna.web.problems import problem, status_of

__all__ = ["answer_errors", "count", "cross_origin", "log_access", "number", "set_defaults"]

log = logging.getLogger("vna.web")
access = logging.getLogger("vna.web.access")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

EXPOSED: Final = "Content-Location, Content-Range, ETag, Warning, X-Request-Id"
ALLOWED_HEADERS: Final = (
    "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range, X-Request-Id"
)
ALLOWED_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


@web.middleware
async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have the drain wait for the request."""
    with request.app[REQUESTS].one():
        return await handler(request)


@web.middleware
async def number(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each request an id: the caller's X-Request-Id where it is plain, else a new one."""
    asked = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = asked if _ID.fullmatch(asked) else request.app[CLOCK].token(8).hex()
    return await handler(request)


@web.middleware
async def log_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log and count each request, one line: the route's template, never its values, which are patient data."""
    clock = request.app[CLOCK]
    begin = clock.monotonic()
    status = 0
    try:
        response = await handler(request)
        status = response.status
    except ConnectionError:
        return web.Response()  # the client is gone: nobody is answered, and nothing has failed
    else:
        return response
    finally:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "-"
        seconds = clock.monotonic() - begin
        counted = route.removeprefix(request.app[SETTINGS].prefix)
        metrics.HTTP_REQUESTS.add(request.method, counted, str(status) if status else "lost")
        metrics.HTTP_SECONDS.observe(seconds, counted)
        access.info(
            "%s %s %d %.1fms id=%s",
            request.method,
            route,
            status,
            seconds * 1000,
            request[REQUEST_ID],
        )


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into a problem body; an unexpected error is logged under its id."""
    request_id = request[REQUEST_ID]
    try:
        return await handler(request)
    except VnaError as error:
        status = status_of(error)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request %s: %s", request_id, error)  # noqa: TRY400  # the message says it all
        return problem(status, str(error), request_id=request_id)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = problem(error.status, _http_detail(error), request_id=request_id)
        for name in (hdrs.ALLOW, hdrs.CONTENT_RANGE):
            if name in error.headers:
                response.headers[name] = error.headers[name]
        return response
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except Exception:  # loop boundary: the next request must be served
        log.exception("request %s failed", request_id)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"the archive failed; its log tells more under request {request_id}",
            request_id=request_id,
        )


def _http_detail(error: web.HTTPException) -> str:
    match error.status:
        case HTTPStatus.NOT_FOUND:
            return "no resource has this path"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return f"the resource takes {error.headers.get(hdrs.ALLOW, 'other methods')}"
        case _:
            return error.text or error.reason


@web.middleware
async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser's preflight request (CORS) where its origin is allowed."""
    preflight = (
        request.method == hdrs.METH_OPTIONS and "Access-Control-Request-Method" in request.headers
    )
    if preflight and _allowed_origin(request):
        return web.Response(
            status=HTTPStatus.NO_CONTENT,
            headers={
                "Access-Control-Allow-Methods": ALLOWED_METHODS,
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": "600",
            },
        )
    return await handler(request)


def _allowed_origin(request: web.BaseRequest) -> str:
    """Return the origin that the answer may be shown to, or nothing."""
    origin = request.headers.get("Origin", "")
    allowed = (
        request.config_dict[SETTINGS].allowed_origins if isinstance(request, web.Request) else ()
    )
    return origin if origin and ("*" in allowed or origin in allowed) else ""


async def set_defaults(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer carries, streamed ones included, just before its headers leave."""
    if request.app[REQUESTS].ending:
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
    response.headers[hdrs.SERVER] = "vna"
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "private, no-cache")
    if request.app[SETTINGS].allowed_origins:
        response.headers.add("Vary", "Origin")
    origin = _allowed_origin(request)
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
