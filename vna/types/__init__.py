"""The words that rooms exchange: plain values, no behaviour beyond what their names say.

Glossary
    level        PATIENT, STUDY, SERIES or INSTANCE (PS3.4 C.6)
    path key     an element's address in `Attributes`: its tag as an int, or for an element inside
                 the items of a top-level sequence `(sequence tag << 32) | tag`
    stamp        version of a mutation, see `vna.clock`
    blob         an immutable run of bytes, named by its BLAKE3-256 digest
    header       a data set without its bulk values, preceded by the Part 10 preamble and file meta
                 information when the object came with one
    hole         the place in a header where a bulk value was taken out
    commit       a mutation of the archive, durable in a pack, applied to the index
"""

from vna.types.commit import (
    Commit,
    CopyCommit,
    DamageCommit,
    DeleteCommit,
    DropCommit,
    DuplicatePolicy,
    MoveCommit,
    PurgeCommit,
    RestoreCommit,
    StoreCommit,
    VoidCommit,
)
from vna.types.objects import Attributes, FrameKind, Frames, Geometry, Hole, Level, Value, Version
from vna.types.places import BlobKind, BlobPlace, PackId
from vna.types.query import Key, Match, Query
from vna.types.remote import Remote

__all__ = [
    "Attributes",
    "BlobKind",
    "BlobPlace",
    "Commit",
    "CopyCommit",
    "DamageCommit",
    "DeleteCommit",
    "DropCommit",
    "DuplicatePolicy",
    "FrameKind",
    "Frames",
    "Geometry",
    "Hole",
    "Key",
    "Level",
    "Match",
    "MoveCommit",
    "PackId",
    "PurgeCommit",
    "Query",
    "Remote",
    "RestoreCommit",
    "StoreCommit",
    "Value",
    "Version",
    "VoidCommit",
]
