"""The one way the index changes: a group of mutations, folded into it in one write transaction.

What this code must keep true is stated in docs/format/index.md, "What apply does".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from vna.errors import Invalid
from vna.index.entities import (
    Barrier,
    Change,
    ChangeKind,
    Instance,
    Purge,
    State,
    Tombstone,
    decode_barrier,
    decode_instance,
    decode_purge,
    decode_state,
    decode_tombstone,
    encode,
)
from vna.index.fold import fold_new
from vna.index.layout import (
    BARRIERS,
    FEED,
    GONE,
    INSTANCES,
    META,
    META_STATE,
    UIDS,
    barrier_key,
    buried_key,
    instance_key,
    name_key,
    purge_key,
    row_key,
    void_key,
)
from vna.index.ledger import Ledger
from vna.index.mutation import REFUSED, Applied, Mutation, Outcome
from vna.index.parents import Family, Parents
from vna.index.secondary import SecondaryKeys
from vna.index.settings import Keyer
from vna.index.transaction import Transaction
from vna.index.versions import Held, Merge, content_id, history_of, merge, same_data
from vna.types import (
    Commit,
    CopyCommit,
    DamageCommit,
    DeleteCommit,
    DropCommit,
    DuplicatePolicy,
    Level,
    MoveCommit,
    PackId,
    PurgeCommit,
    RestoreCommit,
    StoreCommit,
    Version,
    VoidCommit,
)

__all__ = ["apply_group", "forget", "is_void", "leap_feed", "load_state"]

_Known: TypeAlias = Instance | Tombstone | None

FEED_LIFE_BITS = 32
"""Changes between two returns to a checkpoint have numbers below one another's, below 2^53 for long."""

_NOTHING = Applied(Outcome.NOTHING, 0)
_STORED = Applied(Outcome.STORED, 1)


def is_void(txn: Transaction, sop_uid: str, version: Version) -> bool:
    """Return whether the store of an instance that brought this version was refused."""
    return any(
        txn.get(BARRIERS, void_key(sop_uid, version.stamp, content)) is not None
        for content in (content_id(version), b"")
    )


def load_state(txn: Transaction) -> State:
    """Return the counters and counts of the index."""
    value = txn.get(META, META_STATE)
    return decode_state(value) if value is not None else State()


def leap_feed(txn: Transaction, least: int) -> None:
    """Number the changes from here on above all that were ever told and are gone now.

    That is the life of the feed that follows this one, or `least` if that is later.
    """
    state = load_state(txn)
    state.change = max((state.change >> FEED_LIFE_BITS) + 1, least) << FEED_LIFE_BITS
    txn.put(META, META_STATE, encode(state))


def apply_group(
    txn: Transaction,
    keyer: Keyer,
    mutations: Sequence[Mutation],
    marks: Mapping[PackId, int],
    *,
    replay: bool,
) -> list[Applied]:
    """Fold `mutations` into the index; see `Index.apply`."""
    if fold_new(txn, SecondaryKeys(txn, keyer), mutations, marks):
        return [_STORED for _ in mutations]
    group = _Group(txn, keyer, replay=replay)
    for mutation in mutations:
        if isinstance(mutation.commit, VoidCommit):
            group.void(mutation.commit)
    results = [group.take(mutation) for mutation in mutations]
    if not any(result.outcome in REFUSED for result in results):
        for pack, end in marks.items():
            group.ledger.mark(pack, end)
    group.settle()
    return results


def forget(
    txn: Transaction, pack: PackId, digests: Sequence[bytes], there: Callable[[PackId], bool]
) -> int:
    """Drop the places of blobs in a pack; see `Index.forget`."""
    state = load_state(txn)
    ledger = Ledger(txn, state.counts)
    kept = ledger.forget(pack, digests, there)
    ledger.settle()
    txn.put(META, META_STATE, encode(state))
    return kept


class _Group:
    """A group on its way into one write transaction."""

    def __init__(self, txn: Transaction, keyer: Keyer, *, replay: bool) -> None:
        self._txn = txn
        self._replay = replay
        self._state = load_state(txn)
        self._purged_until = self._state.stamp
        self._keys = SecondaryKeys(txn, keyer)
        self._parents = Parents(txn, self._state, self._keys)
        self.ledger = Ledger(txn, self._state.counts)

    def take(self, mutation: Mutation) -> Applied:
        found = [self.ledger.learn(digest, place) for digest, place in mutation.blobs]
        commit: Commit | None = mutation.commit
        if commit is not None:
            self._purged_until = self._state.stamp
            self._state.stamp = max(self._state.stamp, commit.stamp)
        if isinstance(commit, StoreCommit):
            applied = self._store(commit)
            if applied.outcome is Outcome.DUPLICATE and any(found):
                return Applied(Outcome.REPAIRED, 0)
            return applied
        if isinstance(commit, RestoreCommit):
            return self._fold(commit.store, commit.stamp, "replace")
        if isinstance(commit, DeleteCommit):
            return self._delete(commit)
        if isinstance(commit, PurgeCommit):
            return self._purge(commit)
        if isinstance(commit, DamageCommit | MoveCommit | CopyCommit | DropCommit):
            self.ledger.take(commit)
        return _NOTHING

    def void(self, commit: VoidCommit) -> None:
        key = void_key(commit.sop_uid, commit.voided, commit.content)
        self._txn.put(BARRIERS, key, b"")

    def settle(self) -> None:
        self._parents.settle()
        self.ledger.settle()
        self._txn.put(META, META_STATE, encode(self._state))

    # stores -----------------------------------------------------------------------------------
    def _store(self, commit: StoreCommit) -> Applied:
        if not self._txn.bare(BARRIERS) and is_void(self._txn, commit.sop_uid, commit.version):
            return _NOTHING
        return self._fold(commit, commit.stamp, commit.policy)

    def _fold(self, commit: StoreCommit, stamp: int, policy: DuplicatePolicy) -> Applied:
        """Take what `commit` stored as of `stamp`: its own, or that of a restore."""
        if not commit.version.stamp == commit.stamp <= stamp:
            raise Invalid(f"store of {commit.sop_uid}: its stamps do not agree")
        known = self._known(commit.sop_uid)
        history = history_of(known.version, known.older, known.stamps) if known else ()
        merged = merge(history, commit.version, stamp)
        alive = isinstance(known, Instance)
        repeats_current = alive and same_data(history[0].version, commit.version)
        if alive and not self._replay and not merged.seen and not repeats_current:
            if policy == "keep":
                return Applied(Outcome.KEPT, 0)
            if policy == "reject":
                return Applied(Outcome.REJECTED, 0)
        before = merged.before
        was = before.version if before and self._keeps(commit.sop_uid, before) else None
        now = merged.after.version if self._keeps(commit.sop_uid, merged.after) else None
        if was is not now:
            if now is not None:
                self.ledger.hold(now)
            if was is not None:
                self.ledger.release(was)
        changes = not merged.repeated or (merged.newest and not repeats_current)
        lives = self._place(commit, stamp, known, merged, changes=changes)
        if not lives:
            return _NOTHING
        if not alive:
            return _STORED
        return Applied(Outcome.REPLACED, 1) if changes else Applied(Outcome.DUPLICATE, 0)

    def _place(
        self, commit: StoreCommit, stamp: int, known: _Known, merged: Merge, *, changes: bool
    ) -> bool:
        """Put the instance where its newest store says, with its new history; say if it lives."""
        named = self._parents.named(commit)
        home = self._home(known) if isinstance(known, Instance) else None
        if known is None or merged.newest:
            target, sop_class, attributes = named, commit.sop_class, commit.instance
        else:
            target, sop_class, attributes = self._home(known), known.sop_class, known.attributes
        study_uid, series_uid = target.study.now.uid, target.series.now.uid
        dead_until = self._dead_until(study_uid, series_uid, commit.sop_uid)
        newest = merged.history[0]
        lives = newest.stamp > dead_until and self._keeps(commit.sop_uid, newest)
        stamps = [held.stamp for held in merged.history]
        version, *older = [held.version for held in merged.history]
        wanted = Tombstone(
            commit.sop_uid, study_uid, series_uid, sop_class, attributes, version, older, stamps
        )
        stays = lives and home is target
        if home is not None and not stays:
            self._feed(ChangeKind.DELETED, stamp, home, commit.sop_uid)
        if lives and not (stays and not changes):
            kind = ChangeKind.UPDATED if stays else ChangeKind.STORED
            self._feed(kind, stamp, target, commit.sop_uid)
        self._move(known, home, wanted, target if lives else None)
        return lives

    def _move(
        self, known: _Known, home: Family | None, wanted: Tombstone, target: Family | None
    ) -> None:
        """Turn what is known of an instance, alive in `home` or not, into what is wanted.

        It is to be alive in `target`, or with None dead.
        """
        counts = self._state.counts
        if isinstance(known, Instance):
            assert home is not None
            self._count(home, known.sop_class, known.version.length, -1)
        elif known is not None:
            counts.deleted -= 1
        if target is not None:
            self._count(target, wanted.sop_class, wanted.version.length, +1)
        else:
            counts.deleted += 1
        if isinstance(known, Instance) and target is not home:
            self._drop_row(known)
        self._bury(known if isinstance(known, Tombstone) else None, None if target else wanted)
        if target is not None:
            self._put_row(known if target is home else None, wanted, target)

    def _bury(self, was: Tombstone | None, now: Tombstone | None) -> None:
        """Turn the tombstone of an instance from `was` into `now`; None is no tombstone."""
        if was == now:
            return
        if was is not None:
            for key in _tombstone_keys(was):
                self._txn.delete(GONE, key)
        if now is not None:
            name, listed = _tombstone_keys(now)
            self._txn.put(GONE, name, encode(now))
            self._txn.put(GONE, listed, b"")

    def _put_row(self, known: _Known, wanted: Tombstone, target: Family) -> None:
        """Write a living instance over the row it has in `target`, or as a new one."""
        study_id, series_id = self._parents.house(target)
        was = known if isinstance(known, Instance) else None
        if was is None:
            self._state.instance += 1
        number = was.id if was is not None else self._state.instance
        row = row_key(study_id, series_id, number)
        now = Instance(
            number,
            study_id,
            series_id,
            wanted.uid,
            wanted.sop_class,
            wanted.attributes,
            wanted.version,
            wanted.older,
            wanted.stamps,
        )
        if was is None:
            name = instance_key(wanted.uid)
            self._txn.put(UIDS, name, row)
        if now != was:
            self._txn.put(INSTANCES, row, encode(now))
        self._keys.change(Level.INSTANCE, row, was.attributes if was else None, now.attributes)

    def _drop_row(self, known: Instance) -> None:
        row = row_key(known.study_id, known.series_id, known.id)
        self._txn.delete(INSTANCES, row)
        self._txn.delete(UIDS, instance_key(known.uid))
        self._keys.change(Level.INSTANCE, row, known.attributes, None)

    # deletes ----------------------------------------------------------------------------------
    def _delete(self, commit: DeleteCommit) -> Applied:
        if commit.level is Level.PATIENT:
            raise Invalid("a patient is deleted study by study")
        self._parents.settle()  # what this group brought must be found by name below
        key = barrier_key(commit.level, commit.uid)
        value = self._txn.get(BARRIERS, key)
        barrier = Barrier(commit.stamp, commit.reason)
        known = decode_barrier(value) if value is not None else None
        if known is None or (known.stamp, known.reason) < (barrier.stamp, barrier.reason):
            self._txn.put(BARRIERS, key, encode(barrier))
        count = 0
        for row in self._rows_below(commit.level, commit.uid):
            instance = decode_instance(self._txn.row(INSTANCES, row))
            if instance.stamps[0] <= commit.stamp:
                self._kill(instance, commit.stamp)
                count += 1
        return Applied(Outcome.DELETED, count) if count else _NOTHING

    def _rows_below(self, level: Level, uid: str) -> list[bytes]:
        """Return the row keys of the living instances of what `uid` names."""
        name = name_key(level, uid)
        if level is not Level.SERIES:
            row = self._txn.get(UIDS, name)
            prefixes = [] if row is None else [row]
        else:
            prefixes = [row for _, row in self._txn.scan(UIDS, name)]
        if level is Level.INSTANCE:
            return prefixes
        return [row for p in prefixes for row, _ in self._txn.scan(INSTANCES, p)]

    def _kill(self, known: Instance, stamp: int) -> None:
        home = self._home(known)
        tombstone = Tombstone(
            known.uid,
            home.study.now.uid,
            home.series.now.uid,
            known.sop_class,
            known.attributes,
            known.version,
            known.older,
            known.stamps,
        )
        self._feed(ChangeKind.DELETED, stamp, home, known.uid)
        self._move(known, home, tombstone, None)

    # purges -----------------------------------------------------------------------------------
    def _purge(self, commit: PurgeCommit) -> Applied:
        if any(upto > commit.stamp for _, upto in commit.contents):
            raise Invalid(f"purge of {commit.sop_uid}: it is older than what it purges")
        known = self._known(commit.sop_uid)
        history = history_of(known.version, known.older, known.stamps) if known else ()
        kept = [held for held in history if self._keeps(commit.sop_uid, held)]
        for content, upto in commit.contents:
            key = purge_key(commit.sop_uid, content)
            value = self._txn.get(BARRIERS, key)
            purge = Purge(upto, commit.stamp, commit.reason)
            if value is None or _order(decode_purge(value)) < _order(purge):
                self._txn.put(BARRIERS, key, encode(purge))
        gone = [held for held in kept if not self._keeps(commit.sop_uid, held)]
        for held in gone:
            self.ledger.release(held.version)
        if isinstance(known, Instance) and not self._keeps(commit.sop_uid, history[0]):
            self._kill(known, commit.stamp)
        return Applied(Outcome.PURGED, len(gone)) if gone else _NOTHING

    def _keeps(self, sop_uid: str, held: Held) -> bool:
        """Say whether the bytes of a content are kept: it was not purged, or has come again.

        What is newer than all that was applied before this commit cannot have been purged.
        """
        if held.stamp > self._purged_until:
            return True
        value = self._txn.get(BARRIERS, purge_key(sop_uid, content_id(held.version)))
        return value is None or decode_purge(value).upto < held.stamp

    # shared -----------------------------------------------------------------------------------
    def _known(self, sop_uid: str) -> _Known:
        name = instance_key(sop_uid)
        row = self._txn.get(UIDS, name)
        if row is not None:
            return decode_instance(self._txn.row(INSTANCES, row))
        if self._txn.bare(GONE):
            return None
        value = self._txn.get(GONE, name)
        return decode_tombstone(value) if value is not None else None

    def _home(self, known: Instance | Tombstone) -> Family:
        if isinstance(known, Instance):
            return self._parents.at(known.study_id, known.series_id)
        return self._parents.family(known.study_uid, known.series_uid)

    def _dead_until(self, study_uid: str, series_uid: str, sop_uid: str) -> int:
        """Return the stamp of the last delete that an instance was under; -1 where there was none."""
        if self._txn.bare(BARRIERS):
            return -1
        return max(
            self._barrier(Level.INSTANCE, sop_uid),
            self._barrier(Level.SERIES, series_uid),
            self._barrier(Level.STUDY, study_uid),
        )

    def _barrier(self, level: Level, uid: str) -> int:
        value = self._txn.get(BARRIERS, barrier_key(level, uid))
        return decode_barrier(value).stamp if value is not None else -1

    def _count(self, family: Family, sop_class: str, length: int, sign: int) -> None:
        family.count(sop_class, length, sign)
        self._state.counts.instances += sign
        self._state.counts.bytes += sign * length

    def _feed(self, kind: ChangeKind, stamp: int, family: Family, sop_uid: str) -> None:
        self._state.change += 1
        seq = self._state.change
        study_uid, series_uid = family.changed(seq)
        change = Change(seq, stamp, kind, study_uid, series_uid, sop_uid)
        self._txn.append(FEED, row_key(seq), encode(change))


def _order(purge: Purge) -> tuple[int, int, str]:
    return purge.upto, purge.stamp, purge.reason


def _tombstone_keys(tombstone: Tombstone) -> tuple[bytes, bytes]:
    """Return the keys under which a tombstone is found by name, and listed in its series."""
    uid = tombstone.uid
    listed = buried_key(tombstone.study_uid, tombstone.series_uid, uid)
    return instance_key(uid), listed
