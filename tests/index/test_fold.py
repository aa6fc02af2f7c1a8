"""New instances are folded natively into the same entries that `vna.index.apply` would make."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vna._native import fold_new as native_fold
from vna.index import Index, IndexSettings, Mutation, apply
from vna.index.layout import Table
from vna.testing.commits import copy, damage, delete, drop, plain_keyer, purge, store, void
from vna.types import Level

few = st.integers(1, 3)


@contextmanager
def opened(folder) -> Iterator[Index]:
    index = Index.open(IndexSettings(folder, map_size_bytes=16 << 20, sync=False), plain_keyer)
    try:
        yield index
    finally:
        index.close()


@pytest.fixture
def folds(monkeypatch):
    """Says of each group applied whether it was folded natively; `off` stops that."""
    told = _Folds()
    monkeypatch.setattr(apply, "fold_new", told)
    return told


class _Folds(list[bool]):
    off = False
    fold = staticmethod(apply.fold_new)

    def __call__(self, *args):
        if self.off:
            return False
        self.append(self.fold(*args))
        return self[-1]


def entries(index):
    """All that the index has, as it lies in its tables."""
    with index.read() as reader:
        txn = reader._txn
        return {table: list(txn.scan(table)) for table in Table}


@st.composite
def groups(draw):
    """Groups of stores with rising stamps, on few patients, studies and series; some of them known."""
    made, stamp, number = [], 0, 0
    for _ in range(draw(st.integers(1, 5))):
        group = []
        for _ in range(draw(st.integers(1, 4))):
            stamp += draw(st.integers(1, 300))
            number = draw(st.integers(number + 1, number + 2) | st.integers(1, 4))
            stored = store(
                stamp,
                number,
                series=draw(few),
                study=draw(few),
                patient=draw(st.integers(1, 2)),
                bulk=draw(st.just(number) | few),
                said=draw(few),
                modality=draw(st.sampled_from(["CT", "CT", "MR"])),
                sop_class=draw(st.sampled_from(["1.2", "1.3"])),
                pack=draw(few),
            )
            brought = draw(st.sampled_from([stored.blobs, stored.blobs[:1]]))
            group.append(Mutation(stored.commit, brought))
            if draw(st.integers(0, 9)) == 0:
                stamp += 1
                level = draw(st.sampled_from([Level.STUDY, Level.SERIES, Level.INSTANCE]))
                group.append(
                    draw(
                        st.sampled_from(
                            [
                                delete(stamp, level, draw(few)),
                                damage(stamp, draw(st.integers(2, 9)), draw(few)),
                                void(stamp, stamp - 1, draw(few)),
                                copy(stamp, [2, 3, 4], 1 << 56),
                                drop(stamp, draw(few)),
                                purge(stamp, stored, stamp),
                            ]
                        )
                    )
                )
        made.append((group, {draw(few): draw(st.integers(64, 10000))}))
    return made


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups())
def test_both_folds_make_the_same_entries(tmp_path_factory, folds, groups):
    folder = tmp_path_factory.mktemp("folds")
    with opened(folder / "native") as native, opened(folder / "other") as other:
        for group, marks in groups:
            folds.off = False
            results = native.apply(group, marks)
            folds.off = True
            assert other.apply(group, marks) == results
            assert entries(native) == entries(other)


def test_new_instances_are_folded_natively(index, folds):
    index.apply([store(1, 1), store(2, 2), store(3, 3, study=2, patient=2)], {1: 5000})
    index.apply([store(4, 4, series=2), store(5, 5, study=3, patient=2)], {1: 6000})
    assert folds == [True, True]


def test_what_is_not_new_is_folded_by_who_knows_the_rest(index, folds):
    first = store(1, 1)
    index.apply([first, store(2, 2)], {})
    known = [
        first,
        store(9, 1, content=7),  # another version
        store(3, 3, bulk=1),  # brings a blob that is here
        store(4, 4, modality="MR"),  # its series has another one
        store(5, 5, patient=2),  # its study is another patient's
        store(2, 6, series=3),  # its stamp is not above all
        delete(10, Level.INSTANCE, 1),
        store(11, 1, content=8),  # was deleted
    ]
    for mutation in known:
        index.apply([mutation], {})
    index.apply([store(20, 20), store(21, 20, content=21)], {})  # the second is not new
    assert folds == [True] + [False] * (len(known) + 1)


@pytest.mark.parametrize("cut", [0, 1, 5, 40, 200])
def test_a_group_that_is_cut_off_is_not_folded(index, monkeypatch, cut):
    taken = []
    monkeypatch.setattr("vna.index.fold.native_fold", taken.append)
    index.apply([store(1, 1)], {1: 5000})
    assert native_fold(taken[0]) is not None
    assert native_fold(taken[0][:cut]) is None
