"""Prefetch: what arrives or is ordered makes its relevant priors hot, from a real object store."""

import errno
import os
import random
import threading
from contextlib import closing
from pathlib import Path

import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.dicom.attributes import INSTANCE_AVAILABILITY, STUDY_INSTANCE_UID
from vna.errors import NotFound, Unavailable
from vna.observe import exposition, metrics
from vna.testing.clocks import SetClock
from vna.testing.counting import CountingTier
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier
from vna.types import Key, Level, Query
from vna.workflow import (
    Order,
    Orders,
    Prefetch,
    PrefetchingSettings,
    PrefetchRule,
    priors_of_order,
)

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
NOW = 1_772_323_200 * SECOND_NS
"""2026-03-01."""
SIZE = 20_000
EACH = 5
CHEST, HEAD, HAND, OTHER = "1.2.1", "1.2.2", "1.2.3", "1.2.4"
RULE = PrefetchRule("same part", modalities=("CT",), at_most=2, send_to="WS")


def image(study, number=1, patient="P1", **changes):
    values = {
        "PatientID": patient,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "InstanceNumber": number,
        "Rows": 1,
        "Columns": SIZE // 2,
        "PixelData": random.Random(f"{study} {number}").randbytes(SIZE),
        "StudyDate": "20260301",
    }
    return ct_image(f"{study}.1.{number}", **(values | changes))


PRIORS = {
    CHEST: {"StudyDate": "20240101", "BodyPartExamined": "CHEST"},
    HEAD: {"StudyDate": "20250101", "BodyPartExamined": "BRAIN", "Modality": "MR"},
    HAND: {"StudyDate": "20250601", "StudyDescription": "Hand, two views", "Modality": "CR"},
    OTHER: {"StudyDate": "20250701", "BodyPartExamined": "CHEST", "patient": "P2"},
}


@pytest.fixture
def clock():
    return SetClock(NOW)


@pytest.fixture
def settings(folder, bucket):
    return ArchiveSettings(
        data=folder / "data",
        index_map_bytes=4 << 20,
        min_free_bytes=0,
        cache_bytes=64 << 20,
        tiers=(TierSettings("hot", path=folder / "data/packs"), bucket_tier(bucket, folder)),
    )


@pytest.fixture
async def cold(settings, clock):
    """An archive with priors of two patients, all of them in a bucket."""
    archive = Archive.open(settings, clock=clock)
    for study, changes in PRIORS.items():
        for number in range(1, EACH + 1):
            await archive.store(image(study, number, **changes), source="test")
    archive.move("cold")
    archive.close()
    archive = Archive.open(settings, clock=clock)
    archive.compact(1)
    archive.close()
    archive = Archive.open(settings, clock=clock)
    (cached,) = archive._tiers.lower.values()
    cached.inner = CountingTier(cached.inner)
    yield archive
    archive.close()


class Sent(list):
    """The port of sends, with what it was asked."""

    away = False

    def __call__(self, study_uid, ae_title):
        if self.away:
            raise Unavailable(f"{ae_title} is away")
        self.append((study_uid, ae_title))


@pytest.fixture
def sent():
    return Sent()


@pytest.fixture
def begin(cold, settings, sent):
    def begin(*rules, **changes):
        return Prefetch(
            cold,
            settings.data,
            rules or (RULE,),
            PrefetchingSettings(**changes),
            sent,
            threading.Event(),
        )

    return begin


def work(prefetch):
    """Do all that is due."""
    while prefetch.look():
        pass
    while prefetch.recall_next():
        pass
    while prefetch.send_next():
        pass


def requests(archive):
    (cached,) = archive._tiers.lower.values()
    return cached.inner.asked["read"]


def availability(archive, study):
    keys = (Key(STUDY_INSTANCE_UID, study),)
    query = Query(Level.STUDY, keys, returned=frozenset({INSTANCE_AVAILABILITY}))
    (match,) = archive.query(query)
    return match.attributes[INSTANCE_AVAILABILITY]


def is_hot(archive, study):
    """Read a study; say whether that asked nothing of the bucket."""
    before = requests(archive)
    for number in range(1, EACH + 1):
        (stored,) = archive.objects(study, None, f"{study}.1.{number}")
        content = b"".join(archive.file(stored, "TEST")[1])
        assert content == image(study, number, **PRIORS[study])
    return requests(archive) == before


def counted(found):
    line = f'vna_prefetch_reads_total{{found="{found}"}}'
    text = exposition(metrics.REGISTRY, {})
    return sum(float(each.split()[-1]) for each in text.splitlines() if each.startswith(line))


async def arrive(archive, study="1.2.9", **changes):
    await archive.store(image(study, **{"BodyPartExamined": "CHEST", **changes}), source="test")


async def test_a_study_that_arrives_makes_its_relevant_priors_hot(cold, begin, sent):
    prefetch = begin()
    await arrive(cold)
    assert availability(cold, CHEST) == ["NEARLINE"]
    work(prefetch)
    assert sent == [(CHEST, "WS")]
    assert requests(cold) == 1
    assert availability(cold, CHEST) == ["ONLINE"]
    assert availability(cold, HEAD) == ["NEARLINE"]
    assert is_hot(cold, CHEST)
    assert not is_hot(cold, HEAD)
    assert not is_hot(cold, OTHER)


async def test_a_directory_has_the_cache_before_it_if_that_is_wanted(folder, sent):
    settings = ArchiveSettings(
        data=folder / "data",
        index_map_bytes=4 << 20,
        min_free_bytes=0,
        tiers=(TierSettings("hot"), TierSettings("disk", path=folder / "disk", cached=True)),
    )
    with closing(Archive.open(settings)) as archive:
        await archive.store(image(CHEST, **PRIORS[CHEST]), source="test")
        archive.move("disk")
        rules = (PrefetchRule("all"),)
        for choice in priors_of_order(archive, rules, Order(patient_id="P1")):
            assert archive.warm_cache(choice.study_uid) > SIZE
        assert archive.cache_state().bytes > SIZE
        assert availability(archive, CHEST) == ["ONLINE"]
        (stored,) = archive.objects(CHEST)
        content = b"".join(archive.file(stored, "TEST")[1])
        assert content == image(CHEST, **PRIORS[CHEST])


async def test_what_is_hot_already_costs_nothing(cold, begin, sent):
    cold.warm_cache(CHEST)
    before = requests(cold)
    await arrive(cold, "1.2.8")
    prefetch = begin()
    await arrive(cold)
    work(prefetch)
    assert sent == [("1.2.8", "WS"), (CHEST, "WS")]
    assert requests(cold) == before


async def test_a_study_is_looked_at_again_when_more_is_known_of_it(cold, begin, sent):
    prefetch = begin(PrefetchRule("head", prior_body_parts=("same",), send_to="WS", at_most=1))
    await arrive(cold)
    work(prefetch)
    assert sent == [(CHEST, "WS")]
    await arrive(cold, SOPInstanceUID="1.2.9.7")
    work(prefetch)
    assert len(sent) == 1, "nothing new is known"
    await arrive(
        cold, SOPInstanceUID="1.2.9.8", SeriesInstanceUID="1.2.9.2", BodyPartExamined="HEAD"
    )
    work(prefetch)
    assert sent == [(CHEST, "WS"), (HEAD, "WS")]


async def test_history_that_arrives_asks_for_nothing(cold, begin, sent):
    prefetch = begin()
    await arrive(cold, StudyDate="20260101")
    work(prefetch)
    assert sent == []


async def test_history_asks_like_others_if_that_is_wanted(cold, begin, sent):
    prefetch = begin(arrived_within_days=0.0)
    await arrive(cold, StudyDate="20260101")
    work(prefetch)
    assert sent == [(CHEST, "WS")]


async def test_a_restart_goes_on_where_it_was(cold, begin, sent):
    prefetch = begin(PrefetchRule("any", prior_body_parts=(), send_to="WS"))
    await arrive(cold)
    prefetch.look()
    prefetch.recall_next()
    again = begin()
    assert is_hot(cold, HAND)
    work(again)
    assert is_hot(cold, HEAD)
    assert is_hot(cold, CHEST)
    assert sent == [(HAND, "WS"), (HEAD, "WS"), (CHEST, "WS")]


async def test_a_prior_is_sent_once_a_day(cold, begin, sent, settings, clock):
    prefetch = begin()
    orders = Orders(settings.data, clock)
    orders.leave(Order(patient_id="P1", modality="CT", body_part="CHEST"))
    work(prefetch)
    await arrive(cold)
    work(prefetch)
    assert sent == [(CHEST, "WS")]
    clock.now_ns += DAY_NS + SECOND_NS
    orders.leave(Order(patient_id="P1", modality="CT", body_part="CHEST"))
    work(begin())
    assert sent.count((CHEST, "WS")) == 2


async def test_what_came_while_nobody_looked_is_followed_the_past_is_not(cold, begin, sent):
    begin()
    await arrive(cold)
    work(begin())
    assert sent == [(CHEST, "WS")]


async def test_another_feed_is_followed_from_its_end(cold, begin, sent, settings):
    await arrive(cold)
    (settings.data / "prefetch").mkdir()
    state = settings.data / "prefetch/state.json"
    state.write_text('{"place": {"number": 2, "stamp": 5}}')
    work(begin())
    assert sent == []
    state.write_text("{")
    work(begin())
    await arrive(cold, "1.2.8")
    work(begin())
    assert sent == [("1.2.9", "WS"), (CHEST, "WS")]


async def test_a_tier_that_is_away_is_tried_again_for_a_day(cold, begin, sent, clock, monkeypatch):
    prefetch = begin()
    asked = []

    def cut(self, key, start, stop):
        asked.append(start)
        raise ConnectionError("pulled")

    await arrive(cold)
    with monkeypatch.context() as patch:
        patch.setattr("vna.storage.tiers.s3.S3Tier.stream", cut)
        work(prefetch)
        assert len(asked) == 1
        clock.now_ns += 20 * SECOND_NS
        work(prefetch)
        assert len(asked) == 1
        clock.now_ns += 20 * SECOND_NS
        work(prefetch)
        assert len(asked) == 2
    clock.now_ns += 61 * SECOND_NS
    work(prefetch)
    assert sent == [(CHEST, "WS")]
    assert is_hot(cold, CHEST)


async def test_a_receiver_that_is_away_is_given_up_after_a_day(cold, begin, sent, clock):
    prefetch = begin()
    sent.away = True
    await arrive(cold)
    for _ in range(26):
        work(prefetch)
        clock.now_ns += 3600 * SECOND_NS
    sent.away = False
    work(prefetch)
    assert sent == []
    assert not begin().send_next()


async def test_an_order_is_followed_when_its_time_has_come(cold, begin, sent, settings, clock):
    prefetch = begin()
    orders = Orders(settings.data, clock)
    order = Order(
        key="A1",
        patient_id="P1",
        modality="CT",
        procedure="CT thorax",
        scheduled=NOW + 3 * DAY_NS,
    )
    orders.leave(order)
    work(prefetch)
    assert sent == []
    clock.now_ns += 2 * DAY_NS + SECOND_NS
    work(prefetch)
    assert sent == [(CHEST, "WS")]
    work(prefetch)
    assert len(sent) == 1


async def test_orders_are_replaced_and_cancelled(cold, begin, sent, settings, clock):
    prefetch = begin(PrefetchRule("same", send_to="WS", at_most=1))
    orders = Orders(settings.data, clock)
    orders.leave(Order(key="A1", patient_id="P1", body_part="CHEST"))
    orders.leave(Order(key="A2", patient_id="P1", body_part="HAND"))
    orders.leave(Order(key="A1", patient_id="P1", body_part="HEAD"))
    orders.leave(Order(key="A2", cancelled=True))
    orders.leave(Order(patient_id="P3", body_part="HEAD"))
    (settings.data / "prefetch/orders/0-x.json").write_text("{}, no order")
    work(prefetch)
    assert sent == [(HEAD, "WS")]
    assert list((settings.data / "prefetch/orders").iterdir()) == []


async def test_an_order_that_cannot_be_removed_is_followed_once(
    cold, begin, sent, settings, clock, monkeypatch, caplog
):
    prefetch = begin(PrefetchRule("same", send_to="WS", at_most=1))
    orders = Orders(settings.data, clock)
    orders.leave(Order(key="A1", patient_id="P1", body_part="HEAD"))
    orders.leave(Order(key="A2", patient_id="P1", body_part="HAND"))
    orders.leave(Order(key="A2", cancelled=True))
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.suffix == ".json":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    work(prefetch)
    work(prefetch)
    assert sent == [(HEAD, "WS")]
    assert len(list((settings.data / "prefetch/orders").iterdir())) == 3
    assert caplog.text.count("cannot be removed yet") == 3
    monkeypatch.undo()
    work(prefetch)
    assert list((settings.data / "prefetch/orders").iterdir()) == []


async def test_an_order_that_cannot_be_read_for_now_is_kept(
    cold, begin, sent, settings, clock, monkeypatch
):
    prefetch = begin(PrefetchRule("same", send_to="WS", at_most=1))
    Orders(settings.data, clock).leave(Order(patient_id="P1", body_part="HEAD"))

    def refuse(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    work(prefetch)
    assert sent == []
    monkeypatch.undo()
    work(prefetch)
    assert sent == [(HEAD, "WS")]


async def test_priors_of_an_order_say_why(cold, begin):
    choices = priors_of_order(cold, [RULE], Order(patient_id="P1", procedure="Thorax"))
    assert [(each.study_uid, each.reason) for each in choices] == [(CHEST, "body part CHEST")]
    await arrive(cold)
    by_study = priors_of_order(cold, [RULE], Order(study_uid="1.2.9", body_part="HEAD"))
    assert by_study == choices, "the study's own facts are looked at"
    with pytest.raises(NotFound, match="no study of that patient"):
        priors_of_order(cold, [RULE], Order(patient_id="P1", issuer="elsewhere"))
    with pytest.raises(NotFound, match=r"study 1\.2\.7 is not in the archive"):
        priors_of_order(cold, [RULE], Order(study_uid="1.2.7"))


async def test_it_is_known_which_priors_were_read(cold, begin, clock):
    prefetch = begin(PrefetchRule("any", prior_body_parts=()))
    before = counted("read"), counted("unread")
    await arrive(cold)
    work(prefetch)
    clock.now_ns += 60 * SECOND_NS
    assert is_hot(cold, HEAD)
    prefetch.judge()
    assert (counted("read"), counted("unread")) == (before[0] + 1, before[1])
    clock.now_ns += 4 * DAY_NS
    prefetch.judge()
    prefetch.judge()
    assert (counted("read"), counted("unread")) == (before[0] + 1, before[1] + 2)


async def test_it_works_in_the_background_until_it_is_told_to_stop(cold, settings, sent):
    stop = threading.Event()
    came = threading.Event()

    def send(study_uid, ae_title):
        sent(study_uid, ae_title)
        came.set()

    rate = PrefetchingSettings(rate_bytes_s=EACH * SIZE * 10)
    prefetch = Prefetch(cold, settings.data, (RULE,), rate, send, stop)
    works = [threading.Thread(target=each) for each in (prefetch.recall, prefetch.deliver)]
    for each in works:
        each.start()
    await arrive(cold)
    assert came.wait(30)
    stop.set()
    for each in works:
        each.join(30)
        assert not each.is_alive()
    assert sent == [(CHEST, "WS")]
