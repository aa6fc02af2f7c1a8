"""The index: what the archive holds, findable; LMDB under one door.

Everything in it can be made again from the packs. docs/format/index.md draws its bytes and states
what `Index.apply` promises.

Glossary
    row         an entity (patient, study, series, instance) that is alive, under surrogate ids
    gone        an entity that is known and not alive; a deleted instance is a *tombstone*
    barrier     the stamp up to which stores of a UID are dead, left by a delete
    purge       the mark of a content that was let go for good
    void        the mark of a store that was refused when it was applied
    keyer       the function that gives an entity's secondary keys
    mark        the offset of a pack up to which its commit records are applied
    feed        all visible changes, numbered without gaps
    glance      snapshots for an event loop: a few rows, none of them waited for
    content     the bytes of an instance: digest and transfer syntax
"""

from vna.index.compare import Difference, differences
from vna.index.entities import (
    Change,
    ChangeKind,
    Counts,
    Damaged,
    Instance,
    PackUse,
    Patient,
    Purge,
    Series,
    Study,
    Tombstone,
)
from vna.index.environment import leap_when_opened
from vna.index.glance import Glance, Snapshots
from vna.index.index import Index
from vna.index.layout import EntityId
from vna.index.ledger import blobs_of
from vna.index.mutation import REFUSED, Applied, Mutation, Outcome
from vna.index.reader import Reader
from vna.index.settings import IndexSettings, Keyer
from vna.index.versions import content_id

__all__ = [
    "REFUSED",
    "Applied",
    "Change",
    "ChangeKind",
    "Counts",
    "Damaged",
    "Difference",
    "EntityId",
    "Glance",
    "Index",
    "IndexSettings",
    "Instance",
    "Keyer",
    "Mutation",
    "Outcome",
    "PackUse",
    "Patient",
    "Purge",
    "Reader",
    "Series",
    "Snapshots",
    "Study",
    "Tombstone",
    "blobs_of",
    "content_id",
    "differences",
    "leap_when_opened",
]
