"""Metadata kept ready: the same JSON in every coding, until what it is about changes."""

from __future__ import annotations

import gzip
import json

import pytest
import zstandard

from vna.storage import BlobStore
from vna.web.coding import _chosen
from vna.web.context import PREPARED
from vna.web.prepared import Prepared
from vna.web.routes import metadata

STUDY = "/studies/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.1"
DECODE = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
    "gzip": gzip.decompress,
    "identity": bytes,
}


@pytest.fixture
async def stored(front, ct):
    for n in range(1, 6):  # one request each: they arrive in this order
        await front.stow([ct(f"1.2.3.1.{n}", InstanceNumber=n)])
    return [(await front.json(f"{SERIES}/instances/1.2.3.1.{n}/metadata"))[0] for n in range(1, 6)]


@pytest.mark.parametrize("path", [STUDY, SERIES])
async def test_every_coding_is_of_the_same_json(front, stored, path):
    etags = set()
    for coding, decode in DECODE.items():
        for _ in range(2):
            answer = await front.get(f"{path}/metadata", Accept_Encoding=coding)
            assert json.loads(decode(answer.body)) == stored
            assert answer.headers.get("Content-Encoding", "identity") == coding
            assert "Accept-Encoding" in answer.headers["Vary"]
        etags.add(answer.headers["ETag"])
        again = {"Accept_Encoding": coding, "If_None_Match": answer.headers["ETag"]}
        assert (await front.get(f"{path}/metadata", **again)).status == 304
    assert len(etags) == 3
    head = await front.request("HEAD", f"{path}/metadata", headers={"Accept-Encoding": "gzip"})
    gzipped = await front.get(f"{path}/metadata", Accept_Encoding="gzip")
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(gzipped.body)))


async def test_what_is_kept_is_not_read_again_until_it_changes(front, stored, ct, monkeypatch):
    first = await front.get(f"{SERIES}/metadata")
    with monkeypatch.context() as patch:
        patch.delattr(BlobStore, "read")
        again = await front.get(f"{SERIES}/metadata")
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    await front.stow([ct("1.2.3.2.1", series="1.2.3.2")])
    assert (await front.get(f"{SERIES}/metadata")).headers["ETag"] == first.headers["ETag"]
    assert len(await front.json(f"{STUDY}/metadata")) == 6
    await front.stow([ct("1.2.3.1.6")])
    changed = await front.get(f"{SERIES}/metadata", If_None_Match=first.headers["ETag"])
    assert (changed.status, len(changed.json())) == (200, 6)


async def test_of_many_objects_it_is_sent_as_it_is_made(front, stored, monkeypatch):
    monkeypatch.setattr(metadata, "MOST_PREPARED", 4)
    monkeypatch.setattr(metadata, "AT_ONCE", 2)
    answer = await front.get(f"{SERIES}/metadata", Accept_Encoding="gzip")
    assert answer.json() == stored
    assert "Content-Encoding" not in answer.headers
    assert not len(front.runner.app[PREPARED])


async def test_nothing_is_kept_where_there_is_no_room(serving, ct):
    front = await serving(metadata_cache_bytes=0)
    await front.stow([ct()])
    for _ in range(2):
        assert len(await front.json(f"{STUDY}/metadata")) == 1
    assert front.runner.app[PREPARED].size == 0


def test_those_asked_for_last_are_kept():
    prepared = Prepared(400)
    for number in range(8):
        prepared.keep(str(number), bytes(100))
        assert prepared.get("0") is not None
    prepared.keep("large", bytes(101))
    assert [n for n in range(8) if prepared.get(str(n))] == [0, 5, 6, 7]
    assert (len(prepared), prepared.size) == (4, 400)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("zstd;q=0.5, GZIP", "gzip"),
        ("gzip;q=0, zstd; q=0", "identity"),
        ("*", "zstd"),
        ("*, zstd;q=0", "gzip"),
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("br", "identity"),
        ("gzip;q=x", "identity"),
    ],
)
def test_the_coding_liked_best(header, coding):
    assert _chosen(header) == coding
