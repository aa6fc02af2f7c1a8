"""What is on which tier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from vna.archive.access import TierReads
from vna.archive.every import living_instances
from vna.archive.tiers import Tiers
from vna.errors import VnaError
from vna.index import Index, Instance, Reader
from vna.storage import HOT, BlobStore, tier_of
from vna.types import BlobPlace, Version

__all__ = ["ONLINE", "TierState", "availability", "largest_bulk", "tier_states"]

ONLINE, NEARLINE = "ONLINE", "NEARLINE"
DAY_S = 86_400


@dataclass(slots=True)
class TierState:
    """One tier, and the instances whose bulk it serves.

    `objects` have data sets of `bytes_raw`, and records of `bytes_stored`. `oldest` and `newest` are
    when they were received (ISO 8601, UTC), or None. Its `packs` have `bytes_packs`, copies and what
    is not needed any more included; -1 while the tier is away. `reads` from it were noted in the
    access log in the last day, `bytes_read_s` bytes a second on average. `state` is "ready" or
    "away", and `reason` says why.
    """

    kind: str
    objects: int = 0
    bytes_raw: int = 0
    bytes_stored: int = 0
    oldest: str | None = None
    newest: str | None = None
    packs: int = 0
    bytes_packs: int = 0
    reads: int = 0
    bytes_read_s: float = 0.0
    state: str = "ready"
    reason: str = ""


def tier_states(
    store: BlobStore, index: Index, tiers: Tiers, reads: Mapping[str, TierReads]
) -> dict[str, TierState]:
    """Return what is on each tier, by its name, from hot to cold. Looks at every instance.

    `reads` are those of the last day, by tier.
    """
    states = {
        number: TierState(each.kind) for number, each in sorted(tiers.names.items(), key=_order)
    }
    spans: dict[int, tuple[int, int]] = {}
    for instance in living_instances(index):
        version = instance.version
        with index.read() as reader:
            number = tier_of_version(reader, version)
        state = states.setdefault(number, TierState("unknown", state="away"))
        state.objects += 1
        state.bytes_raw += version.length
        first, last = spans.get(number, (version.stamp, version.stamp))
        spans[number] = min(first, version.stamp), max(last, version.stamp)
    with index.read() as reader:
        uses = reader.packs()
    for pack, use in uses.items():
        if not use.dropped:
            state = states.setdefault(tier_of(pack), TierState("unknown", state="away"))
            state.bytes_stored += use.live
    for number, state in states.items():
        if number in spans:
            state.oldest, state.newest = map(_when, spans[number])
        _ask(store, number, state)
    names = {number: each.name for number, each in tiers.names.items()}
    named = {names.get(number, f"tier {number}"): state for number, state in states.items()}
    for name, read in reads.items():
        if name in named:
            named[name].reads, named[name].bytes_read_s = read.reads, read.bytes / DAY_S
    return named


def tier_of_version(reader: Reader, version: Version) -> int:
    """Return the number of the tier that serves the largest bulk value; without any, the hot one."""
    bulk = largest_bulk(version)
    place = reader.blob(bulk) if bulk is not None else None
    return tier_of(place.pack) if place is not None else HOT


def largest_bulk(version: Version) -> bytes | None:
    """Return the digest of the largest bulk value, None without any."""
    largest = max(version.holes, key=lambda hole: hole.length, default=None)
    return largest.blob if largest is not None else None


def availability(
    reader: Reader, instances: Iterable[Instance], at_hand: Callable[[BlobPlace], bool]
) -> str:
    """Return the Instance Availability (PS3.3 C.4.23.1.1) of the least available of instances.

    `at_hand` says whether a blob is on the hot tier, or in the cache.
    """
    bulk = (largest_bulk(instance.version) for instance in instances)
    places = (reader.blob(digest) for digest in bulk if digest is not None)
    return ONLINE if all(place is None or at_hand(place) for place in places) else NEARLINE


def _ask(store: BlobStore, number: int, state: TierState) -> None:
    try:
        packs = store.packs() if number == HOT else store.lower_packs(number)
    except VnaError as error:
        state.state, state.reason = "away", str(error)
        state.packs = state.bytes_packs = -1
    else:
        state.packs, state.bytes_packs = len(packs), sum(pack.size for pack in packs)


def _order(item: tuple[int, object]) -> bool:
    return item[0] != HOT


def _when(stamp: int) -> str:
    return f"{datetime.fromtimestamp(stamp // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
