"""Movement: the bulk of series to another tier, in whole packs, and back.

    1  the bulk of a series is read and checked, in the order in which it is looked at, and stored
       anew with the codec of the tier
    2  a whole pack of it is put on the tier, with copies of headers and of what the index says, and
       read back
    3  a pack of the hot tier says where the copies are, and that they are preferred to others; it
       is synced, and one index transaction applies it
    4  what nobody needs any more is freed: on the hot tier by compaction, below it by reclaim.py

docs/design/tiers.md says what a crash leaves at each step. One process of an archive moves or
compacts at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vna.archive.alone import Alone
from vna.archive.commit import encode_commit
from vna.archive.contents import Contents, contents_of
from vna.archive.intent import Intent
from vna.archive.leave import leaving
from vna.archive.quarantine import Quarantine
from vna.archive.recover import recover
from vna.clock import Clock
from vna.errors import Corrupt
from vna.index import Index, Mutation, Reader
from vna.storage import (
    HOT,
    LARGE_RECORD,
    BlobStore,
    CodecName,
    EncodedBlob,
    LargeBlob,
    PackWriter,
    WholePack,
    commit_record,
    tier_of,
)
from vna.types import BlobPlace, CopyCommit, Geometry, MoveCommit, PackId, StoreCommit

__all__ = ["Moved", "Mover", "Paced"]

PACK_BYTES = 128 << 20
"""Bytes of bulk in a whole pack, and so of memory; a larger record is in one by itself."""
ENOUGH = 4
"""A pack that is filled to this part when a series ends is put; else the next series goes on in it."""
STEP_BYTES = 16 << 20
STEP_BLOBS = 256

Paced = Callable[[int], None]
"""Told how many bytes were read; returns when it is time to read on, or raises to stop."""
Named = tuple[bytes, BlobPlace]
"""A blob and one of its places."""


@dataclass(slots=True)
class Moved:
    """What a move did: instances looked at, blobs and bytes copied, packs put for them.

    `switched` are blobs that had a copy on the tier, which is preferred now. `damaged` names blobs
    that could not be read whole; they stay where they are.
    """

    series: int = 0
    instances: int = 0
    blobs: int = 0
    switched: int = 0
    bytes_raw: int = 0
    bytes_stored: int = 0
    packs: int = 0
    damaged: list[str] = field(default_factory=list)


class _Load:
    """A pack in the making, and the blobs that have a copy on the tier already."""

    def __init__(self, created: int) -> None:
        self.whole = WholePack(created)
        self.digests: dict[bytes, None] = {}
        self.there: list[Named] = []
        self.headers: dict[bytes, StoreCommit | None] = {}

    def add(self, digest: bytes, record: EncodedBlob | LargeBlob) -> None:
        """Have a blob at the end, unless it is there: a bulk value may be some header, too."""
        if digest not in self.digests:
            self.whole.add(record)
            self.digests[digest] = None

    def named(self, pack: PackId) -> list[Named]:
        """Return where the blobs are when the pack has this name."""
        places = self.whole.places(pack)
        # Headers follow the bulk; records of stores, which name no blob, are last.
        stores = sum(store is not None for store in self.headers.values())
        return list(zip(self.digests, places[: len(places) - stores], strict=True))


class Mover:
    """Moves series to one tier. One thread; close it: that seals its pack on the hot tier.

    Methods raise Busy while another process moves or compacts (or wait, until `stop`) or settles
    what a killed mover left, Full, and Unavailable when a tier is away: what was moved by then is
    moved, the rest is as it was.
    """

    def __init__(  # noqa: PLR0917
        self,
        data: Path,
        store: BlobStore,
        index: Index,
        quarantine: Quarantine,
        clock: Clock,
        number: int,
        codec: CodecName,
        copies: Mapping[int, int],
        *,
        stop: threading.Event | None = None,
        pace: Paced | None = None,
        room: Callable[[], None] | None = None,
    ) -> None:
        """Move to tier `number`, which stores chunks with `codec`.

        A tier above lets go when as many tiers below it keep a blob as `copies` says of it. `room`
        raises Full when nothing more is to come to the hot tier.
        """
        self.done = Moved()
        self._store = store
        self._index = index
        self._quarantine = quarantine
        self._clock = clock
        self._number = number
        self._codec: CodecName = codec
        self._copies = copies
        self._stop = stop
        self._pace = pace or (lambda _size: None)
        self._room = room or (lambda: None)
        self._alone = Alone(data)
        self._intent = Intent(data, store, index, number)
        self._writer: PackWriter = store.writer()
        self._stamp = 0
        self._packs: set[PackId] = set()
        self._load = _Load(clock.stamp())

    def close(self) -> None:
        """Seal what was written, and let go."""
        try:
            self._writer.close()
        finally:
            self._alone.leave()

    def move(
        self, series: Iterable[tuple[str, str]], follow: Callable[[int], None] | None = None
    ) -> Moved:
        """Move series, named by study and series UIDs; those that are gone are passed over.

        `follow` is told of so many instances more that were dealt with.
        """
        self._begin()
        for study_uid, series_uid in series:
            with self._index.read() as reader:
                contents = contents_of(reader, study_uid, series_uid)
            if self._number == HOT:
                self._raise(contents)
            else:
                self._lower(contents)
            self.done.series += 1
            self.done.instances += contents.instances
            if follow is not None:
                follow(contents.instances)
            # What was read by now is switched to only from what the index says then.
            self._alone.leave()
            self._pace(0)
            self._alone.take(self._stop or threading.Event())
            self._intent.settle()
        self._put()
        return self.done

    def _begin(self) -> None:
        """Be the only one, settle what was left by one who was killed, see what is on the tier."""
        self._alone.take(self._stop)
        recover(self._store, self._index)
        self._intent.settle()
        if self._number != HOT:
            self._packs = {pack.id for pack in self._store.lower_packs(self._number)}

    def _wanted(self, contents: Contents) -> list[Named]:
        """Return the bulk of a series that must be copied, where it is served from now.

        What has a copy on the tier already is noted: it need only be preferred.
        """
        wanted: list[Named] = []
        with self._index.read() as reader:
            for bulk in contents.bulk:
                places = reader.places(bulk.digest)
                if not places or tier_of(places[0].pack) == self._number:
                    continue
                if bulk.digest in self._load.digests:
                    continue
                self._load.headers[bulk.header] = contents.stores.get(bulk.header)
                there = [place for place in places if place.pack in self._packs]
                there = [place for place in there if not reader.moved(bulk.digest, place)]
                if there:
                    self._load.there.append((bulk.digest, there[0]))
                else:
                    wanted.append((bulk.digest, places[0]))
        return wanted

    # down -------------------------------------------------------------------------------------
    def _lower(self, contents: Contents) -> None:
        """Have the bulk of a series in packs of the tier; what is in the last one may wait for more."""
        wanted = self._wanted(contents)
        size = sum(place.size for _, place in wanted)
        if len(self._load.whole) and self._load.whole.size + size > PACK_BYTES:
            self._put()
            wanted = self._wanted(contents)
        headers = {bulk.digest: bulk.header for bulk in contents.bulk}
        geometries = {bulk.digest: bulk.geometry for bulk in contents.bulk}
        for step in _steps(wanted):
            for (digest, _), record in self._lifted(step, self._codec, geometries):
                load = self._load
                if len(load.whole) and load.whole.size + record.size > PACK_BYTES:
                    self._put()
                    load = self._load
                load.add(digest, record)
                header = headers[digest]
                load.headers[header] = contents.stores.get(header)
                self.done.bytes_raw += record.length
                self.done.bytes_stored += record.size
        if self._load.whole.size * ENOUGH > PACK_BYTES:
            self._put()

    def _put(self) -> None:
        """Put the pack that was filled, and switch to what is in it."""
        load, self._load = self._load, _Load(self._clock.stamp())
        named: list[Named] = []
        count = len(load.digests)
        if load.digests:
            self._describe(load)
            pack = self._kept(load.whole)
            named = load.named(pack)
            self._packs.add(pack)
            self.done.packs += 1
        self._switch(named, load.there, set(load.headers))
        self._intent.end()
        self.done.blobs += count
        self.done.switched += len(load.there)

    def _kept(self, whole: WholePack) -> PackId:
        """Put a whole pack on the tier, noted, past names that are taken there; return its name.

        Whose packs have those names is not known: no note may name them.
        """
        while True:
            pack = self._store.reserve(self._number)
            if pack in self._packs:
                continue
            self._intent.begin(pack)
            try:
                self._store.keep(whole, pack)
            except FileExistsError:
                self._intent.end()
            else:
                return pack

    def _describe(self, load: _Load) -> None:
        """Add headers and records, so that the pack tells by itself what is in it."""
        with self._index.read() as reader:
            places = [(digest, reader.blob(digest)) for digest in load.headers]
        there = [(digest, place) for digest, place in places if place is not None]
        for (digest, _), record in self._lifted(there, None):
            load.add(digest, record)
        for store in load.headers.values():
            if store is not None:
                load.whole.add(commit_record(encode_commit(store)))

    def _switch(self, named: Sequence[Named], there: Sequence[Named], headers: set[bytes]) -> None:
        """Make durable where copies are, and prefer them to others; applied on return."""
        moved: list[Named] = []
        with self._index.read() as reader:
            stamp = self._next_stamp(reader)
            known = [each for each in there if each[1] in reader.places(each[0])]
            for digest, new in [*named, *known]:
                places = self._set_back(reader, digest, new, header=digest in headers)
                moved += [(digest, place) for place in places]
        if not named and not moved:
            return
        commits = [CopyCommit(stamp, list(named))] if named else []
        every: list[CopyCommit | MoveCommit] = [*commits, MoveCommit(stamp + 1, 0, 0, moved)]
        self._stamp = stamp + 1
        records = [commit_record(encode_commit(commit)) for commit in every]
        _, mark = self._writer.append_records(records)
        self._writer.sync()
        self._index.apply([Mutation(commit) for commit in every], {mark.pack: mark.end})
        self._writer.let_go()

    def _set_back(
        self, reader: Reader, digest: bytes, new: BlobPlace, *, header: bool
    ) -> list[BlobPlace]:
        """Return the copies of a blob that are not needed for the new one.

        Headers stay on the hot tier; their copies elsewhere leave with the bulk.
        """
        places = [each for each in reader.places(digest) if not reader.moved(digest, each)]
        if header:
            return [old for old in places if tier_of(old.pack) != HOT and old.pack != new.pack]
        gone = leaving({tier_of(each.pack) for each in places}, self._number, self._copies)
        return [
            old
            for old in places
            if (old.pack, old.offset) < (new.pack, new.offset)
            and tier_of(old.pack) in {self._number, *gone}
        ]

    # up ---------------------------------------------------------------------------------------
    def _raise(self, contents: Contents) -> None:
        """Have the bulk of a series on the hot tier; copies below stay."""
        for step in _steps(self._wanted(contents)):
            self._room()
            lifted: list[EncodedBlob] = []
            placed: list[Named] = []
            for (digest, place), record in self._lifted(step, None):
                if isinstance(record, EncodedBlob):
                    lifted.append(record)
                else:
                    copied = self._store.copy_large(place, digest)
                    placed.append((digest, copied))
            with self._index.read() as reader:
                self._stamp = self._next_stamp(reader)
            move = MoveCommit(self._stamp, 0, 0, [])
            records = [*lifted, commit_record(encode_commit(move))]
            places, mark = self._writer.append_records(records)
            self._writer.sync()
            marks = {place.pack: place.offset + place.size for _, place in placed}
            placed += zip((blob.digest for blob in lifted), places[:-1], strict=True)
            self._index.apply([Mutation(move, placed)], {**marks, mark.pack: mark.end})
            self._writer.let_go()
            self.done.blobs += len(placed)
            self.done.bytes_raw += sum(place.length for _, place in placed)
            self.done.bytes_stored += sum(place.size for _, place in placed)

    # both -------------------------------------------------------------------------------------
    def _lifted(
        self,
        named: Sequence[Named],
        codec: CodecName | None,
        geometries: Mapping[bytes, Geometry | None] | None = None,
    ) -> Iterator[tuple[Named, EncodedBlob | LargeBlob]]:
        """Yield blobs with their records, checked; those that are damaged are noted, and left."""
        small = [each for each in named if each[1].size <= LARGE_RECORD]
        for each, record in zip(small, self._store.lift_run(small, codec, geometries), strict=True):
            self._pace(each[1].size)
            if isinstance(record, Corrupt):
                self._damaged(each)
            else:
                yield each, record
        for each in named:
            digest, place = each
            if place.size > LARGE_RECORD:
                try:
                    yield each, self._store.large(place, digest)
                except Corrupt:
                    self._damaged(each)
                self._pace(place.size)

    def _damaged(self, named: Named) -> None:
        if reason := self._quarantine.verdict(*named):
            self.done.damaged.append(reason)

    def _next_stamp(self, reader: Reader) -> int:
        return max(self._clock.stamp(), self._stamp + 1, reader.last_stamp() + 1)


def _steps(named: Sequence[Named]) -> Iterator[list[Named]]:
    """Yield blobs some at a time, a large one by itself."""
    step: list[Named] = []
    size = 0
    for each in named:
        if step and (size + each[1].size > STEP_BYTES or len(step) >= STEP_BLOBS):
            yield step
            step, size = [], 0
        step.append(each)
        size += each[1].size
    if step:
        yield step
