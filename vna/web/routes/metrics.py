"""The metrics of the archive, for Prometheus and others that read its text format."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from vna.archive import Archive
from vna.errors import VnaError
from vna.observe import CONTENT_TYPE, Reading, Readings, exposition, metrics
from vna.web.context import ARCHIVE

__all__ = ["retrieve_metrics"]

NS = 1e9


async def retrieve_metrics(request: web.Request) -> web.Response:
    """Answer with the metrics of all processes and of the archive.

    What an archive in trouble does not say is left out.
    """
    archive = request.app[ARCHIVE]
    text = await archive.run(lambda: exposition(metrics.REGISTRY, _readings(archive)))
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})


def _readings(archive: Archive) -> Readings:
    found: dict[tuple[Reading, tuple[str, ...]], float] = {}
    with suppress(VnaError):  # /readyz and the log say why
        found[metrics.FREE_BYTES, ()] = archive.free_bytes()
        stats = archive.stats()
        found[metrics.PACKS, ()] = stats.packs
        found[metrics.PACK_BYTES, ()] = stats.pack_bytes
        found[metrics.DEAD_BYTES, ()] = stats.dead_bytes
        found[metrics.STORED_BYTES, ()] = stats.counts.bytes
        for series in metrics.ENTITIES.series:
            found[metrics.ENTITIES, series] = getattr(stats.counts, series[0])
    with suppress(VnaError):
        found[metrics.DAMAGED_BLOBS, ()] = len(archive.lost())
    scrub = archive.scrub_state()
    found[metrics.SCRUB_BLOBS, ()] = scrub.blobs
    found[metrics.SCRUB_BYTES, ()] = scrub.bytes
    found[metrics.SCRUB_DAMAGED, ()] = scrub.damaged
    found[metrics.SCRUB_BEGUN, ()] = scrub.begun / NS
    found[metrics.SCRUB_ENDED, ()] = scrub.ended / NS
    return found
