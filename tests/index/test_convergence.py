"""The logical content is a function of the set of mutations: order, grouping and repetition do not
matter (docs/format/index.md, "What apply does")."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vna.index import Index, IndexSettings, Outcome, content_id
from vna.testing.commits import (
    copy,
    damage,
    delete,
    drop,
    move,
    plain_keyer,
    purge,
    restore,
    store,
    void,
)
from vna.types import Level, RestoreCommit, StoreCommit, VoidCommit

few = st.integers(1, 3)
FAR = 1 << 56


@st.composite
def tierings(draw, stamp, numbers):
    """Copies of numbered blobs on lower tiers, moves away from those, packs there let go of."""
    mutations = []
    for _ in range(draw(st.integers(0, 3))):
        far = FAR + draw(few)
        every = [
            copy(stamp, numbers, far),
            move(stamp, numbers, far, draw(few)),
            drop(stamp, far),
        ]
        mutations.append(draw(st.sampled_from(every)))
    return mutations


@st.composite
def histories(draw, policies=("replace",)):
    """Mutations with distinct or colliding stamps on few instances, series, studies, patients."""
    mutations = []
    for _ in range(draw(st.integers(1, 14))):
        stamp = draw(st.integers(1, 30))
        match draw(
            st.sampled_from(
                ["store"] * 6
                + ["delete", "restore", "damage", "purge"] * 2
                + ["move"] * 3
                + ["void"]
            )
        ):
            case "store":
                mutations.append(
                    store(
                        stamp,
                        draw(few),
                        series=draw(few),
                        study=draw(few),
                        patient=draw(few),
                        content=draw(st.integers(1, 4)),
                        bulk=draw(st.integers(1, 2)),
                        said=draw(few),
                        policy=draw(st.sampled_from(policies)),
                        modality=draw(st.sampled_from(["CT", "MR"])),
                        pack=draw(few),
                    )
                )
            case "restore":
                stored = [m for m in mutations if isinstance(m.commit, StoreCommit)]
                if stored:
                    again = draw(st.sampled_from(stored))
                    mutations.append(restore(again.commit.stamp + stamp, again))
            case "purge":
                stored = [m for m in mutations if isinstance(m.commit, StoreCommit)]
                if stored:
                    again, upto = draw(st.sampled_from(stored)), draw(st.integers(1, 60))
                    mutations.append(purge(stamp + 60, again, upto, draw(st.sampled_from("ab"))))
            case "move":
                numbers = draw(st.lists(st.integers(2, 9), max_size=4, unique=True))
                mutations.append(move(stamp, numbers, draw(few), draw(st.integers(2, 5))))
                mutations += draw(tierings(stamp, numbers))
            case "delete":
                level = draw(st.sampled_from([Level.STUDY, Level.SERIES, Level.INSTANCE]))
                mutations.append(delete(stamp, level, draw(few), draw(st.sampled_from("ab"))))
            case "damage":
                blob, why = draw(st.integers(2, 9)), draw(st.sampled_from(["", "a", "b"]))
                mutations.append(damage(stamp, blob, draw(few), why))
            case _:
                mutations.append(void(stamp, draw(st.integers(1, 30)), draw(few)))
    return mutations


def one_by_content(mutations):
    """Drop what no archive can make: one instance, stamp and content, stored or restored twice."""
    seen, kept = set(), []
    for mutation in mutations:
        commit = mutation.commit
        stored = commit.store if isinstance(commit, RestoreCommit) else commit
        if isinstance(stored, StoreCommit):
            names = {
                (stored.sop_uid, s, stored.version.digest) for s in {stored.stamp, commit.stamp}
            }
            if isinstance(commit, RestoreCommit) and any(m.commit is stored for m in kept):
                names = {(stored.sop_uid, commit.stamp, stored.version.digest)}
            if names & seen:
                continue
            seen |= names
        kept.append(mutation)
    return kept


def dump_of(groups, *, replay):
    with tempfile.TemporaryDirectory() as folder:
        where = IndexSettings(Path(folder) / "index", map_size_bytes=8 << 20, sync=False)
        index = Index.open(where, plain_keyer)
        try:
            for group in groups:
                index.apply(group, {}, replay=replay)
            check_feed(index)
            return list(index.dump())
        finally:
            index.close()


def check_feed(index):
    with index.read() as reader:
        changes = reader.changes(0, 10_000)
        assert [change.seq for change in changes] == list(range(1, len(changes) + 1))


def in_groups(mutations, chance):
    groups = [[]]
    for mutation in mutations:
        if chance.random() < 0.3:
            groups.append([])
        groups[-1].append(mutation)
    return groups


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(histories(policies=("replace", "keep", "reject")), st.randoms(use_true_random=False))
def test_any_order_any_grouping_any_repetition(mutations, chance):
    mutations = one_by_content(mutations)
    voids = [m for m in mutations if isinstance(m.commit, VoidCommit)]
    others = [m for m in mutations if not isinstance(m.commit, VoidCommit)]
    expected = dump_of([voids, others], replay=True)
    shuffled = others + chance.choices(others, k=len(others) // 2) if others else []
    chance.shuffle(shuffled)
    assert dump_of([voids, *in_groups(shuffled, chance)], replay=True) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(histories(policies=("replace", "keep", "reject")), st.randoms(use_true_random=False))
def test_replay_agrees_with_what_was_decided_live(mutations, chance):
    """Live, policies judge in order of arrival, and refusals are made durable as voids."""
    mutations = one_by_content(m for m in mutations if not isinstance(m.commit, VoidCommit))
    with tempfile.TemporaryDirectory() as folder:
        where = IndexSettings(Path(folder) / "index", map_size_bytes=8 << 20, sync=False)
        index = Index.open(where, plain_keyer)
        try:
            log, voids = [], []
            for mutation in mutations:
                [applied] = index.apply([mutation], {})
                log.append(mutation)
                if applied.outcome in (Outcome.KEPT, Outcome.REJECTED):
                    number = int(mutation.commit.sop_uid.rsplit(".", 1)[1])
                    content = content_id(mutation.commit.version)
                    voids.append(void(1000 + len(log), mutation.commit.stamp, number, content))
                    index.apply(voids[-1:], {})
            live = list(index.dump())
            assert index.apply(log, {}) is not None
            assert list(index.dump()) == live, "live again, in the same order, changes nothing"
        finally:
            index.close()
    # a void names a store by stamp and content: leave out histories where two share both
    stores = [m.commit for m in log if isinstance(m.commit, StoreCommit)]
    names = [(store.sop_uid, store.stamp, content_id(store.version)) for store in stores]
    if len(set(names)) == len(names):
        chance.shuffle(log)
        assert dump_of([voids, *in_groups(log, chance)], replay=True) == live


@pytest.mark.parametrize("seed", range(3))
def test_a_long_history_converges(seed):
    chance = random.Random(seed)
    mutations, stored = [], []
    for stamp in range(1, 400):
        if chance.random() < 0.1:
            level = chance.choice([Level.STUDY, Level.SERIES, Level.INSTANCE])
            mutations.append(delete(stamp, level, chance.randrange(6)))
        elif stored and chance.random() < 0.1:
            mutations.append(restore(stamp, chance.choice(stored)))
        elif stored and chance.random() < 0.1:
            mutations.append(purge(stamp, chance.choice(stored), chance.randrange(stamp + 1)))
        elif chance.random() < 0.1:
            mutations.append(copy(stamp, chance.sample(range(2, 99), 9), FAR + 1 + stamp // 100))
        elif chance.random() < 0.02:
            mutations.append(drop(stamp, FAR + 1 + stamp // 200))
        elif chance.random() < 0.1:
            mutations.append(move(stamp, chance.sample(range(2, 99), 9), 1, 2 + stamp // 100))
        else:
            numbers = {k: chance.randrange(4) for k in ("series", "study", "patient")}
            content = chance.randrange(60)
            mutations.append(store(stamp, chance.randrange(40), content=content, **numbers))
            stored.append(mutations[-1])
    expected = dump_of([mutations], replay=True)
    chance.shuffle(mutations)
    assert dump_of(in_groups(mutations, chance), replay=True) == expected
    kinds = {line[0] for line in expected}
    assert kinds >= {"study", "gone instance", "buried", "barrier study", "blob", "total"}
