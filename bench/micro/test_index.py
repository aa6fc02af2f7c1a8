"""The index: one group of stores, look-ups, and a query's walk; and matching by itself."""

from vna.dicom.matching import compile_query
from vna.testing.commits import digest, uid
from vna.types import Key, Level, Query

PATIENT_NAME, STUDY_DATE, PATIENT_ID = 0x0010_0010, 0x0008_0020, 0x0010_0020


def test_putting_a_group_of_100(benchmark, index, commits, fresh):
    def group():
        return (commits(next(fresh), 100), {}), {}

    benchmark.pedantic(index.apply, setup=group, rounds=50)


def test_getting_an_instance(benchmark, index):
    def get():
        with index.read() as reader:
            return reader.instance(uid(Level.INSTANCE, 777))

    assert benchmark(get)


def test_getting_a_blob(benchmark, index):
    def get():
        with index.read() as reader:
            return reader.blob(digest(2 * 777))

    assert benchmark(get)


def test_walking_the_instances_of_a_study(benchmark, index):
    def walk():
        with index.read() as reader:
            study = reader.study(uid(Level.STUDY, 7))
            return [
                instance
                for series in reader.series_of(study.id)
                for instance in reader.instances_of(study.id, series.id)
            ]

    assert len(benchmark(walk)) == 20


def test_compiling_a_query(benchmark):
    keys = (Key(PATIENT_NAME, "Phantom0000*"), Key(STUDY_DATE, "20200101-20201231"))
    assert benchmark(compile_query, Query(Level.STUDY, keys)).asks(Level.PATIENT)


def test_matching_1000_studies(benchmark, scanned):
    compiled = compile_query(Query(Level.STUDY, (Key(STUDY_DATE, "20200101-20201231"),)))

    def match():
        return sum(compiled.matches(Level.STUDY, scanned.study) for _ in range(1_000))

    assert benchmark(match) in {0, 1_000}


def test_matching_1000_names(benchmark, scanned):
    compiled = compile_query(Query(Level.PATIENT, (Key(PATIENT_NAME, "Phantom*"),)))

    def match():
        return sum(compiled.matches(Level.PATIENT, scanned.patient) for _ in range(1_000))

    assert benchmark(match) == 1_000
