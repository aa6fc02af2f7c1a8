"""An S3 store that fails: what goes wrong has a name, and what arrives damaged is not taken for data."""

from dataclasses import replace

import pytest

from vna.errors import Corrupt, Unavailable
from vna.storage import BlobStore, ExtentCache, StorageSettings, WholePack
from vna.storage.tiers.cached import CachedTier
from vna.storage.tiers.s3 import S3Tier
from vna.testing.faultproxy import Answer, Cut, Hang, Reset, Slow, Unheard
from vna.testing.faultproxy import Corrupt as Corrupted

COLD = 2
PACK = COLD << 56 | 1 << 32 | 4
PIECE = bytes(range(256)) * 4096  # 1 MiB
AWAY = {
    "500": (Answer(500, "InternalError"), ConnectionError, "answers 500"),
    "503": (Answer(503, "SlowDown"), ConnectionError, "answers 503"),
    "403": (Answer(403, "AccessDenied"), PermissionError, "refused"),
    "reset": (Reset(), ConnectionError, "the connection broke"),
    "hang": (Hang(), TimeoutError, "no answer in time"),
}


@pytest.fixture
def tier(proxied):
    tier = S3Tier(replace(proxied, read_timeout_s=0.3, upload_timeout_s=3.0))
    tier.put(PACK, [PIECE])
    return tier


def each_operation(tier):
    yield "read", lambda: tier.open(PACK).read(0, 10)
    yield "size", lambda: tier.open(PACK).size()
    yield "list", tier.list
    yield "put", lambda: tier.put(PACK + 1, [PIECE])
    yield "remove", lambda: tier.remove(PACK)
    yield "identity", lambda: tier.identity


@pytest.mark.parametrize("fault", AWAY)
def test_what_fails_for_good_has_a_name(tier, proxy, fault):
    made, kind, reason = AWAY[fault]
    proxy.fail(made, times=None)
    for operation, ask in each_operation(tier):
        with pytest.raises(kind, match=rf"bucket images: .*{reason}") as raised:
            ask()
        assert type(raised.value) is kind, operation
    proxy.heal()
    assert tier.list() == [(PACK, len(PIECE))]
    assert tier.open(PACK).read(0, len(PIECE)) == PIECE


def test_a_store_that_refuses_connections_is_away_until_it_is_back(tier, proxy):
    proxy.refuse()
    for _, ask in each_operation(tier):
        with pytest.raises(ConnectionError, match="no connection"):
            ask()
    proxy.heal()
    assert tier.open(PACK).read(0, len(PIECE)) == PIECE


def test_bodies_that_are_cut_short_are_no_data(tier, proxy):
    reader = tier.open(PACK)
    for keeps in (0, 1, 1000, len(PIECE) - 1):
        proxy.fail(Cut(keeps), method="GET", times=None)
        with pytest.raises(ConnectionError):
            reader.read(0, len(PIECE))
        proxy.heal()
        proxy.fail(Cut(keeps), method="GET")
        assert reader.read(0, len(PIECE)) == PIECE


def test_a_body_that_comes_slowly_comes(tier, proxy):
    proxy.fail(Slow(after_s=0.2, bytes_s=2 << 20), method="GET")  # within the time for each piece
    assert tier.open(PACK).read(0, len(PIECE)) == PIECE


STEPS = {"begin": ("POST", "uploads"), "part": ("PUT", "partNumber=2"), "end": ("POST", "uploadId")}


@pytest.mark.parametrize(
    ("step", "fault"),
    [(step, fault) for step in STEPS for fault in (Answer(500, "InternalError"), Reset())]
    + [("begin", Cut(5)), ("end", Cut(5))],
    ids=repr,
)
def test_an_upload_that_fails_in_its_middle_leaves_nothing(tier, proxy, step, fault):
    method, key = STEPS[step]
    proxy.fail(fault, method=method, key=key, times=None)
    with pytest.raises(ConnectionError):
        tier.put(PACK + 1, iter([PIECE] * 20))
    proxy.heal()
    there = dict(tier.list())
    # A last answer that was not understood may have been a yes: then all of it is there.
    assert there.get(PACK + 1, 20 << 20) == 20 << 20
    assert (PACK + 1 in there) <= isinstance(fault, Cut)
    tier.remove(PACK + 1)
    assert tier.put(PACK + 1, iter([PIECE] * 20)) == 20 << 20


def test_an_upload_whose_end_is_not_heard_is_there_whole(tier, proxy):
    proxy.fail(Unheard(), method="POST", key="uploadId", times=None)
    with pytest.raises(ConnectionError):
        tier.put(PACK + 1, iter([PIECE] * 20))
    proxy.heal()
    assert tier.list() == [(PACK, 1 << 20), (PACK + 1, 20 << 20)]


@pytest.fixture(params=["cached", "plain"])
def stored(request, tmp_path, proxied, blob, noise):
    """A store with a blob on a tier in a bucket, the blob, and where it is."""
    tier = S3Tier(proxied)
    if request.param == "cached":
        tier = CachedTier(tier, ExtentCache(tmp_path / "cache", 1 << 20))
    store = BlobStore(StorageSettings(tmp_path / "packs"), lower={COLD: tier})
    data = noise(200_000)
    whole = WholePack(1)
    whole.add(blob(data))
    store.keep(whole, PACK)
    yield store, data, whole.places(PACK)[0]
    store.close()


@pytest.mark.parametrize("at", [3, 30, 5000, 150_000])
def test_bytes_that_arrive_damaged_are_not_served(stored, proxy, at, blob):
    store, data, place = stored
    digest = blob(data).digest
    proxy.fail(Corrupted(at), method="GET", times=None)
    with pytest.raises(Corrupt):
        store.read(place)
    with pytest.raises(Corrupt):
        b"".join(store.pieces(place))
    with pytest.raises(Corrupt):
        store.verify(place, digest)
    proxy.heal()
    store.verify(place, digest)
    assert store.read(place) == b"".join(store.pieces(place)) == data


@pytest.mark.parametrize("stored", ["cached"], indirect=True)
def test_damage_on_the_way_is_over_when_the_cache_asks_once_more(stored, proxy):
    store, data, place = stored
    proxy.fail(Corrupted(5000), method="GET")
    assert store.read(place) == data


def test_a_pack_that_arrives_damaged_at_the_store_is_not_believed(stored, proxy, blob, noise):
    store, _, _ = stored
    whole = WholePack(2)
    whole.add(blob(noise(50_000, seed=9)))
    for fault in (Corrupted(4000), Cut(4000)):
        proxy.fail(fault, method="GET", key=r"\.pack", times=None)
        with pytest.raises((Corrupt, Unavailable)):
            store.keep(whole, PACK + 1)
        proxy.heal()
    store.discard(PACK + 1)
    store.keep(whole, PACK + 1)
    assert [pack.id for pack in store.lower_packs(COLD)] == [PACK, PACK + 1]
