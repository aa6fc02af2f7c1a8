"""The process that owns the sockets and keeps the workers running.

Order of start: lock the data folder, bind both sockets, settle what a crash left, start the
workers, say that all is ready. A worker that dies is replaced once its unfinished packs have been
settled. Order of stop: every worker stops accepting and finishes what it has; the sockets close
with the last of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass

from vna.app.lock import serving
from vna.app.notify import notify
from vna.app.order import READY, Order, encode_order
from vna.app.sockets import Listeners, bind
from vna.archive import Archive, ArchiveSettings, share_fresh
from vna.config import Config
from vna.errors import Unavailable, VnaError
from vna.observe import metrics, start_logging

__all__ = ["run"]

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 10.0
STEADY_S = 60.0
"""A worker that ran this long before it died is replaced without a longer delay than the first."""
RESETTLE_S = 10.0
"""Time between tries to recover where that has failed."""
GIVING_WAY_S = 5.0
"""Time that a process is not replaced while recovery fails: what is to be recovered is not found before, and
after a failed sync others have the index open until they, too, have noticed."""
AGAIN_S = 0.5
"""Time between the tries meanwhile."""
CLOSING_S = 5.0
"""Time beyond the drain that a worker gets to close the archive before it is killed."""


BACKGROUND = 0
"""Workers count from 1."""


def run(config: Config, announce: Callable[[Listeners], None]) -> None:
    """Serve until SIGTERM or SIGINT; return when everything has drained.

    `announce` is called once, when both fronts accept. Raises Unavailable when the archive
    cannot be served at all: the folder is in use, a port is taken, no worker comes up.
    """
    start_logging(config.log, "supervisor")
    with serving(config.archive.data):
        listeners = bind(config.listen)
        try:
            settled = recover(config.archive)
            shared = Shared(
                share_metrics(config), share_fresh(config.archive, config.process.worker_count)
            )
            asyncio.run(Supervisor(config, listeners, announce, shared, settled=settled).run())
        finally:
            listeners.close()


def share_metrics(config: Config) -> int:
    """Make the memory in which all processes count; return its descriptor.

    Its rows are those of the background process and the workers, by their numbers, then the supervisor's.
    """
    workers = config.process.worker_count
    descriptor = metrics.REGISTRY.create(workers + 2)
    metrics.REGISTRY.share(descriptor, workers + 1)
    return descriptor


def recover(settings: ArchiveSettings) -> bool:
    """Settle what crashed processes left; return whether that is done.

    It is not where the disk is full or fails, say: what is stored can be read all the same. The
    archive is open only meanwhile: workers open their own. Raises Unavailable where it does not
    open.
    """
    archive = Archive.open(settings)
    try:
        archive.recover()
    except VnaError as error:
        log.error("recovery failed: %s", error)  # noqa: TRY400
        return False
    finally:
        archive.close()
    return True


@dataclass(frozen=True)
class Shared:
    """Descriptors of the memory that processes share: for metrics, for what workers stored last."""

    metrics: int
    fresh: int | None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Those there are."""
        return (self.metrics,) if self.fresh is None else (self.metrics, self.fresh)


class Supervisor:
    """Starts, watches, replaces and stops the workers."""

    def __init__(
        self,
        config: Config,
        listeners: Listeners,
        announce: Callable[[Listeners], None],
        shared: Shared,
        *,
        settled: bool,
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._announce = announce
        self._shared = shared
        self._stopping = asyncio.Event()
        self._recovery = asyncio.Lock()
        self._settled = settled
        self._processes: dict[int, Process] = {}

    async def run(self) -> None:
        """Keep the workers running until a signal; return when all have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        ups: list[asyncio.Future[bool]] = [
            loop.create_future() for _ in range(self._config.process.worker_count)
        ]
        keepers = [asyncio.create_task(self._keep(number, up)) for number, up in enumerate(ups, 1)]
        keepers.append(asyncio.create_task(self._resettle()))
        if self._config.works_in_background:
            keepers.append(asyncio.create_task(self._keep(BACKGROUND, loop.create_future())))
        try:
            all_up = all(await asyncio.gather(*ups))
            if not self._stopping.is_set():  # else the listeners are closed
                if not all_up:
                    raise Unavailable("a worker did not come up; the log says why")
                self._announce(self._listeners)
                notify("READY=1")
            await self._stopping.wait()
        finally:
            if not self._stopping.is_set():
                self._stop()
            await self._end(keepers)

    def _stop(self) -> None:
        """Let the workers drain; the second time, hurry them."""
        if not self._stopping.is_set():
            log.info("draining for up to %g s", self._config.process.drain_s)
            notify("STOPPING=1")
        self._stopping.set()
        self._listeners.close()  # the workers close theirs: then new connections are refused
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        """Wait for the workers to end, and kill those that take too long."""
        limit_s = self._config.process.drain_s + CLOSING_S
        _, late = await asyncio.wait(keepers, timeout=limit_s)
        if late:
            log.error("%d workers did not end within %g s and are killed", len(late), limit_s)
            self._signal(signal.SIGKILL)
        await asyncio.gather(*keepers)

    async def _keep(self, number: int, up: asyncio.Future[bool]) -> None:
        """Run process `number`, again and again, until the archive stops.

        `up` is set once: true when the first run accepts, false when it ended before.
        """
        loop = asyncio.get_running_loop()
        delay_s = FIRST_DELAY_S
        ended = "was not started"
        while not self._stopping.is_set():
            begun = loop.time()
            try:
                ended = f"ended with code {await self._run(number, up)}"
            except OSError as error:  # the system has no process, memory or descriptor left for it
                ended = f"cannot be started: {error}"
            if self._stopping.is_set() or not up.done():
                break
            if loop.time() - begun > STEADY_S:
                delay_s = FIRST_DELAY_S
            log.error("%s %s; the next starts in %g s", _name(number), ended, delay_s)
            await self._pause(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            await self._settle_first()
        if not up.done():
            log.error("%s %s", _name(number), ended)
            up.set_result(False)

    async def _run(self, number: int, up: asyncio.Future[bool]) -> int:
        """Run one process from its start to its end; return its exit code."""
        dimse, http = self._listeners.dimse.fileno(), self._listeners.http.fileno()
        serves = number != BACKGROUND
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m"),
            *("vna.app.worker" if serves else "vna.app.background", str(number)),
            stdin=PIPE,
            stdout=PIPE,
            # What holds a listener keeps its port: a process that does not serve gets none.
            pass_fds=(*self._shared.descriptors, dimse, http)
            if serves
            else (self._shared.metrics,),
            process_group=0,  # a Ctrl-C in the terminal reaches the supervisor alone
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._processes[number] = process
        metrics.PROCESS_STARTS.add("worker" if serves else "background")
        if self._stopping.is_set():
            process.terminate()
        shared = self._shared
        order = Order(number, self._config.document(), dimse, http, shared.metrics, shared.fresh)
        process.stdin.write(encode_order(order))
        # Nothing waits for the pipe to drain: a worker that is dead already shows by its end.
        if await process.stdout.readline() == READY:
            does = "accepts" if serves else "works"
            log.info("%s %s, process %d", _name(number), does, process.pid)
            if not up.done():
                up.set_result(True)
        code = await process.wait()
        metrics.REGISTRY.clear_gauges(number)
        process.stdin.close()
        return code

    async def _settle(self) -> None:
        """Settle what a dead worker left, one at a time."""
        async with self._recovery:
            try:
                self._settled = await asyncio.to_thread(recover, self._config.archive)
            except (VnaError, OSError) as error:
                log.error("recovery failed: %s", error)  # noqa: TRY400
                self._settled = False

    async def _settle_first(self) -> None:
        """Settle what a process left before it is replaced, as far as that can be waited for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVING_WAY_S
        await self._settle()
        while not self._settled and loop.time() < until and not self._stopping.is_set():
            await self._pause(AGAIN_S)
            if not self._settled:
                await self._settle()

    async def _resettle(self) -> None:
        """Try again, until the archive stops, where recovery has failed."""
        while not self._stopping.is_set():
            await self._pause(RESETTLE_S)
            if not self._settled and not self._stopping.is_set():
                await self._settle()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the signal to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _name(number: int) -> str:
    return f"worker {number}" if number != BACKGROUND else "the background process"
