"""A state machine drives an index beside a dict, and compares all that readers can be asked."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vna.index import Index, IndexSettings
from vna.testing.commits import delete, plain_keyer, store, uid
from vna.types import Level

few = st.integers(1, 3)


class Model(RuleBasedStateMachine):
    """Stamps only grow here, as in one process; every store replaces."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.settings = IndexSettings(
            Path(self.folder.name) / "i", map_size_bytes=1 << 20, sync=False
        )
        self.index = Index.open(self.settings, plain_keyer)
        self.stamp = 0
        self.alive = {}  # instance -> (study, series, patient of the store, content, stamp)
        self.patient_of = {}  # study -> patient that its newest store named
        self.modality_of = {}  # (study, series) -> modality of its newest store
        self.deleted = set()
        self.bytes_of = {}  # instance -> contents ever stored

    @rule(
        instance=st.integers(1, 6),
        series=few,
        study=few,
        patient=few,
        content=st.integers(1, 9),
        modality=st.sampled_from(["CT", "MR", "US"]),
    )
    def store(self, *, instance, series, study, patient, content, modality):
        self.stamp += 1
        self.index.apply(
            [
                store(
                    self.stamp,
                    instance,
                    series=series,
                    study=study,
                    patient=patient,
                    content=content,
                    modality=modality,
                )
            ],
            {1: self.stamp},
        )
        self.alive[instance] = study, series, content, self.stamp
        self.patient_of[study] = patient
        self.modality_of[study, series] = modality
        self.deleted.discard(instance)
        self.bytes_of.setdefault(instance, set()).add(content)

    @rule(level=st.sampled_from([Level.STUDY, Level.SERIES, Level.INSTANCE]), number=few)
    def delete(self, level, number):
        self.stamp += 1
        [applied] = self.index.apply([delete(self.stamp, level, number)], {})
        part = {Level.STUDY: lambda i, a: a[0], Level.SERIES: lambda i, a: a[1]}.get(
            level, lambda i, a: i
        )
        dead = {i for i, a in self.alive.items() if part(i, a) == number}
        assert applied.count == len(dead)
        self.deleted |= dead
        for instance in dead:
            del self.alive[instance]

    @rule()
    def reopen(self):
        self.index.close()
        self.index = Index.open(self.settings, plain_keyer)

    @invariant()
    def counts_agree(self):
        with self.index.read() as reader:
            counts = reader.counts()
            studies = {a[0] for a in self.alive.values()}
            assert counts.instances == len(self.alive)
            assert counts.deleted == len(self.deleted)
            assert counts.studies == len(studies)
            assert counts.series == len({a[:2] for a in self.alive.values()})
            assert counts.patients == len({self.patient_of[s] for s in studies})
            assert counts.bytes == sum(1000 + a[2] for a in self.alive.values())
            blobs = {2 * c for cs in self.bytes_of.values() for c in cs}
            assert counts.blobs == 2 * len(blobs)
            assert reader.packs()[1].live == counts.blob_bytes if self.alive else True

    @invariant()
    def studies_agree(self):
        with self.index.read() as reader:
            for number in range(1, 4):
                inside = {i: a for i, a in self.alive.items() if a[0] == number}
                study = reader.study(uid(Level.STUDY, number))
                if not inside:
                    assert study is None
                    continue
                series = {a[1] for a in inside.values()}
                assert study.series == len(series)
                assert study.instances == len(inside)
                assert study.bytes == sum(1000 + a[2] for a in inside.values())
                assert study.sop_classes == {"1.2.840.10008.5.1.4.1.1.2": len(inside)}
                assert study.modalities == Counter(self.modality_of[number, s] for s in series)
                patient = reader.patient_by_id(study.patient_id)
                assert patient.key == f"patient {self.patient_of[number]}"
                assert study.uid in {s.uid for s in reader.studies_of(patient.id)}
                listed = {i.uid: i for i in reader.instances_of(study.id)}
                assert listed.keys() == {uid(Level.INSTANCE, i) for i in inside}
                assert {s.uid for s in reader.series_of(study.id)} == {
                    uid(Level.SERIES, s) for s in series
                }

    @invariant()
    def instances_and_keys_agree(self):
        with self.index.read() as reader:
            for number in range(1, 7):
                name = uid(Level.INSTANCE, number)
                instance, tombstone = reader.instance(name), reader.tombstone(name)
                assert (instance is not None) == (number in self.alive)
                assert (tombstone is not None) == (number in self.deleted)
                if instance is not None:
                    study, series, content, stamp = self.alive[number]
                    assert instance.version.length == 1000 + content
                    assert instance.attributes == {0x00200013: [stamp]}
                    home = reader.series_by_id(instance.study_id, instance.series_id)
                    assert home.uid == uid(Level.SERIES, series)
                    assert reader.study_by_id(instance.study_id).uid == uid(Level.STUDY, study)
                    key = f"00200013:{stamp}".encode()
                    ids = (instance.study_id, instance.series_id, instance.id)
                    assert list(reader.ids(Level.INSTANCE, key, key + b"\1")) == [ids]
            every = list(reader.ids(Level.INSTANCE, b"", b"\xff"))
            assert len(every) == len(self.alive)

    def teardown(self):
        self.index.close()
        self.folder.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=30)
