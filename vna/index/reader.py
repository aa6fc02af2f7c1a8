"""Snapshots: everything that can be asked of the index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Self, TypeVar

from vna.index.apply import is_void, load_state
from vna.index.entities import (
    Barrier,
    Change,
    Counts,
    Damaged,
    Instance,
    PackUse,
    Patient,
    Purge,
    Series,
    Study,
    Tombstone,
    decode_barrier,
    decode_blob,
    decode_change,
    decode_damaged,
    decode_instance,
    decode_pack,
    decode_patient,
    decode_purge,
    decode_series,
    decode_study,
    decode_tombstone,
)
from vna.index.environment import Environment
from vna.index.layout import (
    DIGEST_BYTES,
    EntityId,
    Table,
    barrier_key,
    buried_key,
    copy_key,
    ids_of,
    name_key,
    patient_studies_key,
    purge_key,
    row_key,
    secondary_parts,
    series_key,
)
from vna.index.transaction import Transaction
from vna.index.versions import content_id
from vna.types import BlobPlace, Level, PackId, Version

__all__ = ["Reader"]

T = TypeVar("T")


class Reader:
    """One consistent snapshot, from `with` to its end; iterators live inside it.

    Used by one thread at a time, which need not be the same one. Hold it for a look-up or a page of
    answers: it keeps old pages from being reused and the map from growing. Rows come in the order
    of their ids, which is the order of arrival; `after` begins behind an id, so that a listing can
    go on in a later snapshot.
    """

    _txn: Transaction

    def __init__(self, environment: Environment, begin: Callable[[], Transaction]) -> None:
        self._environment = environment
        self._begin = begin

    def __enter__(self) -> Self:
        self._txn = self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._environment.end_read(self._txn)
        del self._txn

    @property
    def generation(self) -> int:
        """The index's `generation` that this snapshot is of."""
        return self._txn.generation

    # by name ----------------------------------------------------------------------------------
    def patient(self, key: str) -> Patient | None:
        """Return the patient with this patient key."""
        return self._named(Table.PATIENTS, name_key(Level.PATIENT, key), decode_patient)

    def study(self, uid: str) -> Study | None:
        """Return the study with this Study Instance UID."""
        return self._named(Table.STUDIES, name_key(Level.STUDY, uid), decode_study)

    def series(self, uid: str, study_id: int | None = None) -> Series | None:
        """Return the series with this UID, in one study or in the first that has it.

        A series UID in two studies is against the standard, and occurs while one is corrected.
        """
        if study_id is not None:
            return self._named(Table.SERIES, series_key(uid, study_id), decode_series)
        return next(self.all_series(uid), None)

    def all_series(self, uid: str) -> Iterator[Series]:
        """Yield the series with this UID, in each study that has one."""
        for _, row in self._txn.scan(Table.UIDS, name_key(Level.SERIES, uid)):
            yield decode_series(self._txn.row(Table.SERIES, row))

    def instance(self, sop_uid: str) -> Instance | None:
        """Return the living instance with this SOP Instance UID."""
        return self._named(Table.INSTANCES, name_key(Level.INSTANCE, sop_uid), decode_instance)

    def tombstone(self, sop_uid: str) -> Tombstone | None:
        """Return the instance with this UID if it is deleted."""
        return self._get(Table.GONE, name_key(Level.INSTANCE, sop_uid), decode_tombstone)

    def deleted_study(self, uid: str) -> bool:
        """Return whether the study was here and has nothing alive now."""
        return self._txn.get(Table.GONE, name_key(Level.STUDY, uid)) is not None

    def deleted_series(self, uid: str) -> bool:
        """Return whether the series was here, in some study, and has nothing alive there now."""
        return any(True for _ in self._txn.scan(Table.GONE, name_key(Level.SERIES, uid)))

    def barrier(self, level: Level, uid: str) -> Barrier | None:
        """Return stamp and reason of the last delete that named this UID."""
        return self._get(Table.BARRIERS, barrier_key(level, uid), decode_barrier)

    def purges(self, known: Instance | Tombstone) -> list[Purge | None]:
        """Return for each of the versions of an instance, the newest first, whether it is purged."""
        found = []
        for stamp, version in zip(known.stamps, [known.version, *known.older], strict=True):
            key = purge_key(known.uid, content_id(version))
            purge = self._get(Table.BARRIERS, key, decode_purge)
            found.append(purge if purge is not None and stamp <= purge.upto else None)
        return found

    def kept(self, known: Instance | Tombstone) -> list[Version]:
        """Return the versions of an instance that are not purged, the newest first."""
        versions = [known.version, *known.older]
        purges = self.purges(known)
        return [each for each, purge in zip(versions, purges, strict=True) if purge is None]

    def voided(self, sop_uid: str, version: Version) -> bool:
        """Return whether the store of an instance that brought this version was refused."""
        return is_void(self._txn, sop_uid, version)

    def tombstones(self, after: str = "") -> Iterator[Tombstone]:
        """Yield the deleted instances with SOP Instance UIDs behind `after`, by UID."""
        low = bytes([Level.INSTANCE])
        start = name_key(Level.INSTANCE, after) + b"\0" if after else low
        return self._rows(Table.GONE, low, start, decode_tombstone)

    def tombstones_of(self, study_uid: str, *series_uid: str) -> Iterator[Tombstone]:
        """Yield the deleted instances of a study, or of one of its series, by UID."""
        for key, _ in self._txn.scan(Table.GONE, buried_key(study_uid, *series_uid)):
            sop_uid = key.rsplit(b"\0", 1)[1].decode()
            yield decode_tombstone(self._txn.row(Table.GONE, name_key(Level.INSTANCE, sop_uid)))

    def studies_of_series(self, uid: str) -> list[str]:
        """Return the UIDs of the studies in which a series of this UID is, alive or gone."""
        name = name_key(Level.SERIES, uid)
        gone = {key[len(name) :].decode() for key, _ in self._txn.scan(Table.GONE, name)}
        rows = [row for _, row in self._txn.scan(Table.UIDS, name)]
        alive = {decode_study(self._txn.row(Table.STUDIES, row[:8])).uid for row in rows}
        return sorted(gone | alive)

    # by id ------------------------------------------------------------------------------------
    def patient_by_id(self, patient_id: int) -> Patient | None:
        """Return a patient; None when it has gone since the id was read."""
        return self._get(Table.PATIENTS, row_key(patient_id), decode_patient)

    def study_by_id(self, study_id: int) -> Study | None:
        """Return a study; None when it has gone."""
        return self._get(Table.STUDIES, row_key(study_id), decode_study)

    def series_by_id(self, study_id: int, series_id: int) -> Series | None:
        """Return a series; None when it has gone."""
        return self._get(Table.SERIES, row_key(study_id, series_id), decode_series)

    # parents: Corrupt where a damaged index does not have one -----------------------------------
    def patient_above(self, study: Study) -> Patient:
        """Return the patient of a study."""
        return decode_patient(self._txn.row(Table.PATIENTS, row_key(study.patient_id)))

    def study_above(self, instance: Instance) -> Study:
        """Return the study of an instance."""
        return decode_study(self._txn.row(Table.STUDIES, row_key(instance.study_id)))

    def series_above(self, instance: Instance) -> Series:
        """Return the series of an instance."""
        row = row_key(instance.study_id, instance.series_id)
        return decode_series(self._txn.row(Table.SERIES, row))

    def instance_by_id(self, study_id: int, series_id: int, instance_id: int) -> Instance | None:
        """Return an instance; None when it has gone."""
        row = row_key(study_id, series_id, instance_id)
        return self._get(Table.INSTANCES, row, decode_instance)

    def entity(self, level: Level, ids: EntityId) -> Patient | Study | Series | Instance | None:
        """Return an entity of any level; None when it has gone since the ids were read."""
        match level:
            case Level.PATIENT:
                return self.patient_by_id(*ids)
            case Level.STUDY:
                return self.study_by_id(*ids)
            case Level.SERIES:
                return self.series_by_id(*ids)
            case Level.INSTANCE:
                return self.instance_by_id(*ids)

    # lists ------------------------------------------------------------------------------------
    def patients(self, after: int = 0) -> Iterator[Patient]:
        """Yield patients with ids above `after`."""
        return self._rows(Table.PATIENTS, b"", row_key(after + 1), decode_patient)

    def studies(self, after: int = 0) -> Iterator[Study]:
        """Yield studies with ids above `after`."""
        return self._rows(Table.STUDIES, b"", row_key(after + 1), decode_study)

    def studies_of(self, patient_id: int, after: int = 0) -> Iterator[Study]:
        """Yield the studies of a patient."""
        start = patient_studies_key(patient_id, after + 1)
        for key, _ in self._txn.scan(Table.KEYS, patient_studies_key(patient_id), start):
            yield decode_study(self._txn.row(Table.STUDIES, key[9:]))

    def series_of(self, study_id: int, after: int = 0) -> Iterator[Series]:
        """Yield the series of a study."""
        start = row_key(study_id, after + 1)
        return self._rows(Table.SERIES, row_key(study_id), start, decode_series)

    def instances_of(
        self, study_id: int, series_id: int | None = None, after: EntityId = ()
    ) -> Iterator[Instance]:
        """Yield the instances of a study, series by series, or of one of its series.

        `after` is the `(study, series, instance)` of the last one seen.
        """
        prefix = row_key(study_id) if series_id is None else row_key(study_id, series_id)
        start = row_key(*after[:2], after[2] + 1) if after else prefix
        return self._rows(Table.INSTANCES, prefix, start, decode_instance)

    def last_instance_of(self, study_id: int, series_id: int) -> Instance | None:
        """Return the instance of a series that came last."""
        low, high = row_key(study_id, series_id), row_key(study_id, series_id + 1)
        value = self._txn.last(Table.INSTANCES, low, high)
        return decode_instance(value) if value is not None else None

    def ids(self, level: Level, low: bytes, high: bytes) -> Iterator[EntityId]:
        """Yield the ids of entities with a secondary key in `[low, high)`, in order of key, then id.

        An entity with several keys in the range comes as often.
        """
        return (self.parts(level, entry)[1] for entry in self.entries(level, low, high))

    def entries(
        self, level: Level, low: bytes, high: bytes, count: int | None = None, after: bytes = b""
    ) -> list[bytes]:
        """Return what the index has under the secondary keys in `[low, high)`, in the order of `ids`.

        The first `count` entries, or all; from behind the entry `after` on, if given. `parts` says
        what an entry is.
        """
        start = after + b"\0" if after else bytes([level]) + low
        # No key holds a zero, so an entry is below `high` where its key is.
        return self._txn.keys(Table.KEYS, start, bytes([level]) + high, count)

    def parts(self, level: Level, entry: bytes) -> tuple[bytes, EntityId]:
        """Return secondary key and ids of an entry.

        The ids lead to the entity and its parents: `(patient,)`, `(study,)`, `(study, series)` or
        `(study, series, instance)`.
        """
        return secondary_parts(level, entry)

    # blobs, packs, feed, counts -----------------------------------------------------------------
    def blob(self, digest: bytes) -> BlobPlace | None:
        """Return where a blob is."""
        blob = self._get(Table.BLOBS, digest, decode_blob)
        return blob.place if blob is not None else None

    def refs(self, digest: bytes) -> int:
        """Return how many versions, alive or deleted, need a blob."""
        blob = self._get(Table.BLOBS, digest, decode_blob)
        return blob.refs if blob is not None else 0

    def places(self, digest: bytes) -> list[BlobPlace]:
        """Return the undamaged places of a blob that a version needs, the one it is served from first."""
        blob = self._get(Table.BLOBS, digest, decode_blob)
        if blob is None or blob.place is None or not blob.refs:
            return []
        return [blob.place, *blob.copies]

    def moved(self, digest: bytes, place: BlobPlace) -> bool:
        """Return whether every other copy of a blob is preferred to the one at this place."""
        return self._txn.get(Table.MOVED, copy_key(digest, place)) is not None

    def known(self, after: bytes, limit: int) -> list[tuple[bytes, int, list[BlobPlace]]]:
        """Return up to `limit` blobs behind digest `after`: how many versions need it, its places."""
        rows = islice(self._txn.scan(Table.BLOBS, b"", after + b"\0"), limit)
        found = ((digest, decode_blob(value)) for digest, value in rows)
        return [
            (digest, blob.refs, [*([blob.place] if blob.place else []), *blob.copies])
            for digest, blob in found
        ]

    def reliable(self, digest: bytes) -> bool:
        """Return whether a new version may count on a blob: another does, and it is not moving."""
        blob = self._get(Table.BLOBS, digest, decode_blob)
        if blob is None or blob.place is None or not blob.refs:
            return False
        return self._txn.get(Table.MOVED, copy_key(digest, blob.place)) is None

    def blobs(self, after: bytes, limit: int) -> list[tuple[bytes, BlobPlace | None]]:
        """Return up to `limit` blobs behind digest `after`, in order; no place for unneeded ones."""
        rows = self._txn.scan(Table.BLOBS, b"", after + b"\0")
        found = ((digest, decode_blob(value)) for digest, value in islice(rows, limit))
        return [(digest, blob.place if blob.refs else None) for digest, blob in found]

    def damage(self, digest: bytes = b"") -> Iterator[tuple[bytes, Damaged]]:
        """Yield the copies of a blob, or of all, that are damaged."""
        for key, value in self._txn.scan(Table.DAMAGED, digest):
            damaged = decode_damaged(value)
            if damaged.reason:
                yield key[:DIGEST_BYTES], damaged

    def packs(self) -> dict[PackId, PackUse]:
        """Return what is applied and used of each pack."""
        return {
            ids_of(key)[0]: decode_pack(value) for key, value in self._txn.scan(Table.PACKS, b"")
        }

    def dropped(self, pack: PackId) -> bool:
        """Return whether a pack of a lower tier was let go of."""
        use = self._get(Table.PACKS, row_key(pack), decode_pack)
        return use is not None and use.dropped

    def marks(self) -> dict[PackId, int]:
        """Return the offset of each pack up to which its commit records are applied."""
        return {pack: use.mark for pack, use in self.packs().items()}

    def changes(self, after: int, limit: int) -> list[Change]:
        """Return up to `limit` changes behind number `after`; their numbers have no gap."""
        rows = self._rows(Table.FEED, b"", row_key(after + 1), decode_change)
        return list(islice(rows, limit))

    def last_change(self) -> int:
        """Return the number of the newest change, or that above which the next ones are numbered."""
        return load_state(self._txn).change

    def newest_change(self) -> Change | None:
        """Return the newest change that is there."""
        value = self._txn.last(Table.FEED, b"", b"\xff")
        return decode_change(value) if value is not None else None

    def last_stamp(self) -> int:
        """Return the largest stamp of all commits applied."""
        return load_state(self._txn).stamp

    def counts(self) -> Counts:
        """Return how much there is, in constant time."""
        return load_state(self._txn).counts

    # whole ------------------------------------------------------------------------------------
    def copy(self, descriptor: int) -> None:
        """Write the snapshot to an empty file, compacted: a `data.mdb` that opens as this index.

        Not durable on return. Meanwhile the index reuses none of the pages that it frees.
        """
        self._environment.copy(self._txn, descriptor)

    # inside -----------------------------------------------------------------------------------
    def _get(self, table: Table, key: bytes, decode: Callable[[bytes], T]) -> T | None:
        value = self._txn.get(table, key)
        return decode(value) if value is not None else None

    def _named(self, table: Table, name: bytes, decode: Callable[[bytes], T]) -> T | None:
        row = self._txn.get(Table.UIDS, name)
        return self._get(table, row, decode) if row is not None else None

    def _rows(
        self, table: Table, prefix: bytes, start: bytes, decode: Callable[[bytes], T]
    ) -> Iterator[T]:
        return (decode(value) for _, value in self._txn.scan(table, prefix, start))
