"""Commits made of small numbers, for driving an index without DICOM files.

Number n names the same UID, blob or attribute value everywhere, so that tests can make collisions
on purpose and tell what they mean by the numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from vna.index import Index, Mutation, content_id
from vna.types import (
    Attributes,
    BlobPlace,
    CopyCommit,
    DamageCommit,
    DeleteCommit,
    DropCommit,
    DuplicatePolicy,
    Hole,
    Level,
    MoveCommit,
    PackId,
    PurgeCommit,
    RestoreCommit,
    StoreCommit,
    Version,
    VoidCommit,
)

__all__ = [
    "blob_place",
    "consistent",
    "copy",
    "damage",
    "delete",
    "digest",
    "drop",
    "move",
    "plain_keyer",
    "purge",
    "restore",
    "store",
    "uid",
    "void",
]

PATIENT_NAME = 0x00100010
STUDY_DATE = 0x00080020
MODALITY = 0x00080060
INSTANCE_NUMBER = 0x00200013


def uid(level: Level, number: int) -> str:
    """Return the UID of a numbered study, series or instance."""
    return f"1.2.826.0.1.{int(level)}.{number}"


def digest(number: int) -> bytes:
    """Return the digest of a numbered blob; consecutive numbers are far apart."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") + number.to_bytes(24, "big")


def blob_place(number: int, pack: int = 1) -> BlobPlace:
    """Return the place of a numbered blob in a pack."""
    return BlobPlace(pack, 64 + 1000 * number, 900 + number % 10, 2000)


def store(
    stamp: int,
    instance: int,
    *,
    series: int = 1,
    study: int = 1,
    patient: int = 1,
    content: int | None = None,
    bulk: int | None = None,
    policy: DuplicatePolicy = "replace",
    modality: str = "CT",
    sop_class: str = "1.2.840.10008.5.1.4.1.1.2",
    said: int | None = None,
    pack: int = 1,
) -> Mutation:
    """Return a store; `content` numbers its bytes, `bulk` its pixel blob, `said` its attributes.

    By default the content is the instance's number, attributes follow the stamp, and nothing is
    shared with other instances.
    """
    content = instance if content is None else content
    bulk = content if bulk is None else bulk
    said = stamp if said is None else said
    header, pixels = digest(2 * content), digest(2 * bulk + 1)
    version = Version(
        stamp=stamp,
        digest=digest(content),
        transfer_syntax="1.2.840.10008.1.2.1",
        length=1000 + content,
        header=header,
        prefix=0,
        holes=[Hole(500, 1000, pixels, (0x7FE00010,), "OW")],
        frames=None,
        deflated=False,
        source="TEST",
        problem="",
    )
    commit = StoreCommit(
        stamp=stamp,
        policy=policy,
        patient_key=f"patient {patient}",
        study_uid=uid(Level.STUDY, study),
        series_uid=uid(Level.SERIES, series),
        sop_uid=uid(Level.INSTANCE, instance),
        sop_class=sop_class,
        patient={PATIENT_NAME: [f"Name^{patient}^{said}"]},
        study={STUDY_DATE: [f"2020{said % 12 + 1:02}{said % 28 + 1:02}"]},
        series={MODALITY: [modality]},
        instance={INSTANCE_NUMBER: [said]},
        version=version,
    )
    blobs = [(header, blob_place(2 * content, pack)), (pixels, blob_place(2 * bulk + 1, pack))]
    return Mutation(commit, blobs)


def delete(stamp: int, level: Level, number: int, reason: str = "test") -> Mutation:
    """Return a delete of a numbered study, series or instance."""
    return Mutation(DeleteCommit(stamp, level, uid(level, number), reason))


def restore(stamp: int, stored: Mutation) -> Mutation:
    """Return the restore of what a store brought, its blobs left out."""
    commit = stored.commit
    assert isinstance(commit, StoreCommit), "what is restored was stored"
    return Mutation(RestoreCommit(stamp, commit, "test"))


def damage(stamp: int, number: int, pack: int, reason: str = "test") -> Mutation:
    """Return what is said of the copy of a numbered blob in a pack."""
    return Mutation(DamageCommit(stamp, digest(number), blob_place(number, pack), reason))


def move(stamp: int, numbers: Iterable[int], pack: int, to: PackId) -> Mutation:
    """Return the move of numbered blobs from one pack to another."""
    places = [(digest(number), blob_place(number, pack)) for number in numbers]
    copies = [(digest(number), blob_place(number, to)) for number in numbers]
    return Mutation(MoveCommit(stamp, pack, 1000 * len(places), places), copies)


def copy(stamp: int, numbers: Iterable[int], to: PackId) -> Mutation:
    """Return the record of copies of numbered blobs in a pack of a lower tier."""
    places = [(digest(number), blob_place(number, to)) for number in numbers]
    return Mutation(CopyCommit(stamp, places))


def drop(stamp: int, pack: PackId) -> Mutation:
    """Return that a pack of a lower tier is let go of, with all blobs that it may have had."""
    return Mutation(DropCommit(stamp, pack, [digest(number) for number in range(100)]))


def purge(stamp: int, stored: Mutation, upto: int, reason: str = "test") -> Mutation:
    """Return the purge of what a store brought, if nothing newer than `upto` brought it too."""
    commit = stored.commit
    assert isinstance(commit, StoreCommit), "what is purged was stored"
    contents = [(content_id(commit.version), upto)]
    return Mutation(PurgeCommit(stamp, commit.sop_uid, contents, reason))


def void(stamp: int, voided: int, instance: int, content: bytes = b"") -> Mutation:
    """Return a void of the store with stamp `voided` of a numbered instance, or of one of its contents."""
    return Mutation(VoidCommit(stamp, voided, uid(Level.INSTANCE, instance), content))


def plain_keyer(level: Level, attributes: Attributes) -> Iterable[bytes]:
    """Give each value of an attribute as a key: tag in hex, colon, text."""
    assert level in Level
    for tag, values in attributes.items():
        for value in values:
            yield f"{tag:08X}:{value}".encode()


def consistent(index: Index) -> int:
    """Check that counts, rows, feed and aggregates of an index tell one story; count instances."""
    with index.read() as reader:
        counts = reader.counts()
        studies = list(reader.studies())
        series = [s for study in studies for s in reader.series_of(study.id)]
        instances = [i for study in studies for i in reader.instances_of(study.id)]
        assert (counts.studies, counts.series, counts.instances) == (
            len(studies),
            len(series),
            len(instances),
        )
        assert counts.patients == len(list(reader.patients()))
        assert (
            sum(s.instances for s in studies) == sum(s.instances for s in series) == len(instances)
        )
        assert counts.bytes == sum(i.version.length for i in instances)
        assert len(list(reader.ids(Level.INSTANCE, b"", b"\xff"))) == len(instances)
        for instance in instances:
            assert reader.instance(instance.uid) == instance
            assert reader.blob(instance.version.header) is not None
        changes = reader.changes(0, 1_000_000)
        lives = {seq >> 32 for seq in [0, *(c.seq for c in changes)]}
        assert [c.seq & 0xFFFFFFFF for c in changes] == [
            n
            for life in sorted(lives)
            for n in range(1, 1 + sum(c.seq >> 32 == life for c in changes))
        ]
        assert len(changes) == len(instances)
    return len(instances)
