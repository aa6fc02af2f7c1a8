"""Tables and keys, as docs/format/index.md draws them."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import TypeAlias

from vna.errors import Invalid
from vna.types import BlobPlace, Level

__all__ = [
    "DIGEST_BYTES",
    "MAX_KEY",
    "MAX_UID",
    "SCHEMA_VERSION",
    "EntityId",
    "Table",
    "barrier_key",
    "buried_key",
    "copy_key",
    "gone_series_key",
    "ids_of",
    "instance_key",
    "name_key",
    "patient_key",
    "patient_studies_key",
    "purge_key",
    "purges_key",
    "row_key",
    "secondary_key",
    "series_key",
    "study_key",
    "void_key",
]

SCHEMA_VERSION = 2

EntityId: TypeAlias = tuple[int, ...]
"""Ids from the top: (patient,), (study,), (study, series) or (study, series, instance)."""

DIGEST_BYTES = 32
MAX_KEY = 400
MAX_UID = 128

META_SCHEMA = b"schema"
META_ARCHIVE = b"archive"
META_STATE = b"state"

_PACKED = [Struct(">"), Struct(">Q"), Struct(">QQ"), Struct(">QQQ")]
_PARTS = {Level.PATIENT: 1, Level.STUDY: 1, Level.SERIES: 2, Level.INSTANCE: 3}
_LEVEL = [bytes([level]) for level in Level]
_PATIENT, _STUDY, _SERIES, _INSTANCE = _LEVEL
_FOUR = b"\x04"
_FIVE = b"\x05"


class Table(StrEnum):
    """The named databases of the environment."""

    META = "meta"
    PATIENTS = "patients"
    STUDIES = "studies"
    SERIES = "series"
    INSTANCES = "instances"
    UIDS = "uids"
    KEYS = "keys"
    GONE = "gone"
    BARRIERS = "barriers"
    BLOBS = "blobs"
    DAMAGED = "damaged"
    MOVED = "moved"
    PACKS = "packs"
    FEED = "feed"


# Names for what runs several times for each store: until Python 3.12 a member of an enumeration is
# found in ten times the time that a name takes.
(
    META,
    PATIENTS,
    STUDIES,
    SERIES,
    INSTANCES,
    UIDS,
    KEYS,
    GONE,
    BARRIERS,
    BLOBS,
    DAMAGED,
    MOVED,
    PACKS,
    FEED,
) = Table


def row_key(*ids: int) -> bytes:
    """Return the key of a row; also of a pack, a change, and the prefix of a parent's rows."""
    return _PACKED[len(ids)].pack(*ids)


def ids_of(key: bytes) -> EntityId:
    """Return the ids in a row key."""
    return _PACKED[len(key) // 8].unpack(key)


@lru_cache(1024)
def _text(uid: str) -> bytes:
    encoded = uid.encode()
    if not 0 < len(encoded) <= MAX_UID or 0 in encoded:
        raise Invalid(f"UID {uid!r}: 1 to {MAX_UID} bytes, none of them zero, are allowed")
    return encoded


def name_key(level: Level, name: str) -> bytes:
    """Return the key of a patient key, Study or SOP Instance UID in `uids` and `gone`.

    For a Series Instance UID it is the prefix of its keys in all studies.
    """
    if level is Level.PATIENT:
        return patient_key(name)
    if level is Level.SERIES:
        return _SERIES + _text(name) + b"\0"
    return _LEVEL[level] + _text(name)


def patient_key(key: str) -> bytes:
    """Return the key of a patient in `uids` and `gone`."""
    return _PATIENT + blake2b(key.encode(), digest_size=16).digest()


def study_key(uid: str) -> bytes:
    """Return the key of a study in `uids` and `gone`."""
    return _STUDY + _text(uid)


def instance_key(uid: str) -> bytes:
    """Return the key of an instance in `uids` and `gone`."""
    return _INSTANCE + _text(uid)


def series_key(uid: str, study_id: int) -> bytes:
    """Return the key of a living series in `uids`."""
    return _SERIES + _text(uid) + b"\0" + row_key(study_id)


def gone_series_key(uid: str, study_uid: str) -> bytes:
    """Return the key of a series in `gone`."""
    return _SERIES + _text(uid) + b"\0" + _text(study_uid)


def buried_key(study_uid: str, *below: str) -> bytes:
    """Return the key that lists a deleted instance in `gone`: study, series, instance.

    Without the last ones it is the prefix of all in a study or series.
    """
    uids = b"\0".join(_text(uid) for uid in (study_uid, *below))
    return _FOUR + uids if len(below) == 2 else _FOUR + uids + b"\0"


def secondary_key(level: Level, key: bytes, row: bytes = b"") -> bytes:
    """Return the key of an entry in `keys`, or without `row` the prefix of a secondary key."""
    return b"%b%b\0%b" % (_LEVEL[level], key, row)


def secondary_parts(level: Level, entry: bytes) -> tuple[bytes, EntityId]:
    """Return secondary key and ids of an entry in `keys`."""
    cut = len(entry) - 8 * _PARTS[level]
    return entry[1 : cut - 1], ids_of(entry[cut:])


def patient_studies_key(patient_id: int, *study_id: int) -> bytes:
    """Return the key that lists a study under its patient in `keys`, or the patient's prefix."""
    return _FOUR + row_key(patient_id, *study_id)


def barrier_key(level: Level, uid: str) -> bytes:
    """Return the key of a delete in `barriers`."""
    return _LEVEL[level] + _text(uid)


def copy_key(digest: bytes, place: BlobPlace) -> bytes:
    """Return the key of a copy of a blob in `damaged` and `moved`."""
    return digest + row_key(place.pack, place.offset)


def purges_key(sop_uid: str) -> bytes:
    """Return the prefix of an instance's purged contents in `barriers`."""
    return b"%b%b\0" % (_FIVE, _text(sop_uid))


def purge_key(sop_uid: str, content_id: bytes) -> bytes:
    """Return the key of a purged content of an instance in `barriers`."""
    return purges_key(sop_uid) + content_id


def void_key(sop_uid: str, stamp: int, content_id: bytes) -> bytes:
    """Return the key of a void in `barriers`; one without a content stands for any."""
    return b"%b%b\0%b%b" % (_FOUR, _text(sop_uid), row_key(stamp), content_id)
