"""What is particular to a tier in a bucket; the rest is in tests/contract."""

from dataclasses import replace

import pytest

from vna.storage.tiers.s3 import S3Tier
from vna.testing.faultproxy import Answer

PACK = 2 << 56 | 1 << 32 | 4


def test_a_store_that_is_not_there_is_away(object_server):
    nowhere = S3Tier(replace(object_server, endpoint="http://127.0.0.1:9", retries=0))
    for ask in (
        lambda: nowhere.identity,
        nowhere.list,
        lambda: nowhere.put(PACK, [b"x"]),
        lambda: nowhere.open(PACK).read(0, 1),
        lambda: nowhere.remove(PACK),
    ):
        with pytest.raises(ConnectionError, match="bucket images"):
            ask()


def test_wrong_keys_are_refused(object_server):
    stranger = S3Tier(replace(object_server, secret_key="another"))
    with pytest.raises(PermissionError, match="refused"):
        stranger.list()
    with pytest.raises(PermissionError):
        stranger.put(PACK, [b"x"])


def test_a_bucket_that_is_not_there(object_server):
    missing = S3Tier(replace(object_server, bucket="nosuchbucket"))
    with pytest.raises(OSError, match="bucket nosuchbucket"):
        missing.put(PACK, [b"x"])
    with pytest.raises(OSError, match="bucket nosuchbucket"):
        _ = missing.identity


def test_a_bucket_that_is_gone_is_away_and_its_packs_are_not_missing(proxied, proxy):
    tier = S3Tier(proxied)
    tier.put(PACK, [b"content"])
    reader = tier.open(PACK)
    proxy.fail(Answer(404, "NoSuchBucket"), times=None)
    for ask in (lambda: reader.read(0, 7), lambda: tier.remove(PACK)):
        with pytest.raises(ConnectionError, match="no such bucket"):
            ask()
    proxy.heal()
    assert reader.read(0, 7) == b"content"


def test_a_refusal_says_why(proxied, proxy):
    tier = S3Tier(proxied)
    tier.put(PACK, [b"content"])
    proxy.fail(Answer(403, "RequestTimeTooSkewed"), times=None)
    for ask in (lambda: tier.open(PACK).read(0, 7), tier.list):
        with pytest.raises(PermissionError, match="refused, RequestTimeTooSkewed"):
            ask()


def test_packs_without_a_marker_are_not_taken_for_ours(bucket):
    S3Tier(bucket).put(PACK, [b"someone's"])
    with pytest.raises(OSError, match="without the marker"):
        _ = S3Tier(bucket).identity


def test_prefixes_are_apart(bucket):
    one, other = S3Tier(bucket), S3Tier(replace(bucket, prefix=f"{bucket.prefix}/deeper"))
    one.put(PACK, [b"one"])
    other.put(PACK, [b"other"])
    assert one.list() == [(PACK, 3)]
    assert other.list() == [(PACK, 5)]
    assert one.open(PACK).read(0, 9) == b"one"


def test_secrets_do_not_show(bucket):
    assert bucket.secret_key not in repr(bucket)
    assert bucket.access_key not in repr(bucket)
