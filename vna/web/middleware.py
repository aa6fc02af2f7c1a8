"""Around every handler: request ids, problem bodies, access log, cross-origin rules."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from vna.errors import VnaError
from vna.observe import log_line, metrics
from vna.web.context import CLOCK, REQUEST_ID, REQUEST_IDS, SETTINGS, RequestIds
from vna.web.defaults import allowed_origin
from vna.web.drain import REQUESTS
from vna.web.problems import problem, status_of
from vna.web.settings import WebSettings

__all__ = ["around", "count", "number", "template"]

log = logging.getLogger("vna.web")
access = logging.getLogger("vna.web.access")

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
ALLOWED_HEADERS: Final = (
    "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range, X-Request-Id"
)
ALLOWED_METHODS: Final = "GET, HEAD, POST, OPTIONS"
_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve one request: number it, have the drain wait for it, answer errors, log one line.

    The line has the route's template, never its values, which are patient data. One middleware
    for all of that, as each costs every request a coroutine and more.
    """
    app = request.app
    request_id = request[REQUEST_ID] = number(app[REQUEST_IDS], request.headers)
    requests, clock = app[REQUESTS], app[CLOCK]
    begin = clock.monotonic()
    status = 0
    requests.begin()
    try:
        if request.method == hdrs.METH_OPTIONS and (allowed := preflight(request)):
            response: web.StreamResponse = allowed
        else:
            response = await _answered(request, handler, request_id)
        status = response.status
    except ConnectionError:
        return web.Response()  # the client is gone: nobody is answered, and nothing has failed
    else:
        return response
    finally:
        requests.end()
        count(
            request.method,
            *template(request.match_info.route, app[SETTINGS]),
            status=status,
            seconds=clock.monotonic() - begin,
            request_id=request_id,
        )


def number(ids: RequestIds, headers: Mapping[str, str]) -> str:
    """Return the id of a request: its own, if it is one, or a new one."""
    asked = headers.get("X-Request-Id", "")
    return asked if asked and _ID.fullmatch(asked) else ids.new()


def template(served: web.AbstractRoute, settings: WebSettings) -> tuple[str, str]:
    """Return the template of a route: as it is logged, and as it is counted."""
    resource = served.resource
    route = resource.canonical if resource is not None else "-"
    return route, route.removeprefix(settings.prefix)


def count(
    method: str, route: str, counted: str, *, status: int, seconds: float, request_id: str
) -> None:
    """Count a request that was served, and log it; `status` is 0 where the client left."""
    metrics.HTTP_REQUESTS.add(method, counted, str(status) if status else "lost")
    metrics.HTTP_SECONDS.observe(seconds, counted)
    log_line(access, f"{method} {route} {status} {seconds * 1000:.1f}ms id={request_id}")


async def _answered(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    """Turn what a handler raises into a problem body; an unexpected error is logged under its id."""
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


def preflight(request: web.Request) -> web.Response | None:
    """Return the answer to a browser's preflight request (CORS) where its origin is allowed."""
    if hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
        return None
    if not allowed_origin(request.headers, request.app[SETTINGS]):
        return None
    return web.Response(
        status=HTTPStatus.NO_CONTENT,
        headers={
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": "600",
        },
    )
