"""The application: which path is served by which verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from vna.archive import Archive
from vna.clock import Clock, SystemClock
from vna.types import Level
from vna.web.connection import PromptServer
from vna.web.context import ARCHIVE, CLOCK, PREPARED, REQUEST_IDS, SETTINGS, RequestIds
from vna.web.defaults import set_defaults
from vna.web.drain import REQUESTS, DrainingRunner, Requests
from vna.web.middleware import around
from vna.web.prepared import Prepared
from vna.web.routes import status
from vna.web.routes.bulk import retrieve_bulk
from vna.web.routes.frames import retrieve_frames
from vna.web.routes.metadata import retrieve_metadata
from vna.web.routes.metrics import retrieve_metrics
from vna.web.routes.qido import search
from vna.web.routes.stow import store
from vna.web.routes.wado import retrieve, retrieve_instance
from vna.web.settings import WebSettings

__all__ = ["make_app", "make_runner", "requests_under_way"]

READ_BUFFER_BYTES: Final = 256 << 10

STUDY: Final = "/studies/{study}"
SERIES: Final = STUDY + "/series/{series}"
INSTANCE: Final = SERIES + "/instances/{instance}"


def make_app(
    archive: Archive,
    settings: WebSettings,
    ready: Callable[[], bool],
    *,
    clock: Clock | None = None,
) -> web.Application:
    """Return the HTTP front of `archive`; `/readyz` answers 200 while `ready()` and the archive takes changes.

    Serve it with `make_runner`, which sets what aiohttp would else decide by its defaults.
    """
    app = web.Application(
        middlewares=[around],
        client_max_size=0,  # no handler reads a whole body; STOW-RS has its own limit
    )
    app[ARCHIVE] = archive
    app[SETTINGS] = settings
    app[CLOCK] = clock or SystemClock()
    app[REQUESTS] = Requests()
    app[PREPARED] = Prepared(settings.metadata_cache_bytes)
    app[REQUEST_IDS] = RequestIds(app[CLOCK])
    app.on_response_prepare.append(set_defaults)
    app.router.add_get("/", status.landing)
    app.router.add_get("/healthz", status.health)
    app.router.add_get("/readyz", status.readiness(ready))
    app.router.add_get("/metrics", retrieve_metrics)
    app.add_routes(_dicomweb(settings.prefix))
    return app


def _dicomweb(prefix: str) -> list[web.RouteDef]:
    study, series, instance = (prefix + path for path in (STUDY, SERIES, INSTANCE))
    return [
        # STOW-RS: found first, as most of what is read comes here only if it has to wait (prompt.py)
        web.post(f"{prefix}/studies", store),
        web.post(study, store),
        # Of the others asked for most
        web.get(f"{instance}/frames/{{frames}}", retrieve_frames),
        web.get(instance, retrieve_instance),
        # QIDO-RS
        web.get(f"{prefix}/studies", search(Level.STUDY)),
        web.get(f"{prefix}/series", search(Level.SERIES)),
        web.get(f"{prefix}/instances", search(Level.INSTANCE)),
        web.get(f"{study}/series", search(Level.SERIES)),
        web.get(f"{study}/instances", search(Level.INSTANCE)),
        web.get(f"{series}/instances", search(Level.INSTANCE)),
        # WADO-RS
        web.get(study, retrieve),
        web.get(series, retrieve),
        *(web.get(f"{level}/metadata", retrieve_metadata) for level in (study, series, instance)),
        web.get(f"{instance}/bulkdata/{{path:.+}}", retrieve_bulk),
        # Rendered resources, and bulk or pixel data of a whole study, series or instance
        *(
            web.get(f"{level}/{resource}", status.not_yet)
            for level in (study, series, instance, f"{instance}/frames/{{frames}}")
            for resource in ("rendered", "thumbnail", "pixeldata", "bulkdata")
        ),
    ]


def requests_under_way(app: web.Application) -> int:
    """Return how many requests an app serves now."""
    return app[REQUESTS].under_way


def make_runner(app: web.Application, drain_s: float = 30.0) -> web.AppRunner:
    """Return the runner of an app: its sites take sockets, its `cleanup` drains for up to `drain_s`.

    aiohttp's own access log is off, as it would write query values, which are patient data; so is
    its decoding of bodies, which takes a gzip that breaks off for whole. A client that hangs up
    does not cancel its handler: an ingest cleans up after itself.
    """
    return DrainingRunner(
        app,
        drain_s,
        lambda server: PromptServer(server, app),
        handle_signals=False,
        access_log=None,
        keepalive_timeout=app[SETTINGS].keepalive_timeout_s,
        read_bufsize=READ_BUFFER_BYTES,
        auto_decompress=False,
        handler_cancellation=False,
    )
