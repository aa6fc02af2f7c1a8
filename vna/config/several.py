"""The tables of settings of which there may be several."""

from __future__ import annotations

from typing import get_args

from vna.archive import TierSettings
from vna.config.kinds import (
    AE_TITLE,
    BASE_URL,
    BUCKET,
    HOST,
    MODALITY,
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
from vna.workflow import PolicySettings

__all__ = ["TABLES"]

tier = defaults_of(TierSettings)
policy = defaults_of(PolicySettings)

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
