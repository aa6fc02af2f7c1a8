"""Every metric of the archive; docs/metrics.md is written from this table.

Rooms count with `metrics.STORES.add("stored")`: once per object, request or transaction, never per
PDU or piece. A process of its own, such as a command, counts too, but nobody sees it.
"""

from __future__ import annotations

from typing import Final

from vna.observe.registry import OTHER, Registry

__all__ = ["REGISTRY"]

REGISTRY: Final = Registry()
_counter, _gauge = REGISTRY.counter, REGISTRY.gauge
_histogram, _reading = REGISTRY.histogram, REGISTRY.reading

SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
MUTATIONS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# objects ------------------------------------------------------------------------------------------
TAKEN: Final = ("stored", "replaced", "repaired", "duplicate", "nothing", "kept")
REFUSED: Final = ("conflict", "invalid", "full", "busy", "unavailable", "aborted", OTHER)
STORES: Final = _counter(
    "vna_stores_total",
    "Objects that arrived, by what became of them: acknowledged as stored, replaced, repaired,"
    " duplicate, nothing (deleted meanwhile) or kept (the first one was); refused for the reason"
    " named; or aborted, when the sender left before the end.",
    outcome=(*TAKEN, *REFUSED),
)
RECEIVED_BYTES: Final = _counter(
    "vna_received_bytes_total", "Bytes of objects that arrived, whatever became of them."
)
RESOURCES: Final = ("dataset", "frame", "bulk", "metadata")
RETRIEVED: Final = _counter(
    "vna_retrieved_total",
    "Data sets, frames, bulk values and metadata that were read to be sent, by whichever door.",
    resource=RESOURCES,
)
RETRIEVED_BYTES: Final = _counter("vna_retrieved_bytes_total", "Bytes of them.", resource=RESOURCES)

QUERIES: Final = _counter(
    "vna_queries_total",
    "Searches (C-FIND, QIDO-RS), by how matches were found: from UIDs, by keys of the index, or by a"
    " scan of all patients or studies, which takes longer the more there are.",
    plan=("uids", "keys", "scan"),
)

# tiers --------------------------------------------------------------------------------------------
TIER_VERBS: Final = ("identity", "put", "open", "size", "read", "list", "remove")
TIER_OPERATIONS: Final = _counter(
    "vna_tier_operations_total",
    "What lower tiers were asked, by how it ended; that a pack is not there is an answer, not a failure.",
    verb=TIER_VERBS,
    end=("answered", "failed"),
)
TIER_BYTES: Final = _counter(
    "vna_tier_bytes_total",
    "Bytes that were read from lower tiers, or put there.",
    verb=("put", "read"),
)
TIERS_AWAY: Final = _gauge("vna_tiers_away", "Lower tiers that cannot be reached.")
CACHE_LOOKUPS: Final = _counter(
    "vna_cache_lookups_total",
    "Look-ups in the cache of far tiers, by whether all that was wanted was there.",
    found=("hit", "miss"),
)

DECODED_CHUNKS: Final = _counter(
    "vna_decoded_chunks_total",
    "Chunks read alone that are stored in a codec, by whether they were decoded or kept decoded in memory.",
    found=("kept", "decoded"),
)

# prefetch -----------------------------------------------------------------------------------------
PREFETCH_STUDIES: Final = _counter(
    "vna_prefetch_studies_total",
    "Studies for which priors were chosen: those that arrived, and those that were ordered.",
    trigger=("arrived", "ordered"),
)
PREFETCHED: Final = _counter(
    "vna_prefetch_priors_total",
    "Priors by how it went: recalled into the cache, present already, sent to a workstation; gone, when"
    " the study was deleted meanwhile; postponed, each time that a tier or receiver was away; failed,"
    " when that went on for a day.",
    end=("recalled", "present", "sent", "gone", "postponed", "failed"),
)
PREFETCHED_BYTES: Final = _counter("vna_prefetch_bytes_total", "Bytes recalled of priors.")
PREFETCH_READS: Final = _counter(
    "vna_prefetch_reads_total",
    "Priors that were recalled, by whether the access log says that they were read here within three days.",
    found=("read", "unread"),
)
PREFETCH_WAITING: Final = _gauge("vna_prefetch_waiting", "Priors that wait to be recalled or sent.")

# DIMSE --------------------------------------------------------------------------------------------
ASSOCIATIONS: Final = _counter(
    "vna_associations_total",
    "Connections to the DIMSE port that have ended: with a release, an abort (by either side, or"
    " a lost connection), or a rejection.",
    end=("released", "aborted", "rejected"),
)
ASSOCIATIONS_NOW: Final = _gauge("vna_associations", "Connections to the DIMSE port.")
DIMSE_OPERATIONS: Final = _counter(
    "vna_dimse_operations_total",
    "Requests of peers that were answered to the end, by the kind of the last status.",
    operation=("C-ECHO", "C-STORE", "C-FIND", "C-MOVE", "C-GET", OTHER),
    status=("success", "warning", "failure", "cancel"),
)

# HTTP ---------------------------------------------------------------------------------------------
_INSTANCES: Final = "/studies/{study}/series/{series}/instances/{instance}"
_FRAMES: Final = _INSTANCES + "/frames/{frames}"
ROUTES: Final = (
    *("/", "/healthz", "/readyz", "/metrics", "/studies", "/series", "/instances"),
    *("/studies/{study}/series", "/studies/{study}/instances"),
    "/studies/{study}/series/{series}/instances",
    *("/studies/{study}", "/studies/{study}/series/{series}", _INSTANCES),
    *(_FRAMES, _INSTANCES + "/bulkdata/{path}"),
    "/studies/{study}/metadata",
    "/studies/{study}/series/{series}/metadata",
    _INSTANCES + "/metadata",
    OTHER,
)
STATUSES: Final = (
    *("200", "202", "204", "206", "301", "304", "400", "403", "404", "405", "406", "408", "409"),
    *("410", "413", "415", "416", "417", "500", "501", "503", "507", "lost", OTHER),
)
HTTP_REQUESTS: Final = _counter(
    "vna_http_requests_total",
    "Requests that were answered; lost where the client was gone before.",
    method=("GET", "HEAD", "POST", "OPTIONS", OTHER),
    route=ROUTES,
    status=STATUSES,
)
HTTP_SECONDS: Final = _histogram(
    "vna_http_request_seconds",
    "Time from the head of a request to the end of its answer.",
    SECONDS,
    route=ROUTES,
)
HTTP_CONNECTIONS: Final = _gauge("vna_http_connections", "Connections to the HTTP port.")
HTTP_NOW: Final = _gauge("vna_http_requests", "Requests under way.")

# commit -------------------------------------------------------------------------------------------
GROUP_MUTATIONS: Final = _histogram(
    "vna_commit_group_mutations",
    "Mutations that were committed together, in one transaction of the index.",
    MUTATIONS,
)
INDEX_SECONDS: Final = _histogram(
    "vna_index_transaction_seconds",
    "Time of these transactions, which wait for the sync of the pack.",
    SECONDS,
)
SYNC_SECONDS: Final = _histogram(
    "vna_pack_sync_seconds", "Time that packs took to become durable, each sync.", SECONDS
)
QUEUE_NOW: Final = _gauge("vna_commit_queue", "Mutations that wait to be committed.")
HELD_NOW: Final = _gauge("vna_ingest_bytes", "Bytes of arriving objects in memory.")

# state --------------------------------------------------------------------------------------------
STATES: Final = ("ready", "full", "broken")
STATE_NOW: Final = _gauge(
    "vna_state",
    "1 for what the process says of itself: ready; full, when new objects are refused for want of"
    " space; broken, when all changes are, after a failure.",
    state=STATES,
)
PROCESS_STARTS: Final = _counter(
    "vna_process_starts_total",
    "Processes that were started: more than there are says that some have died.",
    kind=("worker", "background"),
)
RESIDENT_NOW: Final = _gauge(
    "vna_process_resident_bytes", "Memory of the process, without mapped files."
)
FILES_NOW: Final = _gauge("vna_process_open_files", "Descriptors that the process has open.")
FREE_BYTES: Final = _reading(
    "vna_free_bytes", "Free space of the file system, the less where packs and index have each one."
)
COMPACTED_PACKS: Final = _counter("vna_compacted_packs_total", "Packs removed by compaction.")
COMPACTED_BYTES: Final = _counter("vna_compacted_bytes_total", "Bytes of those packs.")
COMPACTION_WRITTEN: Final = _counter(
    "vna_compaction_written_bytes_total", "Bytes that compaction wrote into other packs."
)
PURGED_VERSIONS: Final = _counter(
    "vna_purged_versions_total", "Versions that were let go for good, by retention or by hand."
)
DEAD_BYTES: Final = _reading("vna_dead_bytes", "Bytes in packs that nobody needs any more.")
PACKS: Final = _reading("vna_packs", "Packs on disk.")
PACK_BYTES: Final = _reading("vna_pack_bytes", "Bytes of packs on disk.")
ENTITIES: Final = _reading(
    "vna_entities",
    "What the archive holds; deleted instances can be restored until they are purged.",
    entity=("patients", "studies", "series", "instances", "deleted", "blobs"),
)
STORED_BYTES: Final = _reading("vna_stored_bytes", "Bytes of the data sets that it holds.")

# damage -------------------------------------------------------------------------------------------
DAMAGED_READS: Final = _counter(
    "vna_damaged_reads_total",
    "Reads that met a copy that failed its check: served from another copy, or refused.",
    answer=("served", "refused"),
)
DAMAGE_RECORDED: Final = _counter(
    "vna_damage_recorded_total",
    "Copies of blobs that were found damaged, or sound again, and recorded as such.",
    verdict=("damaged", "sound"),
)
DAMAGED_BLOBS: Final = _reading(
    "vna_damaged_blobs", "Blobs that objects need and that have no undamaged copy."
)
SCRUB_BLOBS: Final = _reading("vna_scrub_blobs", "Blobs that the scrub has read in this pass.")
SCRUB_BYTES: Final = _reading("vna_scrub_bytes", "Bytes that it has read in this pass.")
SCRUB_DAMAGED: Final = _reading("vna_scrub_damaged", "Blobs that it found damaged in this pass.")
SCRUB_BEGUN: Final = _reading(
    "vna_scrub_begun_timestamp_seconds", "When this pass began; 0 before the first."
)
SCRUB_ENDED: Final = _reading(
    "vna_scrub_ended_timestamp_seconds", "When this pass ended; 0 while it runs."
)
