"""The tables of settings of which there may be several."""

from __future__ import annotations

from typing import get_args

from vna.archive import TierSettings
from vna.config.kinds import (
    AE_TITLE,
    BASE_URL,
    BODY_PART,
    BODY_PART_OR_SAME,
    BUCKET,
    HOST,
    MODALITY,
    MODALITY_OR_SAME,
    STATION,
    TIER_NAME,
    File,
    Flag,
    Folder,
    Optional,
    Real,
    Several,
    Text,
    Whole,
    Word,
)
from vna.config.section import Section, Setting, defaults_of
from vna.types.remote import Permission
from vna.workflow import PolicySettings, PrefetchRule, Since

__all__ = ["TABLES"]

tier = defaults_of(TierSettings)
policy = defaults_of(PolicySettings)
prefetch = defaults_of(PrefetchRule)

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
        Setting(
            "associations",
            Whole(1, 16),
            1,
            "A C-MOVE sends to it over so many associations at once; with more than 1 the instances of a\n"
            "series may arrive in another order.",
        ),
        Setting(
            "window",
            Whole(1, 16),
            1,
            "C-STOREs that are under way at once on an association with it, if it agrees (asynchronous\n"
            "operations); with 1 it is not asked.",
        ),
    ),
)

TIER = Section(
    "tier",
    "Where packs are, from hot to cold, one [[tier]] table for each; without any, in the data folder.\n"
    "Objects arrive on the first one, a directory; whole packs move to those below it.\n"
    "A new one is put last.",
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
            "How chunks are stored when they come to this tier: as bytes (raw, zstd), or as pixels where\n"
            "they are that (fast to decode, strong to shrink). Objects that arrive are bytes yet: fast and\n"
            "strong do as zstd on the first tier.",
        ),
        Setting(
            "requests_at_once",
            Whole(1, 1024),
            tier["requests_at_once"],
            "Operations under way at once; a hard disk is fastest with few, say 2.",
        ),
        Setting(
            "timeout_s",
            Real(0.1, 600.0),
            tier["timeout_s"],
            "An S3 request has failed when no answer begins, or goes on, for so many seconds.",
        ),
        Setting(
            "retries",
            Whole(0, 20),
            tier["retries"],
            "How often an S3 request that failed sooner is made again, with growing pauses.",
        ),
        Setting(
            "copies",
            Whole(1, 127),
            tier["copies"],
            "It lets go of an object only when so many tiers below it have it, and keep it. 2 on each\n"
            "tier but the last means: once there are two copies, there always are.",
        ),
        Setting(
            "high_watermark_percent",
            Real(0, 100),
            tier["high_watermark_percent"],
            "When its disk is fuller than this, series whose study was not read for longest go one tier\n"
            "down, before any policy asks for it; 0 is never. For directories that have a tier below.",
        ),
        Setting(
            "low_watermark_percent",
            Real(0, 100),
            tier["low_watermark_percent"],
            "So many go that it is not fuller than this.",
        ),
        Setting(
            "cached",
            Flag(),
            tier["cached"],
            "Keep what is read from a directory below the first in the cache, as of a bucket: for a hard\n"
            "disk, so that series that are looked at, and priors, are on the SSD.",
        ),
        Setting(
            "capacity_bytes",
            Whole(0, 1 << 60),
            tier["capacity_bytes"],
            "For `vna tier simulate`: bytes of its disk, of which watermarks are a part; 0 is no end.",
        ),
        Setting(
            "cost_per_gb_month",
            Real(0, 1e6),
            tier["cost_per_gb_month"],
            "For `vna tier simulate`: what 10^9 bytes cost in a month; 0 is 0.10 for the first tier, 0.03\n"
            "for other directories, 0.012 for S3 stores.",
        ),
        Setting(
            "first_byte_ms",
            Real(0, 1e9),
            tier["first_byte_ms"],
            "For `vna tier simulate`: time to the first byte; 0 is 0.2, 12 and 60 likewise.",
        ),
        Setting(
            "bytes_per_s",
            Real(0, 1e15),
            tier["bytes_per_s"],
            "For `vna tier simulate`: bytes per second from then on; 0 is 1e9, 150e6 and 80e6 likewise.",
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
            Word(get_args(Since)),
            policy["since"],
            "What the age counts from: when the last instance came, the Study Date, or the last read of\n"
            "something in the study. Without Study Date or read it counts from when it came.",
        ),
        Setting(
            "modalities",
            Several(MODALITY),
            policy["modalities"],
            "Series of these modalities only; none is any.",
        ),
        Setting(
            "departments",
            Several(Text()),
            policy["departments"],
            "Series with one of these as Institutional Department Name (0008,1040), in letters of any\n"
            "case; none is any.",
        ),
        Setting(
            "stations",
            Several(Text()),
            policy["stations"],
            "Likewise with Station Name (0008,1010).",
        ),
        Setting(
            "min_bytes",
            Whole(0, 1 << 60),
            policy["min_bytes"],
            "Series with at least so many bytes of data sets only.",
        ),
        Setting(
            "max_bytes",
            Whole(0, 1 << 60),
            policy["max_bytes"],
            "Series with at most so many; 0 is any number.",
        ),
    ),
)

PREFETCH = Section(
    "prefetch",
    "Which priors are made hot when a study arrives or is ordered, one [[prefetch]] table for each rule.\n"
    "What is not known of a study excludes nothing. `vna prefetch --dry-run` shows what is chosen.",
    (
        Setting("name", TIER_NAME, None, "Its name, unique among the rules."),
        Setting(
            "modalities",
            Several(MODALITY),
            prefetch["modalities"],
            "For studies with one of these modalities; none is any.",
        ),
        Setting(
            "body_parts",
            Several(BODY_PART),
            prefetch["body_parts"],
            "For studies of these parts of the body; none is any.",
        ),
        Setting(
            "procedure",
            Text(),
            prefetch["procedure"],
            "For studies with such a Study Description, procedure code or description: a pattern with *\n"
            "and ?, in upper or lower case; empty is any.",
        ),
        Setting(
            "stations",
            Several(STATION),
            prefetch["stations"],
            "For studies made at one of these stations; none is any.",
        ),
        Setting(
            "prior_modalities",
            Several(MODALITY_OR_SAME),
            prefetch["prior_modalities"],
            "Priors with one of these modalities; none is any.",
        ),
        Setting(
            "prior_body_parts",
            Several(BODY_PART_OR_SAME),
            prefetch["prior_body_parts"],
            "Priors of these parts of the body; none is any.",
        ),
        Setting(
            "prior_procedure",
            Text(),
            prefetch["prior_procedure"],
            "Priors with such a description or code: a pattern, or same; empty is any.",
        ),
        Setting(
            "at_most", Whole(1, 1000), prefetch["at_most"], "So many of them, the newest first."
        ),
        Setting(
            "newer_than_days",
            Real(0, 36_500),
            prefetch["newer_than_days"],
            "Priors no older than so many days; 0 is of any age.",
        ),
        Setting(
            "send_to",
            Optional(AE_TITLE),
            "",
            "The [[remote]] to which they are sent besides, a workstation; empty sends nothing.",
        ),
    ),
)

TABLES: tuple[tuple[Section, str], ...] = (
    (REMOTE, "ae_title"),
    (TIER, "name"),
    (POLICY, "name"),
    (PREFETCH, "name"),
)
"""The sections of which there may be several tables, and the key that is unique among them."""
