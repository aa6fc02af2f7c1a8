"""Which objects are meant and where their blobs are: asked of the index, or remembered.

What was looked up is remembered as long as the index does not change, so that who reads on in a
series or a multi-frame object is answered without a transaction. What is not remembered is looked
up on the event loop, as long as the index is in memory, and else in a thread.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from vna.archive.glances import Glances
from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from vna.errors import Corrupt, Deleted, NotFound, WouldWait
from vna.index import Index, Instance, Reader, Series, Snapshots, Study
from vna.storage import HOT, tier_of
from vna.types import BlobPlace, Version

__all__ = ["IndexLookup", "Lookup", "PromptLookup", "Recent", "StoredObject"]

T = TypeVar("T")

FEW_BLOBS = 8
"""Places of an instance's blobs are looked up with it when they are no more than this."""
BEHIND = 15
"""Instances looked up with one of a series that is being read through: a thread is asked less often."""
SERIES_READ = 64
"""Series of which it is known that they are being read through."""


class StoredObject(msgspec.Struct, frozen=True):
    """An instance as it stands, and who it belongs to."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    version: Version

    @property
    def transfer_syntax(self) -> str:
        """UID of the transfer syntax it is stored in."""
        return _transfer_syntax(self.version.transfer_syntax)

    @property
    def length(self) -> int:
        """Bytes of the data set."""
        return self.version.length


@lru_cache(maxsize=64)
def _transfer_syntax(recorded: str) -> str:
    """Return the transfer syntax recorded, if it can be one: it becomes part of HTTP headers.

    What a file said was recorded as it stood once, and read as Explicit VR Little Endian.
    """
    return recorded if re.fullmatch(r"[0-9.]{1,64}", recorded) else EXPLICIT_VR_LITTLE_ENDIAN


class Lookup(Protocol):
    """Finds objects and blobs."""

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """Return the live instances of a study, series, or the one instance, in arrival order.

        Raises Deleted or NotFound, naming the level and UID, when there is none.
        """

    def state(self, study_uid: str, series_uid: str | None) -> str:
        """Return a text that every change in a study or series changes. Raises as `objects` does."""

    def places(self, wanted: Iterable[tuple[StoredObject, bytes]]) -> list[BlobPlace]:
        """Return where blobs of instances are. Raises Corrupt for one without a sound copy."""

    def place(self, stored: StoredObject, digest: bytes) -> BlobPlace:
        """Return where a blob of an instance is; as `places` otherwise."""


class Recent:
    """What was looked up of late, all of one generation of the index; never waits.

    Raises WouldWait for what it does not have. Forgets everything when the index changes, or
    when it holds `most` objects. Thread-safe.
    """

    def __init__(self, index: Index, most: int) -> None:
        self._index = index
        self._most = most
        self._generation = -1
        self._objects: dict[str, StoredObject] = {}
        self._places: dict[bytes, BlobPlace] = {}
        self._states: dict[tuple[str, str | None], str] = {}
        self._series: deque[str] = deque(maxlen=SERIES_READ)
        self._lock = threading.Lock()

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """Return the one instance that is asked for; lists are not remembered."""
        self._hold()
        found = self._objects.get(sop_uid or "")
        if (
            found is None
            or found.study_uid != study_uid
            or series_uid not in (None, found.series_uid)
        ):
            raise WouldWait
        return [found]

    def state(self, study_uid: str, series_uid: str | None) -> str:
        """Return the state of a study or series."""
        self._hold()
        state = self._states.get((study_uid, series_uid))
        if state is None:
            raise WouldWait
        return state

    def places(self, wanted: Iterable[tuple[StoredObject, bytes]]) -> list[BlobPlace]:
        """Return where blobs are."""
        self._hold()
        try:
            return [self._places[digest] for _, digest in wanted]
        except KeyError:
            raise WouldWait from None

    def place(self, stored: StoredObject, digest: bytes) -> BlobPlace:  # noqa: ARG002
        """Return where a blob is."""
        self._hold()
        place = self._places.get(digest)
        if place is None:
            raise WouldWait
        return place

    def note(
        self,
        generation: int,
        objects: Iterable[StoredObject] = (),
        places: Iterable[tuple[bytes, BlobPlace]] = (),
        states: Iterable[tuple[tuple[str, str | None], str]] = (),
    ) -> None:
        """Remember what a snapshot of `generation` said."""
        with self._lock:
            if generation < self._generation:
                return
            held = max(len(self._objects), len(self._places) // FEW_BLOBS, len(self._states))
            if generation > self._generation or held >= self._most:
                # New tables: a look-up under way may still use the old ones.
                self._objects, self._places, self._states = {}, {}, {}
                self._generation = generation
            self._objects.update((stored.sop_uid, stored) for stored in objects)
            self._places.update(places)
            self._states.update(states)

    def is_read(self, series_uid: str) -> bool:
        """Say whether an instance of a series was looked up of late, and remember that one was."""
        with self._lock:
            known = series_uid in self._series
            if not known:
                self._series.append(series_uid)
        return known

    def _hold(self) -> None:
        if self._index.generation != self._generation:
            raise WouldWait


class Noted(Protocol):
    """Is told of which series blobs are."""

    def note(
        self, study_uid: str, series_uid: str, blobs: Iterable[tuple[bytes, BlobPlace]]
    ) -> None:
        """Take note of blobs that were looked up."""


class IndexLookup:
    """Asks the index, and has `recent` remember what it said. May wait for a disk."""

    def __init__(self, index: Snapshots, recent: Recent, recalls: Noted) -> None:
        self._index = index
        self._recent = recent
        self._recalls = recalls

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """See `Lookup`."""
        with self._index.read() as reader:
            if sop_uid is not None:
                study, _ = _parents(reader, study_uid, None)
                run = self._instance(reader, study.id, series_uid, sop_uid)
                for stored in run:
                    places = list(_few_places(reader, stored))
                    self._recalls.note(stored.study_uid, stored.series_uid, places)
                    self._recent.note(reader.generation, [stored], places)
                return run[:1]
            study, series = _parents(reader, study_uid, series_uid)
            if series is None:
                series_of = {series.id: series.uid for series in reader.series_of(study.id)}
                found = reader.instances_of(study.id)
            else:
                series_of = {series.id: series.uid}
                found = reader.instances_of(study.id, series.id)
            return [
                _stored(study_uid, _series_uid(series_of, instance), instance) for instance in found
            ]

    def state(self, study_uid: str, series_uid: str | None) -> str:
        """See `Lookup`."""
        with self._index.read() as reader:
            study, series = _parents(reader, study_uid, series_uid)
            row = series or study
            # The feed's number alone would do, had it not another meaning in a rebuilt index.
            state = f"{row.changed} {row.updated} {row.instances} {row.bytes}"
            self._recent.note(reader.generation, states=[((study_uid, series_uid), state)])
        return state

    def places(self, wanted: Iterable[tuple[StoredObject, bytes]]) -> list[BlobPlace]:
        """See `Lookup`."""
        found = []
        with self._index.read() as reader:
            for stored, digest in wanted:
                found.append((digest, _place(reader, digest, stored.sop_uid)))
                self._recalls.note(stored.study_uid, stored.series_uid, found[-1:])
            self._recent.note(reader.generation, places=found)
        return [place for _, place in found]

    def place(self, stored: StoredObject, digest: bytes) -> BlobPlace:
        """See `Lookup`."""
        return self.places([(stored, digest)])[0]

    def _instance(
        self, reader: Reader, study_id: int, series_uid: str | None, sop_uid: str
    ) -> list[StoredObject]:
        """Return an instance; with those behind it in its series if that is being read through."""
        instance = reader.instance(sop_uid)
        if instance is None or instance.study_id != study_id:
            raise _absent(reader.tombstone(sop_uid) is not None, "instance", sop_uid)
        study, series = reader.study_above(instance), reader.series_above(instance)
        if series_uid is not None and series.uid != series_uid:
            raise NotFound(f"instance {sop_uid} is not in series {series_uid}")
        found = [instance]
        if self._recent.is_read(series.uid):
            after = (instance.study_id, instance.series_id, instance.id)
            found += islice(reader.instances_of(*after[:2], after), BEHIND)
        return [_stored(study.uid, series.uid, each) for each in found]


class PromptLookup:
    """Knows what is remembered, and has a glance at the index for a little more; never waits.

    Raises WouldWait for lists, and for what is on far tiers.
    """

    def __init__(self, recent: Recent, glances: Glances) -> None:
        self._recent = recent
        self._glances = glances

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """See `Lookup`."""
        try:
            return self._recent.objects(study_uid, series_uid, sop_uid)
        except WouldWait:
            if sop_uid is None:
                raise
        return self._glance(lambda index: index.objects(study_uid, series_uid, sop_uid))

    def state(self, study_uid: str, series_uid: str | None) -> str:
        """See `Lookup`."""
        try:
            return self._recent.state(study_uid, series_uid)
        except WouldWait:
            return self._glance(lambda index: index.state(study_uid, series_uid))

    def places(self, wanted: Iterable[tuple[StoredObject, bytes]]) -> list[BlobPlace]:
        """See `Lookup`."""
        wanted = list(wanted)
        try:
            return self._recent.places(wanted)
        except WouldWait:
            return self._glance(lambda index: index.places(wanted))

    def place(self, stored: StoredObject, digest: bytes) -> BlobPlace:
        """See `Lookup`."""
        try:
            return self._recent.place(stored, digest)
        except WouldWait:
            return self._glance(lambda index: index.place(stored, digest))

    def _glance(self, ask: Callable[[IndexLookup], T]) -> T:
        return self._glances.read(lambda glance: ask(IndexLookup(glance, self._recent, _Near())))


class _Near:
    """Lets only blobs of the hot tier pass: reading the others is a thread's work from the start."""

    def note(
        self,
        study_uid: str,  # noqa: ARG002
        series_uid: str,  # noqa: ARG002
        blobs: Iterable[tuple[bytes, BlobPlace]],
    ) -> None:
        if any(tier_of(place.pack) != HOT for _, place in blobs):
            raise WouldWait


def _parents(reader: Reader, study_uid: str, series_uid: str | None) -> tuple[Study, Series | None]:
    """Return a study, and the series of it that is named. Raises Deleted or NotFound."""
    study = reader.study(study_uid)
    if study is None:
        raise _absent(reader.deleted_study(study_uid), "study", study_uid)
    if series_uid is None:
        return study, None
    series = reader.series(series_uid, study.id)
    if series is None:
        raise _absent(reader.deleted_series(series_uid), "series", series_uid)
    return study, series


def _absent(deleted: bool, level: str, uid: str) -> NotFound:
    if deleted:
        return Deleted(f"{level} {uid} was deleted")
    return NotFound(f"{level} {uid} is not in the archive")


def _series_uid(series_of: Mapping[int, str], instance: Instance) -> str:
    uid = series_of.get(instance.series_id)
    if uid is None:
        raise Corrupt(
            f"instance {instance.uid}: its index entry names a series that its study does not have;"
            " `vna rebuild-index` makes it again"
        )
    return uid


def _stored(study_uid: str, series_uid: str, instance: Instance) -> StoredObject:
    return StoredObject(study_uid, series_uid, instance.uid, instance.sop_class, instance.version)


def _place(reader: Reader, digest: bytes, sop_uid: str) -> BlobPlace:
    place = reader.blob(digest)
    if place is None:
        raise Corrupt(f"instance {sop_uid}: blob {digest.hex()} has no undamaged copy")
    return place


def _few_places(reader: Reader, stored: StoredObject) -> Iterator[tuple[bytes, BlobPlace]]:
    """Yield where the blobs of an object are, unless they are many."""
    version = stored.version
    digests = [version.header, *(hole.blob for hole in version.holes[: FEW_BLOBS + 1])]
    if version.frames is not None and version.frames.table is not None:
        digests.append(version.frames.table)
    if len(digests) <= FEW_BLOBS:
        for digest in digests:
            if (place := reader.blob(digest)) is not None:
                yield digest, place
