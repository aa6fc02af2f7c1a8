"""Commit records: every mutation of the archive, self-contained, idempotent, ordered by stamp.

They are written to packs as MessagePack arrays, tagged by their first member; a member is only
ever added at the end, with a default.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from vna.types.objects import Attributes, Level, Version
from vna.types.places import BlobPlace, PackId

DuplicatePolicy: TypeAlias = Literal["keep", "replace", "reject"]
"""What becomes of an object whose SOP Instance UID is stored already with other bytes:
`keep` the first and say success, `replace` it and keep the old version, `reject` the new one."""


class StoreCommit(msgspec.Struct, frozen=True, array_like=True, tag="store"):
    """An instance was stored.

    `patient_key` groups studies into patients; the attributes are those of the indexed set.
    """

    stamp: int
    policy: DuplicatePolicy
    patient_key: str
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class: str
    patient: Attributes
    study: Attributes
    series: Attributes
    instance: Attributes
    version: Version


class DeleteCommit(msgspec.Struct, frozen=True, array_like=True, tag="delete"):
    """All instances of `uid` at `level` (study, series or instance) older than `stamp` are deleted."""

    stamp: int
    level: Level
    uid: str
    reason: str


class VoidCommit(msgspec.Struct, frozen=True, array_like=True, tag="void"):
    """The store with stamp `voided` of `sop_uid` was refused when it was applied; replay skips it.

    `content` names what it brought by its id (`vna.index.content_id`), as another process may have given
    the same stamp to a store that was taken; one that is empty stands for any.
    """

    stamp: int
    voided: int
    sop_uid: str
    content: bytes = b""


class RestoreCommit(msgspec.Struct, frozen=True, array_like=True, tag="restore"):
    """What `store` brought is alive again and the current version of its instance.

    It counts as if stored at `stamp`, whatever the policy for duplicates; what the archive says of
    patient, study and series stays as the stores have it. `store` is the first store of those
    bytes, so that the record needs no other.
    """

    stamp: int
    store: StoreCommit
    reason: str


class DamageCommit(msgspec.Struct, frozen=True, array_like=True, tag="damage"):
    """The copy of a blob at `place` fails its check, for `reason`; with none it is sound again.

    Of several commits about one place the one with the largest stamp holds.
    """

    stamp: int
    digest: bytes
    place: BlobPlace
    reason: str


class MoveCommit(msgspec.Struct, frozen=True, array_like=True, tag="move"):
    """The blobs at `places` are elsewhere now, or nobody needs them: prefer any other copy.

    The commit records of `pack` before offset `end` are in another pack too (0: none were moved).
    """

    stamp: int
    pack: PackId
    end: int
    places: list[tuple[bytes, BlobPlace]]


class CopyCommit(msgspec.Struct, frozen=True, array_like=True, tag="copy"):
    """Copies of the blobs are at `places`, in whole packs on tiers below the hot one.

    It stands in a pack of the hot tier, which alone makes the index.
    """

    stamp: int
    places: list[tuple[bytes, BlobPlace]]


class DropCommit(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """A pack of a lower tier is let go of for good: its copies, of the blobs `digests`, count no more."""

    stamp: int
    pack: PackId
    digests: list[bytes]


class PurgeCommit(msgspec.Struct, frozen=True, array_like=True, tag="purge"):
    """Contents of an instance are let go for good: their blobs are not needed for it any more.

    `contents` names each by its id (`vna.index.content_id`), with a stamp: it counts for nothing as
    long as its newest store or restore is not above that.
    """

    stamp: int
    sop_uid: str
    contents: list[tuple[bytes, int]]
    reason: str


Commit: TypeAlias = (
    StoreCommit
    | DeleteCommit
    | VoidCommit
    | RestoreCommit
    | DamageCommit
    | MoveCommit
    | CopyCommit
    | DropCommit
    | PurgeCommit
)
