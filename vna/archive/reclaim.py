"""Packs of lower tiers in which nothing is needed any more: let go of for good, and removed.

    1  no group of stores goes on that may count on what is in the pack
    2  a pack of the hot tier says that it counts no more; it is synced, and the index applies it
    3  it is removed from its tier; a removal that failed is done at the next run

A pack is needed while it has the only good copy of a blob that a version needs, or a copy that was
not set back by a move: what was recalled to the hot tier keeps its copy below.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from vna.archive.alone import Alone
from vna.archive.commit import encode_commit
from vna.archive.recover import recover
from vna.archive.turnstile import Turnstile
from vna.archive.vacate import damage_holds, settled
from vna.clock import Clock
from vna.errors import Unavailable
from vna.index import Index, Mutation, Reader
from vna.storage import HOT, BlobStore, commit_record, pack_name, tier_of
from vna.types import BlobPlace, DropCommit, PackId

__all__ = ["reclaim"]

log = logging.getLogger(__name__)

BATCH = 1024
PATIENCE_S = 2.0


def reclaim(
    data: Path,
    store: BlobStore,
    index: Index,
    clock: Clock,
    stop: threading.Event | None = None,
) -> int:
    """Remove what is not needed of lower tiers; return how many packs that were.

    Looks at every blob of the index when there is a pack that nothing is served from. Raises Busy
    while another process moves or compacts (with `stop` it waits until that is set), Full,
    Unavailable when a tier is away.
    """
    with Alone(data).taken(stop), closing(Turnstile(data)) as turnstile:
        recover(store, index)
        removed = sum(_drop(store, index, turnstile, clock, *each) for each in _idle(index).items())
        _remove(store, index)
    return removed


def _idle(index: Index) -> dict[PackId, list[bytes]]:
    """Return the packs that are not needed, with the blobs that are known in them."""
    with index.read() as reader:
        held = damage_holds(reader)
        idle: dict[PackId, list[bytes]] = {
            pack: []
            for pack, use in reader.packs().items()
            if tier_of(pack) != HOT and not use.dropped and not use.live and pack not in held
        }
    after = b""
    while idle:
        with index.read() as reader:
            page = reader.known(after, BATCH)
            for digest, refs, places in page:
                for place in places:
                    if place.pack in idle:
                        idle[place.pack].append(digest)
                        if refs and not _spare(reader, digest, place, places):
                            del idle[place.pack]
        if not page:
            break
        after = page[-1][0]
    return idle


def _spare(reader: Reader, digest: bytes, place: BlobPlace, places: Iterable[BlobPlace]) -> bool:
    others = [each for each in places if each.pack != place.pack]
    return bool(others) and reader.moved(digest, place)


def _drop(  # noqa: PLR0917
    store: BlobStore,
    index: Index,
    turnstile: Turnstile,
    clock: Clock,
    pack: PackId,
    digests: list[bytes],
) -> bool:
    """Let go of a pack if it is still not needed when nobody can begin to count on it."""
    with turnstile.drained(PATIENCE_S) as drained:
        if not drained or not settled(store, index):
            return False
        with index.read() as reader:
            for digest in digests:
                places = reader.places(digest)
                here = [place for place in places if place.pack == pack]
                if not all(_spare(reader, digest, place, places) for place in here):
                    return False
            stamp = max(clock.stamp(), reader.last_stamp() + 1)
        writer = store.writer()
        try:
            drop = DropCommit(stamp, pack, digests)
            _, mark = writer.append_records([commit_record(encode_commit(drop))])
            writer.sync()
            index.apply([Mutation(drop)], {mark.pack: mark.end})
        finally:
            writer.close()
    log.info("pack %s is not needed any more", pack_name(pack))
    return True


def _remove(store: BlobStore, index: Index) -> None:
    """Remove what was let go of from its tier. Raises Unavailable when one is away."""
    with index.read() as reader:
        dropped = {pack for pack, use in reader.packs().items() if use.dropped}
    if not dropped:
        return
    index.sync()  # the index must not come back from a power loss naming a pack that is gone
    away = ""
    for number in {tier_of(pack) for pack in dropped}:
        try:
            for there in store.lower_packs(number):
                if there.id in dropped:
                    store.discard(there.id)
        except Unavailable as error:
            away = str(error)
    if away:
        raise Unavailable(away)
