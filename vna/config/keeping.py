"""Settings of what is kept, and how it is kept well."""

from __future__ import annotations

from collections.abc import Mapping

from vna.archive import (
    ArchiveSettings,
    CompactionSettings,
    RetentionSettings,
    ScrubSettings,
)
from vna.config.kinds import (
    Flag,
    Folder,
    Real,
    Whole,
    Word,
)
from vna.config.section import Section, Setting, defaults_of
from vna.workflow import PrefetchingSettings, TieringSettings

__all__ = ["KEEPING"]

GIB = 1 << 30

archive = defaults_of(ArchiveSettings)
scrub = defaults_of(ScrubSettings)
compaction = defaults_of(CompactionSettings)
retention = defaults_of(RetentionSettings)
tiering = defaults_of(TieringSettings)
prefetching = defaults_of(PrefetchingSettings)


def _background(defaults: Mapping[str, object], none: str) -> tuple[Setting, ...]:
    """Return the settings of work in the background; `none` says what a rate of 0 is."""
    return (
        Setting(
            "rate_bytes_s",
            Whole(0, 64 * GIB),
            defaults["rate_bytes_s"],
            f"Bytes read per second at most; {none}.",
        ),
        Setting(
            "begin_hour",
            Whole(0, 23),
            defaults["begin_hour"],
            "Hour of the day, local time, from which it works.",
        ),
        Setting(
            "end_hour",
            Whole(0, 23),
            defaults["end_hour"],
            "Hour of the day at which it pauses, after what it has begun; all day where it equals begin_hour.",
        ),
    )


KEEPING: tuple[Section, ...] = (
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
                "direct_writes",
                Flag(),
                archive["direct_writes"],
                "Write packs past the page cache: a store takes less processor time.",
            ),
            Setting(
                "fresh_memory_bytes",
                Whole(0, 1024 * GIB),
                archive["fresh_memory_bytes"],
                "Memory in which workers keep what they stored last, all together, where packs are written past\n"
                "the page cache; never more than an eighth of memory. 0 is none: first reads wait for the disk.",
            ),
            Setting(
                "codec",
                Word(("raw", "zstd")),
                archive["codec"],
                "How chunks of blobs are stored as objects arrive: raw, which costs least, or zstd where\n"
                "it wins. The first [[tier]], if there is one, says so instead.",
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
                "index_memory_bytes",
                Whole(0, 1024 * GIB),
                archive["index_memory_bytes"],
                "Bytes of the index that workers read in as they start and hold in memory, all together once, so\n"
                "that images which are read do not push it out; never more than half of memory. 0 holds none.\n"
                "Who is not root needs LimitMEMLOCK=infinity of systemd; without it nothing is held.",
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
                "Bytes of far tiers (buckets, and directories that are `cached`) kept in the data folder; 0 is no\n"
                "cache.",
            ),
            Setting(
                "decoded_cache_bytes",
                Whole(0, 64 * GIB),
                archive["decoded_cache_bytes"],
                "Memory of each process for chunks that had to be decoded (zstd, fast, strong); 0 is none.",
            ),
            Setting(
                "access_log_bytes",
                Whole(0, 1 << 40),
                archive["access_log_bytes"],
                "Bytes kept of the log of what was read, by day (docs/format/access.md); 0 is no log.",
            ),
        ),
    ),
    Section(
        "scrub",
        "Reading everything back in the background, to find damage while it can be mended.",
        (
            *_background(scrub, "0 is no scrub"),
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
            *_background(compaction, "0 is no compaction but by `vna compact`"),
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
            *_background(tiering, "0 is no moving but by `vna tier move`"),
            Setting(
                "every_s",
                Real(1, 86_400),
                tiering["every_s"],
                "Seconds between looks at all series for what is to be moved.",
            ),
        ),
    ),
    Section(
        "prefetching",
        "Making priors hot in the background, as the [[prefetch]] tables choose them.",
        (
            Setting(
                "rate_bytes_s",
                Whole(0, 64 * GIB),
                prefetching["rate_bytes_s"],
                "Bytes recalled per second at most; 0 is no prefetching but by `vna prefetch --wait`.",
            ),
            Setting(
                "arrived_within_days",
                Real(0, 36_500),
                prefetching["arrived_within_days"],
                "A study that arrives with an older Study Date is history, and asks for no priors; 0: all do.",
            ),
            Setting(
                "ahead_hours",
                Real(0, 10_000),
                prefetching["ahead_hours"],
                "Hours before an ordered study is scheduled from which its priors are made hot.",
            ),
        ),
    ),
)
