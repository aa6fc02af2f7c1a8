"""One process that serves: an event loop with both fronts on the inherited sockets.

It reads its order from standard input and serves until SIGTERM, or until that pipe ends because
the supervisor is gone, or until its index does not even read any more; then it stops accepting,
lets associations and requests end, and closes the archive. A second SIGTERM ends them at once.
An archive that refuses changes is served on: it can be read, and mends itself when it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys

import psutil
import uvloop
from aiohttp import web

from vna.app.order import READY, decode_order
from vna.app.sockets import Listeners
from vna.archive import Archive, fresh_of
from vna.config import Config, validate
from vna.dimse import DimseServer, serve
from vna.errors import VnaError
from vna.observe import metrics, start_logging
from vna.web import SharedSite, make_app, make_runner, requests_under_way

__all__ = ["main"]

log = logging.getLogger(__name__)

HEALTH_INTERVAL_S = 1.0
PAUSE_S = 0.02
"""Between two parts of what is had at hand: others have the processor then."""
GARBAGE = 10_000
"""Objects made and not freed after which garbage is looked for. Requests leave next to none."""


def main() -> int:
    """Serve as ordered; return 0 after a drain, 1 when the archive failed."""
    order = decode_order(sys.stdin.buffer.readline())
    config = validate(order.document, "supervisor")
    start_logging(config.log, f"worker-{order.number}")
    metrics.REGISTRY.share(order.metrics, order.number)
    # The usual soft limit of 1024 is for programs that use select(); associations, requests and
    # packs of a busy worker come to more.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        archive = Archive.open(config.archive, fresh=fresh_of(order.fresh, order.number - 1))
    except VnaError as error:
        log.error("the archive cannot be opened: %s", error)  # noqa: TRY400  # its text says it all
        return 1
    gc.collect()
    gc.freeze()  # what is here stays: collections need not look at it each time
    gc.set_threshold(GARBAGE)
    try:
        uvloop.run(Worker(config, archive, Listeners.inherited(order.dimse, order.http)).run())
        return 0 if archive.usable else 1
    finally:
        archive.close()


class Worker:
    """Both fronts of one process, from readiness to drain."""

    def __init__(self, config: Config, archive: Archive, listeners: Listeners) -> None:
        self._config = config
        self._archive = archive
        self._listeners = listeners
        self._stopping = asyncio.Event()
        self._serving = False
        self._process = psutil.Process()
        self._state = "ready"
        self._draining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until told to stop, or until the archive cannot be used any more; then drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_reader(sys.stdin.fileno(), self._supervisor_gone)
        dimse = await serve(self._archive, self._config.dimse, [self._listeners.dimse])
        app = make_app(self._archive, self._config.web, self._ready)
        runner = make_runner(app, self._config.process.drain_s)
        await runner.setup()
        await SharedSite(runner, self._listeners.http, self._others_first).start()
        self._serving = True
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        while not self._stopping.is_set() and self._archive.usable:
            await self._observe(dimse, app)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), HEALTH_INTERVAL_S)
        if not self._archive.usable:
            log.error("the index cannot be read; this worker gives way to a new one")
        self._serving = False
        self._draining = asyncio.create_task(self._drain(dimse, runner))
        with contextlib.suppress(asyncio.CancelledError):
            await self._draining

    async def _observe(self, dimse: DimseServer, app: web.Application) -> None:
        """Set the gauges, let removed packs go, have more of the index and of fresh memory at hand.

        Say so when the archive becomes full, or has room again.
        """
        await self._archive.run(self._archive.let_go)
        health = await self._archive.run(self._archive.health)
        for state in metrics.STATES:
            metrics.STATE_NOW.set(state == health.state, state)
        metrics.TIERS_AWAY.set(len(self._archive.tiers_away))
        self._archive.seek_tiers()
        load = self._archive.load()
        metrics.QUEUE_NOW.set(load.queue)
        metrics.HELD_NOW.set(load.held_bytes)
        metrics.ASSOCIATIONS_NOW.set(dimse.associations)
        metrics.HTTP_NOW.set(requests_under_way(app))
        # Where no file can be opened any more, these two stay as they were: service goes on.
        with contextlib.suppress(OSError):
            memory = self._process.memory_info()
            metrics.RESIDENT_NOW.set(memory.rss - memory.shared)
            metrics.FILES_NOW.set(self._process.num_fds())
        if health.state != self._state:
            if health.state == "full":
                log.warning("new objects are refused: %s", health.reason)
            elif self._state == "full":
                log.warning("there is room for new objects again")
            self._state = health.state
        until = asyncio.get_running_loop().time() + HEALTH_INTERVAL_S
        while await self._archive.run(self._archive.populate) and not self._stopping.is_set():
            await asyncio.sleep(PAUSE_S)
            if asyncio.get_running_loop().time() > until:
                break

    def _others_first(self) -> bool:
        """Whether another worker has fewer connections of HTTP."""
        workers = range(1, self._config.process.worker_count + 1)
        return metrics.HTTP_CONNECTIONS.fewest(workers) < metrics.HTTP_CONNECTIONS.here()

    def _ready(self) -> bool:
        """Whether both fronts accept."""
        return self._serving

    def _stop(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
        self._stopping.set()

    def _supervisor_gone(self) -> None:
        """Standard input is readable: nothing is ever sent there, so it has ended."""
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        log.error("the supervisor is gone")
        self._stop()

    async def _drain(self, dimse: DimseServer, runner: web.BaseRunner) -> None:
        """Stop accepting, then wait for what has begun, up to the drain time."""
        fronts = asyncio.gather(dimse.close(self._config.process.drain_s), runner.cleanup())
        await asyncio.sleep(0)  # both have let go of their listeners
        self._listeners.close()
        await fronts


if __name__ == "__main__":
    sys.exit(main())
