"""Removing a pack out of which all that is needed was moved (docs/design/compaction.md, step 4).

What is needed is counted by the index, and grows by stores that count on a blob of another version,
or have a value in a pack of its own. They look whether it is needed, and not moving, or there, in
their group; so once all was moved, and every group that began before has ended or been settled, what
the pack holds can only be needed by what is in the index already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from vna.archive.recover import recover
from vna.archive.turnstile import Turnstile
from vna.errors import Busy
from vna.index import Index, Reader
from vna.storage import BlobRecord, BlobStore, DamagedRecord, MissingPack, pack_name
from vna.types import BlobPlace, PackId

__all__ = ["damage_holds", "settled", "unaccounted", "vacate"]

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long stores are kept waiting, at the very most, for one that goes on."""
BATCH = 512


def vacate(store: BlobStore, index: Index, turnstile: Turnstile, pack: PackId) -> bool:
    """Remove a pack if nothing in it is needed; say whether it was.

    Raises Busy when a group of stores does not end, so that it cannot be said; Unavailable, Full.
    """
    with index.read() as reader:
        if not reader.packs()[pack].emptied or pack in damage_holds(reader):
            return False
    if unaccounted(store, index, pack):
        return False
    recover(store, index)  # now, so that the next one, for which all stores wait, has little to do
    with turnstile.drained(PATIENCE_S) as drained:
        if not drained or not settled(store, index):
            raise Busy(f"pack {pack_name(pack)} stays for now: a group of stores goes on")
        with index.read() as reader:
            if not reader.packs()[pack].emptied:  # its end was settled only now
                return False
    kept = sum(index.forget(pack, digests, store.has) for digests in _digests(store, index, pack))
    if kept:
        log.info("pack %s stays: %d blobs of it are needed again", pack_name(pack), kept)
        return False
    index.sync()  # the index must not come back from a power loss naming a pack that is gone
    store.remove(pack)
    return True


def damage_holds(reader: Reader) -> set[PackId]:
    """Return the packs that hold a needed blob of which every copy is damaged."""
    return {
        damaged.place.pack
        for digest, damaged in reader.damage()
        if reader.refs(digest) and reader.blob(digest) is None
    }


def unaccounted(store: BlobStore, index: Index, pack: PackId) -> DamagedRecord | None:
    """Return damaged bytes of a pack that are not all of known blobs; None if there are none.

    They may be of commit records that are nowhere else. Looks at every blob of the index when the
    pack is damaged at all; nothing is hidden by damage of its header.
    """
    walk = store.records(pack)
    damaged = [each for each in walk if isinstance(each, DamagedRecord) and each.offset]
    places = sorted(_places_in(index, pack)) if damaged else []
    return next((span for span in damaged if not _covered(span, places)), None)


def _places_in(index: Index, pack: PackId) -> Iterator[tuple[int, int]]:
    """Yield where blobs are known in a pack, and where they end; damaged copies too."""
    with index.read() as reader:
        condemned = [damaged.place for _, damaged in reader.damage()]
    yield from _within(pack, condemned)
    after = b""
    while True:
        with index.read() as reader:
            page = reader.known(after, BATCH)
        if not page:
            return
        for _, _, places in page:
            yield from _within(pack, places)
        after = page[-1][0]


def _within(pack: PackId, places: Iterable[BlobPlace]) -> Iterator[tuple[int, int]]:
    return ((each.offset, each.offset + each.size) for each in places if each.pack == pack)


def _covered(span: DamagedRecord, places: Iterable[tuple[int, int]]) -> bool:
    """Say whether places, in order, leave nothing of a span."""
    at = span.offset
    for offset, end in places:
        if offset <= at < end:
            at = end
    return at >= span.end


def settled(store: BlobStore, index: Index) -> bool:
    """Say whether every record is applied; settles first what dead processes left.

    A process that dies just now may still have its pack.
    """
    recover(store, index, wait=False)
    with index.read() as reader:
        marks = reader.marks()
    for pack in store.packs():
        mark = marks.get(pack.id, 0)
        # A large object that arrives has no record yet, however long it takes.
        try:
            if mark < pack.size and store.has_record(pack.id, mark):
                return False
        except MissingPack:
            continue
    return True


def _digests(store: BlobStore, index: Index, pack: PackId) -> Iterator[list[bytes]]:
    """Yield the blobs of a pack; of a damaged one those of the whole index, for any may be of it."""
    found: list[bytes] = []
    for record in store.records(pack):
        if isinstance(record, BlobRecord):
            found.append(record.digest)
        elif isinstance(record, DamagedRecord):
            yield from _all_digests(index)
            return
    for start in range(0, len(found), BATCH):
        yield found[start : start + BATCH]


def _all_digests(index: Index) -> Iterator[list[bytes]]:
    after = b""
    while True:
        with index.read() as reader:
            page = [digest for digest, _ in reader.blobs(after, BATCH)]
        if not page:
            return
        yield page
        after = page[-1]
