"""Queries over more entities than one snapshot looks at: order, pages, bounded work."""

import logging
from collections import Counter
from contextlib import closing

import pytest

from vna.archive import query
from vna.archive.query import PlannedQuery
from vna.dicom.attributes import TABLE
from vna.dicom.keys import keys_of
from vna.index import Index, IndexSettings, Mutation
from vna.index.reader import Reader
from vna.testing.commits import store
from vna.types import Level, StoreCommit
from vna.web.search import parse_search

STUDIES = 210
PATHS = {row.keyword: row.path for row in TABLE}


def study(number):
    """A store of a study whose date goes backwards, with a name that is found by many keys."""
    mutation = store(number + 1, number, series=number, study=number, patient=number)
    commit = mutation.commit
    assert isinstance(commit, StoreCommit)
    fields = {name: getattr(commit, name) for name in commit.__struct_fields__}
    name = f"NORTH{number % 7}^NORTH{number % 5} NORTH"
    fields["patient"] = {PATHS["PatientName"]: [name], PATHS["PatientID"]: [f"P{number % 50}"]}
    day = STUDIES - number
    date = f"20{day // 28:02}01{day % 28 + 1:02}"
    fields["study"] = {
        PATHS["StudyDate"]: [date],
        PATHS["AccessionNumber"]: [f"A{number}", f"A-{number}", "A0"],
    }
    return Mutation(StoreCommit(**fields), mutation.blobs)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    settings = IndexSettings(path=tmp_path_factory.mktemp("index"), archive_uuid="0" * 36)
    index = Index.open(settings, keys_of)
    index.apply([study(number) for number in range(STUDIES)], {1: 1})
    yield index
    index.close()


def planned(level=Level.STUDY, **keys):
    items = [(name, str(value)) for name, value in keys.items()]
    return PlannedQuery.of(parse_search(level, {}, items, 10_000).query)


def find(index, level=Level.STUDY, **keys):
    return [match.study_uid for match in planned(level, **keys).matches(index)]


def number_of(uid):
    return int(uid.rpartition(".")[2])


def test_matches_of_one_value_come_as_they_arrived(index):
    found = [number_of(uid) for uid in find(index, PatientID="P3")]
    assert found == list(range(3, STUDIES, 50))


@pytest.mark.parametrize("dates", ["20000101-20201231", "20010101-20010131"])
def test_matches_of_a_range_come_in_the_order_of_their_keys(index, dates):
    found = [number_of(uid) for uid in find(index, StudyDate=dates)]
    assert len(found) in (STUDIES, 28)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("before", [16, 63, 64, 65, 130])
def test_what_arrives_between_two_pages_makes_them_leave_out_nothing(tmp_path, before):
    with closing(Index.open(IndexSettings(path=tmp_path, archive_uuid="0" * 36), keys_of)) as index:
        index.apply([study(number) for number in range(before)], {1: 1})
        keys = {"StudyDate": "20000101-20201231", "limit": 8}
        seen = []
        while page := find(index, **keys, offset=len(seen)):
            seen += page
            index.apply([study(before + len(seen) // 8)], {1: 2 + len(seen)})
        assert {number_of(uid) for uid in seen} >= set(range(before))


@pytest.mark.parametrize(
    "keys",
    [
        {"StudyDate": "20000101-20201231"},
        {"PatientName": "NORTH*"},
        {"PatientName": "north", "fuzzymatching": "true"},
        {"PatientID": "P*"},
        {"AccessionNumber": "A*"},
        {"AccessionNumber": "A0"},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [13, 70])
def test_pages_hold_every_match_once(index, keys, size):
    whole = find(index, **keys)
    assert len(set(whole)) == len(whole) > 0
    paged = []
    for offset in range(0, len(whole) + size, size):
        paged += find(index, **keys, limit=size, offset=offset)
    assert paged == whole


def test_names_with_many_keys_are_all_found(index):
    assert len(find(index, PatientName="north", fuzzymatching="true")) == STUDIES
    assert len(find(index, PatientName="NORTH*")) == STUDIES


@pytest.mark.parametrize("keys", [{"StudyDate": "20000101-20201231"}, {"PatientName": "N*"}, {}])
def test_a_page_costs_what_it_shows(index, monkeypatch, keys):
    looked = []
    original = Reader.patient_by_id
    monkeypatch.setattr(
        Reader, "patient_by_id", lambda self, id_: looked.append(id_) or original(self, id_)
    )
    assert len(find(index, **keys, limit=5)) == 5
    assert len(set(looked)) <= 16


def test_a_scan_says_so(caplog):
    with caplog.at_level(logging.INFO, "vna.archive.query"):
        planned(ModalitiesInStudy="CT", limit=1).count()
        planned(PatientID="P3").count()
    assert [record.getMessage() for record in caplog.records] == [
        "query level=STUDY plan=scan: no key that the index has"
    ]


class Counted:
    """Snapshots that count themselves."""

    def __init__(self, index):
        self.index, self.count = index, 0

    def read(self):
        self.count += 1
        return self.index.read()


def test_what_a_snapshot_finds_is_bounded_where_candidates_hold_many(tmp_path, monkeypatch):
    monkeypatch.setattr(query, "SNAPSHOT_MATCHES", 50)
    with closing(Index.open(IndexSettings(path=tmp_path, archive_uuid="0" * 36), keys_of)) as index:
        for number in range(60):
            stores = [store(n + 1, n, study=number) for n in range(20 * number, 20 * number + 20)]
            index.apply(stores, {1: 20 * number + 20})
        counted = Counted(index)
        batches = Counter(counted.count for _ in planned(Level.INSTANCE).matches(counted))
    assert batches.total() == 1200
    # 16, 8, 4 candidates of 20 matches each; then 2 and 4 in turn
    assert [batches[1], batches[2]] == [320, 160]
    assert max(batches[n] for n in range(3, counted.count + 1)) <= 80
