"""The process that scrubs and compacts, at the lowest priority for processor and disk.

It reads its order from standard input and works until SIGTERM, or until that pipe ends because the
supervisor is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import psutil

from vna.app.order import READY, decode_order
from vna.app.sending import sender
from vna.archive import Archive
from vna.config import validate
from vna.errors import VnaError
from vna.observe import metrics, start_logging
from vna.workflow import Prefetch, follow_policies

__all__ = ["main"]

log = logging.getLogger(__name__)

LOWEST = 19
INDEX_INTERVAL_S = 1.0

Work: TypeAlias = Callable[[], None]


def main() -> int:
    """Work as ordered; return 0 when told to end, 1 when the archive failed."""
    order = decode_order(sys.stdin.buffer.readline())
    config = validate(order.document, "supervisor")
    start_logging(config.log, "background")
    metrics.REGISTRY.share(order.metrics, order.number)
    os.nice(LOWEST)
    psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    stop = threading.Event()
    # Blocked here, and so in every thread: the one that waits for it takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for follow in (_follow_signal, _follow_supervisor):
        threading.Thread(target=follow, args=(stop,), daemon=True).start()
    try:
        archive = Archive.open(config.archive)
    except VnaError as error:
        log.error("the archive cannot be opened: %s", error)  # noqa: TRY400  # its text says it all
        return 1
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    works: list[Work] = [lambda: archive.upkeep(config.compaction, config.retention, stop)]
    if config.scrub.rate_bytes_s:
        works.append(lambda: archive.scrub(config.scrub, stop))
    if config.moves:
        works.append(lambda: follow_policies(archive, config.policies, config.tiering, stop))
    if config.prefetches_in_background:
        send = sender(archive, config.dimse, stop)
        prefetch = Prefetch(
            archive, config.archive.data, config.prefetches, config.prefetching, send, stop
        )
        works += [prefetch.recall, prefetch.deliver]
    threading.Thread(target=_follow_index, args=(archive, stop), daemon=True).start()
    try:
        with ThreadPoolExecutor(len(works)) as threads:
            ended = [threads.submit(_work, work, stop) for work in works]
        return 0 if all(each.result() for each in ended) else 1
    finally:
        archive.close()


def _work(work: Work, stop: threading.Event) -> bool:
    """Do one kind of work until `stop`; say if it ended well. If not, the others end too."""
    try:
        work()
    except (VnaError, OSError) as error:
        log.error("the background work cannot go on: %s", error)  # noqa: TRY400
        return False
    finally:
        stop.set()
    return True


def _follow_signal(stop: threading.Event) -> None:
    signal.sigwait({signal.SIGTERM})
    stop.set()


def _follow_index(archive: Archive, stop: threading.Event) -> None:
    """End once the index is of no use: no other process can take it over before."""
    while not stop.wait(INDEX_INTERVAL_S):
        if not archive.usable:
            log.error("the index cannot be used; this process gives way to a new one")
            stop.set()


def _follow_supervisor(stop: threading.Event) -> None:
    """End with the supervisor: nothing is ever sent on standard input, so it has ended when read."""
    os.read(sys.stdin.fileno(), 1)
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
