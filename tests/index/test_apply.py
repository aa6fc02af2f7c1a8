"""What each mutation does to the index, one rule at a time."""

import pytest

from vna.errors import Invalid
from vna.index import Applied, ChangeKind, Index, IndexSettings, Mutation, Outcome
from vna.testing.commits import (
    blob_place,
    damage,
    delete,
    digest,
    plain_keyer,
    restore,
    store,
    uid,
    void,
)
from vna.types import Level

STORED, REPLACED = Applied(Outcome.STORED, 1), Applied(Outcome.REPLACED, 1)
DUPLICATE, NOTHING = Applied(Outcome.DUPLICATE, 0), Applied(Outcome.NOTHING, 0)


def apply(index, *mutations, replay=False):
    return index.apply(mutations, {}, replay=replay)


def feed(index):
    with index.read() as reader:
        return [(c.kind, c.study_uid[-1], c.sop_uid[-1]) for c in reader.changes(0, 1000)]


def test_a_store_makes_the_instance_and_its_parents(index):
    assert apply(index, store(5, 1, study=2, series=3, patient=4)) == [STORED]
    with index.read() as reader:
        patient = reader.patient("patient 4")
        study = reader.study(uid(Level.STUDY, 2))
        series = reader.series(uid(Level.SERIES, 3))
        instance = reader.instance(uid(Level.INSTANCE, 1))
        assert (patient.studies, study.series, study.instances, series.instances) == (1, 1, 1, 1)
        assert study.patient_id == patient.id
        assert (series.study_id, instance.study_id) == (study.id, study.id)
        assert instance.series_id == series.id
        assert study.bytes == series.bytes == instance.version.length == 1001
        assert (study.created, study.updated, study.changed) == (5, 5, 1)
        assert study.modalities == {"CT": 1}
        assert study.sop_classes == {instance.sop_class: 1}
        assert reader.series_by_id(study.id, series.id) == series
        assert reader.instance_by_id(study.id, series.id, instance.id) == instance
        assert reader.patient_by_id(patient.id) == patient
        assert reader.study_by_id(study.id) == study
        assert list(reader.studies_of(patient.id)) == [study]
        assert reader.blob(instance.version.header) == blob_place(2)
        assert reader.refs(instance.version.header) == 1
        counts = reader.counts()
        assert (counts.patients, counts.studies, counts.series, counts.instances) == (1, 1, 1, 1)
        assert (counts.bytes, counts.blobs) == (1001, 2)
    assert feed(index) == [(ChangeKind.STORED, "2", "1")]


def test_the_same_bytes_again_store_nothing(index):
    apply(index, store(1, 1))
    assert apply(index, store(2, 1), store(1, 1)) == [DUPLICATE, DUPLICATE]
    with index.read() as reader:
        instance = reader.instance(uid(Level.INSTANCE, 1))
        assert (instance.version.stamp, instance.older, instance.stamps) == (1, [], [2])
        assert reader.refs(instance.version.header) == 1
    assert len(feed(index)) == 1


def test_replace_makes_the_newest_current_and_keeps_the_others(index):
    apply(index, store(2, 1, content=20))
    assert apply(index, store(3, 1, content=30), store(1, 1, content=10)) == [REPLACED, REPLACED]
    with index.read() as reader:
        instance = reader.instance(uid(Level.INSTANCE, 1))
        assert [v.stamp for v in [instance.version, *instance.older]] == [3, 2, 1]
        assert instance.attributes == {0x00200013: [3]}
        assert reader.study(uid(Level.STUDY, 1)).bytes == 1030
        assert reader.counts().bytes == 1030
        assert reader.counts().blobs == 6
    assert [kind for kind, *_ in feed(index)] == [ChangeKind.STORED] + [ChangeKind.UPDATED] * 2


def test_bytes_that_come_back_are_current_again(index):
    apply(index, store(1, 1, content=10), store(2, 1, content=20))
    assert apply(index, store(3, 1, content=10)) == [REPLACED]
    with index.read() as reader:
        instance = reader.instance(uid(Level.INSTANCE, 1))
        assert [v.stamp for v in [instance.version, *instance.older]] == [1, 2]
        assert instance.stamps == [3, 2]


@pytest.mark.parametrize(
    ("policy", "outcome"), [("keep", Outcome.KEPT), ("reject", Outcome.REJECTED)]
)
def test_keep_and_reject_leave_the_first(index, policy, outcome):
    apply(index, store(1, 1, content=10))
    before = list(index.dump())
    late = store(2, 1, content=20, policy=policy)
    assert apply(index, late) == [Applied(outcome, 0)]
    assert apply(index, store(3, 1, content=10, policy=policy)) == [DUPLICATE]
    apply(index, void(4, 2, 1))
    assert apply(index, late) == apply(index, late, replay=True) == [NOTHING]
    with index.read() as reader:
        assert reader.instance(uid(Level.INSTANCE, 1)).older == []
        assert reader.refs(digest(40)) == 0
        assert reader.blob(digest(40)) is not None, "its bytes are in a pack all the same"
    assert [line for line in before if line[0] == "patient"]


def test_replay_takes_what_no_void_refuses(index):
    apply(index, store(1, 1, content=10))
    assert apply(index, store(2, 1, content=20, policy="reject"), replay=True) == [REPLACED]


def test_a_void_refuses_a_store_of_its_own_group(index):
    assert apply(index, store(1, 1), void(2, 1, 1)) == [NOTHING, NOTHING]
    with index.read() as reader:
        assert reader.instance(uid(Level.INSTANCE, 1)) is None
        assert reader.counts().instances == 0


def test_delete_by_level(index):
    def fill(stamp):
        apply(index, *(store(stamp + n, n, series=n // 2, study=n // 4) for n in range(8)))

    fill(0)
    assert apply(index, delete(100, Level.INSTANCE, 7)) == [Applied(Outcome.DELETED, 1)]
    assert apply(index, delete(101, Level.SERIES, 2)) == [Applied(Outcome.DELETED, 2)]
    assert apply(index, delete(102, Level.STUDY, 0)) == [Applied(Outcome.DELETED, 4)]
    assert apply(index, delete(102, Level.STUDY, 0)) == [NOTHING]
    with index.read() as reader:
        assert reader.study(uid(Level.STUDY, 0)) is None
        assert reader.deleted_study(uid(Level.STUDY, 0))
        assert not reader.deleted_study(uid(Level.STUDY, 1))
        assert reader.deleted_series(uid(Level.SERIES, 2))
        assert not reader.deleted_series(uid(Level.SERIES, 3))
        assert reader.tombstone(uid(Level.INSTANCE, 7)).version.digest == digest(7)
        assert reader.barrier(Level.STUDY, uid(Level.STUDY, 0)).reason == "test"
        study = reader.study(uid(Level.STUDY, 1))
        assert (study.series, study.instances, study.bytes) == (1, 1, 1006)
        assert study.modalities == {"CT": 1}
        counts = reader.counts()
        assert (counts.studies, counts.series, counts.instances, counts.deleted) == (1, 1, 1, 7)
    fill(0)
    with index.read() as reader:
        assert reader.counts().instances == 1, "stores older than the deletes stay dead"
    fill(200)
    with index.read() as reader:
        assert reader.counts().instances == 8
        assert reader.counts().deleted == 0
        assert not reader.deleted_study(uid(Level.STUDY, 0))
        assert not reader.deleted_series(uid(Level.SERIES, 2))
        assert reader.tombstone(uid(Level.INSTANCE, 7)) is None


def test_a_delete_finds_what_came_in_its_own_group(index):
    outcomes = apply(index, store(1, 1), store(2, 2), delete(3, Level.STUDY, 1), store(4, 2))
    assert outcomes == [STORED, STORED, Applied(Outcome.DELETED, 2), STORED]
    with index.read() as reader:
        assert reader.study(uid(Level.STUDY, 1)).instances == 1


def test_an_old_version_stays_dead_when_a_newer_one_is_deleted(index):
    apply(index, delete(5, Level.INSTANCE, 1))
    assert apply(index, store(4, 1)) == [NOTHING]
    with index.read() as reader:
        assert reader.instance(uid(Level.INSTANCE, 1)) is None
        assert reader.tombstone(uid(Level.INSTANCE, 1)).version.stamp == 4
        assert reader.counts().studies == 0
    assert feed(index) == []


def test_a_newer_version_may_move_to_another_study_and_patient(index):
    apply(index, store(1, 1, content=10, study=1), store(1, 2, study=1))
    moved = store(2, 1, content=11, study=2, series=2, patient=2, modality="MR")
    assert apply(index, moved) == [REPLACED]
    with index.read() as reader:
        one, two = reader.study(uid(Level.STUDY, 1)), reader.study(uid(Level.STUDY, 2))
        assert (one.instances, one.modalities) == (1, {"CT": 1})
        assert (two.instances, two.modalities) == (1, {"MR": 1})
        assert reader.instance(uid(Level.INSTANCE, 1)).study_id == two.id
        assert len(list(reader.instances_of(one.id))) == 1
        assert reader.counts().patients == 2
    kinds = [(ChangeKind.STORED, "1", "1"), (ChangeKind.STORED, "1", "2")]
    kinds += [(ChangeKind.DELETED, "1", "1"), (ChangeKind.STORED, "2", "1")]
    assert feed(index) == kinds
    apply(index, store(3, 2, content=12, study=2, series=2, patient=2))
    with index.read() as reader:
        assert reader.deleted_study(uid(Level.STUDY, 1))
        assert reader.patient("patient 1") is None
        assert reader.study(uid(Level.STUDY, 2)).modalities == {"CT": 1}


def test_a_study_follows_the_patient_of_its_newest_store(index):
    apply(index, store(2, 1, patient=1), store(3, 2, patient=2), store(1, 3, patient=3))
    with index.read() as reader:
        patient = reader.patient("patient 2")
        assert [s.uid for s in reader.studies_of(patient.id)] == [uid(Level.STUDY, 1)]
        assert reader.patient("patient 1") is None
        assert reader.study(uid(Level.STUDY, 1)).patient_id == patient.id
        assert reader.counts().patients == 1


def test_one_series_uid_in_two_studies(index):
    apply(index, store(1, 1, study=1, series=9), store(2, 2, study=2, series=9))
    with index.read() as reader:
        one, two = reader.study(uid(Level.STUDY, 1)), reader.study(uid(Level.STUDY, 2))
        name = uid(Level.SERIES, 9)
        assert reader.series(name, one.id).study_id == one.id
        assert reader.series(name, two.id).study_id == two.id
        assert reader.series(name).study_id == one.id
    assert apply(index, delete(3, Level.SERIES, 9)) == [Applied(Outcome.DELETED, 2)]


def test_attributes_and_keys_are_of_the_newest_store(index):
    apply(index, store(20, 1, said=5), store(10, 2, said=6))
    with index.read() as reader:
        study = reader.study(uid(Level.STUDY, 1))
        assert study.attributes == {0x00080020: ["20200606"]}
        found = list(reader.ids(Level.STUDY, b"00080020:2020", b"00080020:2021"))
        assert found == [(study.id,)]
        assert not list(reader.ids(Level.STUDY, b"00080020:20200707", b"00080020:20200708"))
    apply(index, store(30, 2, said=6))
    with index.read() as reader:
        (found,) = reader.entries(Level.STUDY, b"00080020:", b"00080020;")
        assert reader.parts(Level.STUDY, found) == (b"00080020:20200707", (study.id,))


def test_the_feed_has_no_gaps_and_pages(index):
    for n in range(20):
        apply(index, store(n, n % 7, content=n), delete(n, Level.INSTANCE, (n + 3) % 7))
    with index.read() as reader:
        everything = reader.changes(0, 1000)
        assert [change.seq for change in everything] == list(range(1, len(everything) + 1))
        assert reader.last_change() == len(everything) > 20
        paged = []
        while page := reader.changes(paged[-1].seq if paged else 0, 3):
            paged += page
        assert paged == everything


def test_blobs_of_two_instances_are_shared_and_counted_once(index):
    apply(index, store(1, 1, bulk=50), store(2, 2, bulk=50))
    with index.read() as reader:
        assert reader.refs(digest(101)) == 2
        assert reader.counts().blobs == 3
        use = reader.packs()[1]
        assert use.live == use.total == sum(blob_place(n).size for n in (2, 4, 101))


def test_a_blob_may_be_placed_after_it_is_needed_and_the_first_place_wins(index):
    from vna.index import Mutation

    mutation = store(1, 1)
    apply(index, Mutation(mutation.commit))
    with index.read() as reader:
        assert reader.blob(digest(2)) is None
        assert reader.refs(digest(2)) == 1
    index.apply([Mutation(None, [(digest(2), blob_place(2, pack=7))])], {7: 4711})
    apply(index, Mutation(None, [(digest(2), blob_place(2, pack=3))]))
    apply(index, Mutation(None, [(digest(2), blob_place(2, pack=9))]))
    with index.read() as reader:
        assert reader.blob(digest(2)) == blob_place(2, pack=3)
        packs = reader.packs()
        assert (packs[7].mark, packs[7].live, packs[7].total) == (4711, 0, 0)
        assert packs[3].live == packs[3].total == blob_place(2).size
        assert (packs[9].live, packs[9].total) == (0, 0)
        assert reader.counts().blob_bytes == blob_place(2).size


def test_marks_never_go_back(index):
    index.apply([], {1: 500, 2: 100})
    index.apply([store(1, 1)], {1: 400, 2: 200})
    with index.read() as reader:
        assert reader.marks() == {1: 500, 2: 200}


def test_a_group_is_all_or_nothing(index):
    with pytest.raises(Invalid, match="128 bytes"):
        apply(index, store(1, 1), delete(2, Level.STUDY, 10**200))
    with pytest.raises(Invalid, match="study by study"):
        apply(index, store(1, 1), delete(2, Level.PATIENT, 1))
    with index.read() as reader:
        assert reader.counts().instances == 0
        assert reader.changes(0, 10) == []


@pytest.mark.parametrize("key", [b"", b"a\0b", b"x" * 401])
def test_keys_that_would_break_the_order_are_refused(settings: IndexSettings, key):
    index = Index.open(settings, lambda level, attributes: [key])
    try:
        with pytest.raises(ValueError, match="secondary key"):
            apply(index, store(1, 1))
    finally:
        index.close()


def test_listing_goes_on_after_an_id(index):
    apply(index, *(store(n, n, series=n // 10, study=n // 50, patient=n // 60) for n in range(200)))
    with index.read() as reader:
        studies = list(reader.studies())
        assert [s.id for s in reader.studies(studies[1].id)] == [s.id for s in studies[2:]]
        assert [p.id for p in reader.patients(2)] == [p.id for p in reader.patients()][2:]
        series = list(reader.series_of(studies[1].id))
        assert list(reader.series_of(studies[1].id, series[2].id)) == series[3:]
        instances = list(reader.instances_of(studies[2].id))
        assert len(instances) == 50
        for n in (0, 17, 49):
            after = (instances[n].study_id, instances[n].series_id, instances[n].id)
            assert list(reader.instances_of(studies[2].id, after=after)) == instances[n + 1 :]
        only = list(reader.instances_of(studies[2].id, instances[0].series_id))
        assert only == instances[:10]
        numbers = (Level.INSTANCE, b"00200013:", b"00200013;")
        entries = reader.entries(*numbers)
        assert len(entries) == 200
        for n in (0, 99, 199):
            assert reader.entries(*numbers, after=entries[n]) == entries[n + 1 :]
            assert reader.entries(*numbers, 7, entries[n]) == entries[n + 1 : n + 8]
        assert reader.entries(*numbers, 0) == []


def test_reopening_keeps_everything(settings):
    first = Index.open(settings, plain_keyer)
    apply(first, store(1, 1), delete(2, Level.STUDY, 1), store(3, 2))
    before = list(first.dump())
    first.close()
    again = Index.open(settings, plain_keyer)
    try:
        assert list(again.dump()) == before
        apply(again, store(4, 3))
        assert [kind for kind, *_ in feed(again)].count(ChangeKind.STORED) == 3
    finally:
        again.close()


def test_a_restore_makes_an_older_version_current(index):
    first = store(1, 1, content=10, study=2, said=1)
    apply(index, first, store(2, 1, content=20, said=2))
    assert apply(index, restore(5, first)) == [REPLACED]
    assert apply(index, restore(5, first)) == [DUPLICATE]
    with index.read() as reader:
        instance = reader.instance(uid(Level.INSTANCE, 1))
        assert [v.stamp for v in [instance.version, *instance.older]] == [1, 2]
        assert instance.stamps == [5, 2]
        assert instance.attributes == {0x00200013: [1]}
        study = reader.study(uid(Level.STUDY, 2))
        assert (study.created, study.updated) == (1, 1)
        assert reader.study(uid(Level.STUDY, 1)) is None, "it moved back"
        patient = reader.patient("patient 1")
        assert patient.attributes == {0x00100010: ["Name^1^2"]}, "no restore turns that back"
        assert reader.refs(instance.version.header) == 1


@pytest.mark.parametrize("level", [Level.INSTANCE, Level.SERIES, Level.STUDY])
def test_a_restore_is_stronger_than_the_deletes_before_it(index, level):
    first = store(1, 1, policy="keep")
    apply(index, first, store(2, 2), delete(3, level, 1))
    assert apply(index, restore(3, first)) == [NOTHING]
    assert apply(index, restore(4, first)) == [STORED]
    with index.read() as reader:
        assert reader.instance(uid(Level.INSTANCE, 1)).stamps == [4]
        assert reader.tombstone(uid(Level.INSTANCE, 1)) is None
        assert [t.uid[-1] for t in reader.tombstones_of(uid(Level.STUDY, 1))] == (
            [] if level is Level.INSTANCE else ["2"]
        )
    assert feed(index)[-1] == (ChangeKind.STORED, "1", "1")
    assert apply(index, delete(5, level, 1)) == [Applied(Outcome.DELETED, 1)]


def test_a_restore_needs_no_other_record(index):
    first = store(1, 1)
    alone = Mutation(restore(5, first).commit, first.blobs)
    assert apply(index, alone, replay=True) == [STORED]
    dump = list(index.dump())
    assert apply(index, first, replay=True) == [DUPLICATE]
    assert list(index.dump()) == dump


def test_a_restore_older_than_its_store_is_refused(index):
    with pytest.raises(Invalid, match="stamps"):
        apply(index, restore(4, store(5, 1)))


def test_deleted_instances_are_listed_by_study_and_series(index):
    apply(index, store(1, 1, series=1), store(1, 2, series=2), store(1, 3, series=2, study=2))
    apply(index, delete(2, Level.STUDY, 1), delete(2, Level.INSTANCE, 3))

    def listed(study, *series):
        with index.read() as reader:
            below = [uid(Level.SERIES, number) for number in series]
            return [t.uid[-1] for t in reader.tombstones_of(uid(Level.STUDY, study), *below)]

    assert (listed(1), listed(1, 2), listed(2, 2), listed(2, 1)) == (["1", "2"], ["2"], ["3"], [])
    with index.read() as reader:
        studies = reader.studies_of_series(uid(Level.SERIES, 2))
        assert studies == [uid(Level.STUDY, 1), uid(Level.STUDY, 2)]
    apply(index, store(3, 2, series=2, study=2))
    assert (listed(1), listed(2)) == (["1"], ["3"])


def test_a_damaged_copy_is_never_served_again_and_a_new_one_repairs(index):
    apply(index, store(1, 1, pack=5))
    apply(index, Mutation(None, [(digest(2), blob_place(2, pack=7))]))
    apply(index, damage(2, 2, 5))
    with index.read() as reader:
        assert reader.blob(digest(2)) == blob_place(2, pack=7), "the other copy takes over"
    apply(index, damage(3, 2, 7))
    assert apply(index, store(1, 1, pack=5)) == [DUPLICATE]
    with index.read() as reader:
        assert reader.blob(digest(2)) is None, "what is replayed does not bring it back"
        assert [key for key, _ in reader.damage()] == [digest(2)] * 2
        assert reader.packs()[7].live == 0
    assert apply(index, store(4, 1, pack=9)) == [Applied(Outcome.REPAIRED, 0)]
    assert apply(index, store(4, 1, pack=9)) == [DUPLICATE]
    with index.read() as reader:
        assert reader.blob(digest(2)) == blob_place(2, pack=9)
        assert [change.kind for change in reader.changes(0, 9)] == [ChangeKind.STORED]
    apply(index, damage(2, 2, 5, "older"))
    apply(index, damage(5, 2, 5, ""))
    with index.read() as reader:
        assert reader.blob(digest(2)) == blob_place(2, pack=5), "it was found sound again"
