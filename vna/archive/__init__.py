"""The core: objects in, found, out and deleted, with one promise: acknowledged means kept.

Glossary
    ingest      one object on its way in
    access      a read of an object that was asked for by a front
    commit      a mutation that is durable in a pack and applied to the index
    proposal    a mutation on its way to being a commit
    history     the versions of an instance, and whether it is deleted
    standing    what the index says of an object before anything is written for it
    hold        the claim of all that use an archive, or of one alone that replaces its index
    recovery    applying what a crash left in packs beyond what the index has
    quarantine  copies of blobs known to be damaged: not served, replaced when they come again
    tier        where packs are: the hot one takes what arrives, those below it whole packs
    scrub       reading all blobs back, over and over, in the background
    recall      bringing the rest of a series into the cache when something of it is read
    relocation  copying blobs and commit records to another pack, which is then preferred
    movement    relocation of the bulk of series to another tier, in whole packs
    facts       what is known of a series and of a tier when moves are planned
    purge       letting go of versions for good; only a new store brings them back
    compaction  relocation out of packs with much that nobody needs, which are then removed
    span        bytes of a blob that an answer needs, not read yet
    run         bytes of an answer that leave in one go
    backup      one point in time of an archive, in another folder
"""

from vna.archive.access import Access, moment_of
from vna.archive.archive import Archive, Health, Stats
from vna.archive.backup import BackupReport
from vna.archive.check import CheckReport, Damage
from vna.archive.compact import Compacted, CompactionSettings, Victim
from vna.archive.expand import Expanded
from vna.archive.facts import SeriesFacts, TierFacts
from vna.archive.flow import Run
from vna.archive.fresh import fresh_of, share_fresh
from vna.archive.from_backup import RestoredBackup, restore_backup
from vna.archive.history import History
from vna.archive.ingest import Identified, Ingest, Stored
from vna.archive.inventory import TierState
from vna.archive.keeping import CacheState
from vna.archive.leave import leaving
from vna.archive.lookup import StoredObject
from vna.archive.movement import Moved
from vna.archive.pace import Background, Pace, Stopped
from vna.archive.patient import PatientStudy
from vna.archive.prompt import Read
from vna.archive.purge import Purged, RetentionSettings
from vna.archive.quarantine import LostBlob
from vna.archive.query import PlannedQuery
from vna.archive.rebuild import Rebuilt, rebuild_index
from vna.archive.restore import Restored
from vna.archive.retrieve import Retrieval
from vna.archive.scrub import ScrubSettings, ScrubState
from vna.archive.settings import ArchiveSettings
from vna.archive.spans import Item, Span, cut_items
from vna.archive.tiers import TierSettings
from vna.index import Outcome

__all__ = [
    "Access",
    "Archive",
    "ArchiveSettings",
    "Background",
    "BackupReport",
    "CacheState",
    "CheckReport",
    "Compacted",
    "CompactionSettings",
    "Damage",
    "Expanded",
    "Health",
    "History",
    "Identified",
    "Ingest",
    "Item",
    "LostBlob",
    "Moved",
    "Outcome",
    "Pace",
    "PatientStudy",
    "PlannedQuery",
    "Purged",
    "Read",
    "Rebuilt",
    "Restored",
    "RestoredBackup",
    "RetentionSettings",
    "Retrieval",
    "Run",
    "ScrubSettings",
    "ScrubState",
    "SeriesFacts",
    "Span",
    "Stats",
    "Stopped",
    "Stored",
    "StoredObject",
    "TierFacts",
    "TierSettings",
    "TierState",
    "Victim",
    "cut_items",
    "fresh_of",
    "leaving",
    "moment_of",
    "rebuild_index",
    "restore_backup",
    "share_fresh",
]
