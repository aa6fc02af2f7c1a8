"""Reading the index on the event loop: a little, and only while it is in memory."""

from __future__ import annotations

import pytest

from vna.archive import glances
from vna.archive.glances import AWAY, ROWS, Glances
from vna.clock import SystemClock
from vna.dicom.keys import keys_of
from vna.errors import WouldWait
from vna.index import Index, IndexSettings
from vna.testing.commits import store
from vna.types import Level


class ManualClock(SystemClock):
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def index(tmp_path):
    index = Index.open(IndexSettings(path=tmp_path, archive_uuid="0" * 36), keys_of)
    index.apply([store(n + 1, n, study=n) for n in range(ROWS)], {1: 1})
    yield index
    index.close()


def studies(most):
    def work(glance):
        with glance.read() as reader:
            return [study.uid for study, _ in zip(reader.studies(), range(most), strict=False)]

    return work


def test_a_glance_sees_what_a_reader_sees_and_no_more_than_a_few_rows(index):
    looks = Glances(index, ManualClock())
    with index.read() as reader:
        every = [study.uid for study in reader.studies()]
    few = ROWS // 2
    for _ in range(3):  # what one has read is not held against the next
        assert looks.read(studies(few)) == every[:few]
    with pytest.raises(WouldWait):
        looks.read(studies(ROWS))
    assert looks.read(studies(few)) == every[:few]


def test_after_a_page_came_from_disk_threads_read_for_a_while(index, monkeypatch):
    clock, faults = ManualClock(), [0]
    monkeypatch.setattr(glances, "_faults", lambda: faults[0])
    looks = Glances(index, clock)

    def slow(glance):
        faults[0] += 1
        clock.now += 0.01
        return studies(ROWS // 2)(glance)

    with pytest.raises(WouldWait):  # many rows: given up after the first ones
        looks.read(slow)
    with pytest.raises(WouldWait):
        looks.read(studies(1))
    clock.now += AWAY * 0.01 - 0.001
    with pytest.raises(WouldWait):
        looks.read(studies(1))
    clock.now += 0.002
    assert len(looks.read(studies(1))) == 1
    faults[0] += 1  # somebody else's, between two reads
    assert len(looks.read(studies(1))) == 1


def test_a_glance_does_not_wait_while_the_map_grows(index):
    looks = Glances(index, ManualClock())
    with index._environment._gate.alone(1.0), pytest.raises(WouldWait):
        looks.read(studies(1))
    assert len(looks.read(studies(1))) == 1


def test_keys_read_at_once_count_as_rows(index):
    looks = Glances(index, ManualClock())

    def entries(count):
        def work(glance):
            with glance.read() as reader:
                return reader.entries(Level.STUDY, b"", b"\xff", count)

        return work

    few = ROWS // 2
    assert len(looks.read(entries(few))) == few
    with pytest.raises(WouldWait):
        looks.read(entries(ROWS))
