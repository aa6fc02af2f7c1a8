"""Values of the index, as they lie in it and as readers hand them out.

All are MessagePack arrays; a member is only ever added at the end, with a default. Each value
handed out is the caller's own. Bytes that are no value of their kind are Corrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

import msgspec

from vna.errors import Corrupt
from vna.types import Attributes, BlobPlace, Version

__all__ = [
    "Barrier",
    "Blob",
    "Change",
    "ChangeKind",
    "Counts",
    "Damaged",
    "Instance",
    "PackUse",
    "Patient",
    "Purge",
    "Series",
    "State",
    "Study",
    "Tombstone",
    "decode_attributes",
    "decode_barrier",
    "decode_blob",
    "decode_change",
    "decode_damaged",
    "decode_instance",
    "decode_pack",
    "decode_patient",
    "decode_purge",
    "decode_series",
    "decode_state",
    "decode_study",
    "decode_tombstone",
    "encode",
]

T = TypeVar("T")

encode = msgspec.msgpack.Encoder().encode


class Patient(msgspec.Struct, array_like=True):
    """A patient: the studies that were stored under one patient key.

    `updated` is the largest stamp that named it; attributes are of that store. `studies` counts.
    """

    id: int
    key: str
    attributes: Attributes
    updated: int
    studies: int = 0


class Study(msgspec.Struct, array_like=True):
    """A study and what is in it.

    `created` and `updated` are the smallest and largest stamp of stores that named it; attributes
    and patient are of the largest. `changed` is the feed number of the last change in it.
    `modalities` counts series by Modality, `sop_classes` instances; `bytes` sums data sets.
    """

    id: int
    patient_id: int
    patient_key: str
    uid: str
    attributes: Attributes
    created: int
    updated: int
    changed: int = 0
    series: int = 0
    instances: int = 0
    bytes: int = 0
    modalities: dict[str, int] = {}
    sop_classes: dict[str, int] = {}


class Series(msgspec.Struct, array_like=True):
    """A series of a study; stamps, `changed` and `bytes` as for `Study`."""

    id: int
    study_id: int
    uid: str
    attributes: Attributes
    created: int
    updated: int
    changed: int = 0
    instances: int = 0
    bytes: int = 0
    modality: str = ""


class Instance(msgspec.Struct, array_like=True):
    """An instance that is alive.

    `version` is current, `older` are the others, newest first. `stamps[n]` is the stamp of the
    newest store or restore of the bytes of `[version, *older][n]`.
    """

    id: int
    study_id: int
    series_id: int
    uid: str
    sop_class: str
    attributes: Attributes
    version: Version
    older: list[Version]
    stamps: list[int]


class Tombstone(msgspec.Struct, array_like=True):
    """A deleted instance: where it was and all its versions, newest first (as in `Instance`)."""

    uid: str
    study_uid: str
    series_uid: str
    sop_class: str
    attributes: Attributes
    version: Version
    older: list[Version]
    stamps: list[int]


class Barrier(msgspec.Struct, frozen=True, array_like=True):
    """Stores with a stamp not above `stamp` are dead; `reason` is the delete's."""

    stamp: int
    reason: str


class Purge(msgspec.Struct, frozen=True, array_like=True):
    """A content counts for nothing while its newest store or restore is not above `upto`.

    `stamp` and `reason` are those of the purge.
    """

    upto: int
    stamp: int
    reason: str


class Blob(msgspec.Struct, array_like=True):
    """Where a blob is, and how many versions need it.

    `place` is the first in pack order of the undamaged ones that are known (None: there is none),
    those that were moved behind all others; `copies` are the rest.
    """

    place: BlobPlace | None
    refs: int
    copies: list[BlobPlace] = []


class Damaged(msgspec.Struct, frozen=True, array_like=True):
    """What was last said of a copy of a blob: why it is damaged, or with no reason that it is not."""

    place: BlobPlace
    stamp: int
    reason: str


class PackUse(msgspec.Struct, array_like=True):
    """How far a pack is applied; bytes of its known blobs, and of those that a version needs.

    `end` is the largest end of a blob that was ever known in it. `spare` are bytes of known blobs
    that are served from another place. Its commit records before `moved` are in another pack too.
    `dropped` says of a pack of a lower tier that it was let go of for good.
    """

    mark: int
    live: int
    total: int
    end: int = 0
    spare: int = 0
    moved: int = 0
    dropped: bool = False

    @property
    def dead(self) -> int:
        """Bytes of blobs that would not be missed."""
        return max(self.total - self.live + self.spare, 0)

    @property
    def emptied(self) -> bool:
        """True when nothing is lost with the pack: all was moved, and nothing in it is needed."""
        return 0 < self.moved >= self.mark and not self.live


class ChangeKind(IntEnum):
    """What happened to an instance."""

    STORED = 1
    UPDATED = 2
    DELETED = 3


class Change(msgspec.Struct, frozen=True, array_like=True):
    """An entry of the feed: `stamp` is of the commit that caused it."""

    seq: int
    stamp: int
    kind: ChangeKind
    study_uid: str
    series_uid: str
    sop_uid: str


class Counts(msgspec.Struct, array_like=True):
    """How much there is.

    `bytes` sums the data sets of current versions, `deleted` counts tombstones; `blobs` counts,
    and `blob_bytes` sums as records in packs, the blobs that a version needs.
    """

    patients: int = 0
    studies: int = 0
    series: int = 0
    instances: int = 0
    bytes: int = 0
    deleted: int = 0
    blobs: int = 0
    blob_bytes: int = 0


class State(msgspec.Struct, array_like=True):
    """The last id given at each level, the last feed number, the counts, the largest stamp."""

    patient: int = 0
    study: int = 0
    series: int = 0
    instance: int = 0
    change: int = 0
    counts: Counts = msgspec.field(default_factory=Counts)
    stamp: int = 0


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads a value of `kind`; it raises Corrupt for bytes that are none."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def decoded(value: bytes) -> T:
        try:
            return decode(value)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Corrupt(
                f"index: a {kind.__name__} does not decode ({error});"
                " `vna rebuild-index` makes it again"
            ) from error

    return decoded


decode_attributes = _decoder(Attributes)
decode_patient = _decoder(Patient)
decode_study = _decoder(Study)
decode_series = _decoder(Series)
decode_instance = _decoder(Instance)
decode_tombstone = _decoder(Tombstone)
decode_purge = _decoder(Purge)
decode_barrier = _decoder(Barrier)
decode_blob = _decoder(Blob)
decode_pack = _decoder(PackUse)
decode_damaged = _decoder(Damaged)
decode_change = _decoder(Change)
decode_state = _decoder(State)
