"""Sending instances to an application entity for ourselves: C-STORE, without a C-MOVE behind it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from functools import partial

from vna._native import ProtocolError
from vna.archive import Archive, StoredObject
from vna.dimse.ahead import Ahead
from vna.dimse.retrieval import WARNINGS
from vna.dimse.scu import MAX_CONTEXTS, Scu
from vna.dimse.settings import DimseSettings
from vna.dimse.statuses import Status, kind_of
from vna.dimse.stores import pair_of
from vna.errors import Corrupt, NotFound, Unavailable
from vna.types import Remote

__all__ = ["contexts_of", "send_objects"]

log = logging.getLogger(__name__)


async def send_objects(
    archive: Archive,
    objects: Iterable[StoredObject],
    remote: Remote,
    settings: DimseSettings,
    stop: threading.Event,
) -> int:
    """Send instances as they are stored; return how many the remote did not take, each logged.

    Raises Unavailable when the remote cannot be reached, is lost, has no resources (A7xx), speaks
    something else, or when `stop` is set: some may have been sent by then.
    """
    waiting = deque(objects)
    failed = 0
    ahead = Ahead(archive)

    def check() -> None:
        if stop.is_set():
            raise Unavailable(f"{remote.ae_title} is not sent to: we stop")

    def done(stored: StoredObject, status: int) -> bool:
        nonlocal failed
        failed += not _taken(stored, remote, status)
        check()
        return True

    try:
        while waiting:
            contexts = contexts_of(waiting)
            async with Scu(remote, settings, ((cls, (ts,)) for cls, ts in contexts)) as scu:
                while waiting and pair_of(waiting[0]) in contexts and not scu.lost:
                    check()
                    await scu.stores.send_at_hand(waiting, ahead, done)
                    if waiting:
                        failed += not await _send(scu, ahead, waiting, remote)
    except ProtocolError as error:
        raise Unavailable(f"{remote.ae_title} does not keep to the protocol: {error}") from error
    finally:
        await ahead.close()
    return failed


async def _send(scu: Scu, ahead: Ahead, waiting: deque[StoredObject], remote: Remote) -> bool:
    """Send the first of the waiting instances; say whether it was taken."""
    stored = waiting[0]
    if not scu.stores.takes(stored):
        status, why = 0, f"it does not accept {stored.sop_class} in {stored.transfer_syntax}"
    else:
        try:
            async with ahead.runs(stored) as runs:
                status = await scu.c_store(stored, runs, partial(ahead.begin_nth, waiting, 1))
                why = ""
        except (Corrupt, NotFound) as error:
            status, why = 0, str(error)
    waiting.popleft()
    return _not_taken(stored, remote, why) if why else _taken(stored, remote, status)


def _taken(stored: StoredObject, remote: Remote, status: int) -> bool:
    """Say whether an instance was taken, by the answer's status. Raises Unavailable at A7xx."""
    if status >> 8 == Status.OUT_OF_RESOURCES >> 8:
        raise Unavailable(f"{remote.ae_title} answers {status:04X}: out of resources")
    if kind_of(status) != "failure" or status in WARNINGS:
        return True
    return _not_taken(stored, remote, f"status {status:04X}")


def _not_taken(stored: StoredObject, remote: Remote, why: str) -> bool:
    log.warning("%s did not take instance %s: %s", remote.ae_title, stored.sop_uid, why)
    return False


def contexts_of(waiting: Iterable[StoredObject]) -> set[tuple[str, str]]:
    """Return what to propose for the first of the waiting instances, up to the limit of 128."""
    contexts: set[tuple[str, str]] = set()
    for stored in waiting:
        contexts.add(pair_of(stored))
        if len(contexts) == MAX_CONTEXTS:
            break
    return contexts
