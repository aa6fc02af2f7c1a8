"""What is here and whether it works: the landing page, liveness, readiness; and what is to come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from vna import __version__
from vna.web.context import ARCHIVE, SETTINGS
from vna.web.problems import RETRY_AFTER_S, NotAcceptable

__all__ = ["health", "landing", "not_yet", "readiness"]


async def landing(request: web.Request) -> web.Response:
    """Answer with the services of this archive, by name and path."""
    prefix = request.app[SETTINGS].prefix
    return _json(
        {
            "product": "vna",
            "version": __version__,
            "services": {
                "DICOMweb (QIDO-RS, WADO-RS, STOW-RS)": f"{prefix}/studies",
                "health": "/healthz",
                "readiness": "/readyz",
                "metrics": "/metrics",
            },
        }
    )


async def health(request: web.Request) -> web.Response:  # noqa: ARG001  # aiohttp's signature
    """Answer 200 as long as this process answers at all."""
    return _json({"state": "alive"})


def readiness(ready: Callable[[], bool]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler that answers 503 unless `ready()` and the archive takes changes.

    An archive that is full is ready: it serves what it has, and says so. So is one of which a
    lower tier is away.
    """

    async def handler(request: web.Request) -> web.Response:
        """Answer whether requests will be served, and why not."""
        if not ready():
            return _not_ready({"state": "not ready"})
        archive = request.app[ARCHIVE]
        health = await archive.run(archive.health)
        body: dict[str, object] = {"state": health.state}
        body |= {"reason": health.reason} if health.reason else {}
        body |= {"tiers_away": archive.tiers_away} if archive.tiers_away else {}
        if lost := await archive.run(archive.lost):
            body["damaged_blobs"] = len(lost)
        return _not_ready(body) if health.state == "broken" else _json(body)

    return handler


async def not_yet(request: web.Request) -> web.StreamResponse:
    """Answer 406: the resource's form needs rendering or transcoding, which this version has not."""
    what = request.path.rsplit("/", 1)[-1]
    raise NotAcceptable(f"{what} resources are not served by this version: it does not render yet")


def _not_ready(body: object) -> web.Response:
    response = _json(body, HTTPStatus.SERVICE_UNAVAILABLE)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _json(body: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json"
    )
