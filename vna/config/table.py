"""Every setting: its kind, its default (the room's own), and what it means.

`config/vna.toml` and `docs/settings.md` are written from this table, and a file of settings is
validated against it; `vna.config.build` hands the values to the rooms.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any, get_args

from vna.archive import (
    ArchiveSettings,
    CompactionSettings,
    PolicySettings,
    RetentionSettings,
    ScrubSettings,
    TieringSettings,
    TierSettings,
)
from vna.config.kinds import (
    AE_TITLE,
    BASE_URL,
    BUCKET,
    HOST,
    MODALITY,
    ORIGIN,
    PATH_PREFIX,
    TIER_NAME,
    UID,
    Address,
    File,
    Flag,
    Folder,
    Kind,
    Optional,
    Real,
    Several,
    Text,
    Whole,
    Word,
)
from vna.config.model import ListenSettings, ProcessSettings
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.types.remote import Permission
from vna.web import WebSettings

__all__ = ["REMOTE", "SECTIONS", "TABLES", "TIER", "Section", "Setting"]

GIB = 1 << 30


@dataclass(frozen=True)
class Setting:
    """One key of a section. `option` is the option of `vna serve` that overrides it, if any.

    A default of None means that the key must be given.
    """

    name: str
    kind: Kind
    default: object
    about: str
    option: str = ""


@dataclass(frozen=True)
class Section:
    """One table of a file of settings."""

    name: str
    about: str
    settings: tuple[Setting, ...]

    def setting(self, name: str) -> Setting | None:
        """Return the setting of that name, or None."""
        return next((each for each in self.settings if each.name == name), None)


def _from(room: type[Any]) -> dict[str, object]:
    """Return the defaults of a room's settings."""
    return {
        field.name: field.default_factory()
        if field.default_factory is not MISSING
        else field.default
        for field in fields(room)
    }


listen = _from(ListenSettings)
process = _from(ProcessSettings)
log = _from(LogSettings)
archive = _from(ArchiveSettings)
tier = _from(TierSettings)
scrub = _from(ScrubSettings)
compaction = _from(CompactionSettings)
retention = _from(RetentionSettings)
tiering = _from(TieringSettings)
policy = _from(PolicySettings)
dimse = _from(DimseSettings)
web = _from(WebSettings)
PORT = Whole(0, 65_535)

SECTIONS: tuple[Section, ...] = (
    Section(
        "listen",
        "Where the archive listens.",
        (
            Setting(
                "bind",
                Address(),
                listen["bind"],
                "Address of both fronts. Any other than a loopback address needs allow_insecure = true\n"
                "and [dimse] accept_unknown_callers = false.",
                "--bind",
            ),
            Setting(
                "dimse_port",
                PORT,
                listen["dimse_port"],
                "TCP port for DIMSE associations; 0 takes a free one.",
                "--dimse-port",
            ),
            Setting(
                "http_port",
                PORT,
                listen["http_port"],
                "TCP port for DICOMweb; 0 takes a free one.",
                "--http-port",
            ),
            Setting(
                "allow_insecure",
                Flag(),
                listen["allow_insecure"],
                "Listen beyond this machine although nothing is encrypted and HTTP has no log-in.\n"
                "Say true only on a network that you trust.",
            ),
        ),
    ),
    Section(
        "process",
        "The processes that serve.",
        (
            Setting(
                "workers",
                Whole(0, 64),
                process["workers"],
                "Worker processes; 0 means one for each processor, up to four.",
                "--workers",
            ),
            Setting(
                "drain_s",
                Real(0, 3600),
                process["drain_s"],
                "Seconds that associations and requests may take to end after SIGTERM.",
            ),
        ),
    ),
    Section(
        "log",
        "What is logged to standard error.",
        (
            Setting(
                "level",
                Word(("debug", "info", "warning", "error")),
                log["level"],
                "The least severe event that is logged.",
            ),
            Setting(
                "form",
                Word(("text", "json")),
                log["form"],
                "A line of text per event, or a JSON object per line.",
            ),
        ),
    ),
    Section(
        "archive",
        "What is kept, and how.",
        (
            Setting(
                "data",
                Folder(),
                "data",
                "Folder that holds everything; made when missing.",
                "--data",
            ),
            Setting(
                "duplicates",
                Word(("keep", "replace", "reject")),
                archive["duplicates"],
                "An object arrives whose SOP Instance UID is stored with other bytes: keep the first\n"
                "and say success, replace it and keep the old version, or reject the new one.",
            ),
            Setting(
                "stream_threshold_bytes",
                Whole(1 << 16, GIB),
                archive["stream_threshold_bytes"],
                "Objects over this size stream into a pack of their own instead of being held in memory.",
            ),
            Setting(
                "memory_in_flight_bytes",
                Whole(1 << 20, 1024 * GIB),
                archive["memory_in_flight_bytes"],
                "When a worker holds more than this of arriving objects, they stream earlier. One\n"
                "association holds up to stream_threshold_bytes and [dimse] receive_ahead_bytes.",
            ),
            Setting(
                "max_header_bytes",
                Whole(1 << 16, 2 * GIB),
                archive["max_header_bytes"],
                "An object whose data set without bulk values is larger is refused.",
            ),
            Setting(
                "threads",
                Whole(1, 256),
                archive["threads"],
                "Threads of each worker that wait for disks and encode blobs.",
            ),
            Setting(
                "pack_size_bytes",
                Whole(1 << 20, 64 * GIB),
                archive["pack_size_bytes"],
                "A pack that has grown to this size is sealed and a new one begun.",
            ),
            Setting(
                "codec",
                Word(("raw", "zstd", "fast", "strong")),
                archive["codec"],
                "How chunks of blobs are stored as objects arrive: raw, which costs least, or zstd where it wins; fast and strong do as zstd here, pixels are predicted when they move.",
            ),
            Setting(
                "zstd_level",
                Whole(1, 19),
                archive["zstd_level"],
                "How hard zstd tries.",
            ),
            Setting(
                "index_map_bytes",
                Whole(16 << 20, 1024 * GIB),
                archive["index_map_bytes"],
                "Address space first given to the index; it grows by itself.",
            ),
            Setting(
                "min_free_bytes",
                Whole(0, 1024 * GIB),
                archive["min_free_bytes"],
                "New objects are refused (A700, 507) while less is free on the disk of the data folder;\n"
                "reading goes on, and so do stores once there is space. Leave some for the index.",
            ),
            Setting(
                "quota_bytes",
                Whole(0, 1 << 60),
                archive["quota_bytes"],
                "New objects are refused likewise while those stored add up to this; 0 is no quota.",
            ),
            Setting(
                "cache_bytes",
                Whole(0, 1 << 60),
                archive["cache_bytes"],
                "Bytes of far tiers ([[tier]] kind s3) kept in the data folder; 0 is no cache.",
            ),
        ),
    ),
    Section(
        "scrub",
        "Reading everything back in the background, to find damage while it can be mended.",
        (
            Setting(
                "rate_bytes_s",
                Whole(0, 64 * GIB),
                scrub["rate_bytes_s"],
                "Bytes read per second at most; 0 is no scrub.",
            ),
            Setting(
                "begin_hour",
                Whole(0, 23),
                scrub["begin_hour"],
                "Hour of the day, local time, from which it reads.",
            ),
            Setting(
                "end_hour",
                Whole(0, 23),
                scrub["end_hour"],
                "Hour of the day at which it pauses; all day where it equals begin_hour.",
            ),
            Setting(
                "every_days",
                Real(0, 3650),
                scrub["every_days"],
                "Days from the begin of one pass to that of the next, at least.",
            ),
            Setting(
                "lower_tiers",
                Flag(),
                scrub["lower_tiers"],
                "Read back what is on tiers below the hot one, too.",
            ),
        ),
    ),
    Section(
        "compaction",
        "Freeing in the background what nobody needs any more.",
        (
            Setting(
                "rate_bytes_s",
                Whole(0, 64 * GIB),
                compaction["rate_bytes_s"],
                "Bytes read per second at most; 0 is no compaction but by `vna compact`.",
            ),
            Setting(
                "begin_hour",
                Whole(0, 23),
                compaction["begin_hour"],
                "Hour of the day, local time, from which it works.",
            ),
            Setting(
                "end_hour",
                Whole(0, 23),
                compaction["end_hour"],
                "Hour of the day at which it pauses; all day where it equals begin_hour.",
            ),
            Setting(
                "dead_percent",
                Whole(1, 100),
                compaction["dead_percent"],
                "A pack is written anew when so much of it is not needed.",
            ),
        ),
    ),
    Section(
        "retention",
        "How long what is deleted or replaced can be brought back; then it is purged: gone for good.",
        (
            Setting(
                "deleted_days",
                Real(0, 36_500),
                retention["deleted_days"],
                "Days from a delete to the purge of what it took; 0 keeps it for ever.",
            ),
            Setting(
                "versions_days",
                Real(0, 36_500),
                retention["versions_days"],
                "Days from the store of a new version to the purge of the old one; 0 keeps it for ever.",
            ),
        ),
    ),
    Section(
        "tiering",
        "Following the [[policy]] tables in the background.",
        (
            Setting(
                "rate_bytes_s",
                Whole(0, 64 * GIB),
                tiering["rate_bytes_s"],
                "Bytes read per second at most; 0 is no moving but by `vna tier move`.",
            ),
            Setting(
                "begin_hour",
                Whole(0, 23),
                tiering["begin_hour"],
                "Hour of the day, local time, from which it works.",
            ),
            Setting(
                "end_hour",
                Whole(0, 23),
                tiering["end_hour"],
                "Hour of the day at which it pauses; all day where it equals begin_hour.",
            ),
        ),
    ),
    Section(
        "dimse",
        "DIMSE associations (PS3.7, PS3.8).",
        (
            Setting(
                "ae_title",
                AE_TITLE,
                dimse["ae_title"],
                "The archive's own AE title.",
                "--ae-title",
            ),
            Setting(
                "check_called_ae",
                Flag(),
                dimse["check_called_ae"],
                "A caller must name our AE title.",
            ),
            Setting(
                "accept_unknown_callers",
                Flag(),
                dimse["accept_unknown_callers"],
                "Callers that no [[remote]] names may do everything but be the destination of a C-MOVE.",
            ),
            Setting(
                "store_private_sop_classes",
                Flag(),
                dimse["store_private_sop_classes"],
                "Take C-STORE of private SOP classes, and of standard ones newer than this program.",
            ),
            Setting(
                "extra_sop_classes",
                Several(UID),
                dimse["extra_sop_classes"],
                "SOP classes taken beside those known.",
            ),
            Setting(
                "extra_transfer_syntaxes",
                Several(UID),
                dimse["extra_transfer_syntaxes"],
                "Transfer syntaxes taken beside those of PS3.6.",
            ),
            Setting(
                "max_pdu_length_bytes",
                Whole(4096, 16 << 20),
                dimse["max_pdu_length_bytes"],
                "The largest P-DATA-TF PDU that a peer may send.",
            ),
            Setting(
                "max_associations",
                Whole(1, 65_535),
                dimse["max_associations"],
                "Associations of each worker; more are refused for now (local limit exceeded).",
            ),
            Setting(
                "receive_ahead_bytes",
                Whole(1 << 16, GIB),
                dimse["receive_ahead_bytes"],
                "Bytes held per association before its TCP window closes.",
            ),
            Setting(
                "receive_buffer_bytes",
                Whole(0, GIB),
                dimse["receive_buffer_bytes"],
                "SO_RCVBUF of an association; 0 leaves it to the kernel.",
            ),
            Setting(
                "artim_timeout_s",
                Real(1, 3600),
                dimse["artim_timeout_s"],
                "Seconds for a peer to send A-ASSOCIATE-RQ, or to close after release (ARTIM).",
            ),
            Setting(
                "idle_timeout_s",
                Real(1, 86_400),
                dimse["idle_timeout_s"],
                "Seconds between operations, after which a forgotten association is aborted.",
            ),
            Setting(
                "dimse_timeout_s",
                Real(1, 86_400),
                dimse["dimse_timeout_s"],
                "Seconds that a peer may be silent within an operation.",
            ),
            Setting(
                "connect_timeout_s",
                Real(1, 3600),
                dimse["connect_timeout_s"],
                "Seconds to reach a C-MOVE destination.",
            ),
        ),
    ),
    Section(
        "web",
        "DICOMweb (PS3.18).",
        (
            Setting(
                "prefix",
                PATH_PREFIX,
                web["prefix"],
                "Path below which DICOMweb lives.",
            ),
            Setting(
                "base_url",
                BASE_URL,
                web["base_url"],
                "What begins every address that is given out; empty: made from each request.",
            ),
            Setting(
                "trust_proxy",
                Flag(),
                web["trust_proxy"],
                "Believe Forwarded and X-Forwarded-* of requests; only behind a proxy that sets them.",
            ),
            Setting(
                "allowed_origins",
                Several(ORIGIN),
                web["allowed_origins"],
                'Web pages of these origins may use the answers (CORS); "*" is all.',
            ),
            Setting(
                "compat_204",
                Flag(),
                web["compat_204"],
                "Answer a search without matches with 204 instead of an empty list.",
            ),
            Setting(
                "qido_max_results",
                Whole(1, 10_000_000),
                web["qido_max_results"],
                "Most answers that one search gives; the rest is paged.",
            ),
            Setting(
                "max_body_bytes",
                Whole(0, 1024 * GIB),
                web["max_body_bytes"],
                "A larger request body is refused; 0 is any size.",
            ),
            Setting(
                "read_timeout_s",
                Real(1, 3600),
                web["read_timeout_s"],
                "Seconds that a request body may stall.",
            ),
            Setting(
                "keepalive_timeout_s",
                Real(1, 3600),
                web["keepalive_timeout_s"],
                "Seconds that an idle connection is kept.",
            ),
            Setting(
                "stow_commits",
                Whole(1, 1024),
                web["stow_commits"],
                "Instances of one STOW-RS request that commit at once.",
            ),
            Setting(
                "stow_commit_bytes",
                Whole(1 << 20, 4 * GIB),
                web["stow_commit_bytes"],
                "Bytes that those may hold in memory.",
            ),
            Setting(
                "metadata_cache_bytes",
                Whole(0, 64 * GIB),
                web["metadata_cache_bytes"],
                "Bytes of each worker in which metadata of studies and series is kept ready.",
            ),
        ),
    ),
)

REMOTE = Section(
    "remote",
    "A known application entity, one [[remote]] table for each. C-MOVE sends to remotes only.",
    (
        Setting("ae_title", AE_TITLE, None, "Its AE title, unique among the remotes."),
        Setting("host", HOST, None, "Where it listens."),
        Setting("port", Whole(1, 65_535), None, "The TCP port on which it listens."),
        Setting(
            "may",
            Several(Word(get_args(Permission))),
            get_args(Permission),
            "What it may do here, and whether C-MOVE may send to it.",
        ),
    ),
)

TIER = Section(
    "tier",
    "Where packs are, from hot to cold, one [[tier]] table for each; without any, in the data folder.\n"
    "Objects arrive on the first one, a directory; whole packs move to those below it.",
    (
        Setting("name", TIER_NAME, None, "Its name, unique among the tiers, and kept for ever."),
        Setting("kind", Word(("directory", "s3")), tier["kind"], "A directory, or an S3 store."),
        Setting(
            "path",
            Optional(Folder()),
            "",
            "The directory, relative to the data folder; of the first tier it may be left out.",
        ),
        Setting("endpoint", BASE_URL, tier["endpoint"], "URL of the S3 store; empty for AWS."),
        Setting("bucket", BUCKET, tier["bucket"], "The bucket; it must exist."),
        Setting("region", Text(), tier["region"], "The region of the bucket."),
        Setting("prefix", Text(), tier["prefix"], "What begins every name in the bucket."),
        Setting(
            "access_key_file",
            Optional(File()),
            "",
            "File with the access key id; systemd credentials are such files.",
        ),
        Setting("secret_key_file", Optional(File()), "", "File with the secret access key."),
        Setting(
            "allow_http",
            Flag(),
            tier["allow_http"],
            "Talk to an http endpoint, unencrypted. Only on a network that you trust.",
        ),
        Setting("storage_class", Text(), tier["storage_class"], "Storage class of new objects."),
        Setting(
            "server_side_encryption",
            Word(("", "AES256", "aws:kms", "aws:kms:dsse")),
            tier["server_side_encryption"],
            "How the store encrypts new objects.",
        ),
        Setting("kms_key_id", Text(), tier["kms_key_id"], "The key for aws:kms."),
        Setting(
            "codec",
            Word(("raw", "zstd", "fast", "strong")),
            tier["codec"],
            "How chunks are stored when they come to this tier: as they are bytes (raw, zstd), or as pixels where they are that (fast to decode, strong to shrink).",
        ),
        Setting(
            "requests_at_once",
            Whole(1, 1024),
            tier["requests_at_once"],
            "Operations under way at once; a hard disk is fastest with few, say 2.",
        ),
    ),
)

POLICY = Section(
    "policy",
    "Which series move down, and when, one [[policy]] table for each rule. Of several that a series\n"
    "matches, the one with the coldest tier holds. `vna tier plan` shows what they would move.",
    (
        Setting("name", TIER_NAME, None, "Its name, unique among the policies."),
        Setting("to", TIER_NAME, None, "The tier to move to, as [[tier]] names it."),
        Setting("days", Real(0, 36_500), None, "Series older than so many days move."),
        Setting(
            "since",
            Word(("received", "study_date")),
            policy["since"],
            "What the age counts from; a series without Study Date counts from when it came.",
        ),
        Setting(
            "modalities",
            Several(MODALITY),
            policy["modalities"],
            "Series of these modalities only; none is any.",
        ),
    ),
)

TABLES: tuple[tuple[Section, str], ...] = ((REMOTE, "ae_title"), (TIER, "name"), (POLICY, "name"))
"""The sections of which there may be several tables, and the key that is unique among them."""
