"""What is remembered of the index is never older than the index."""

from __future__ import annotations

import pytest

from vna.archive.offload import Offload
from vna.index import Reader
from vna.types import Level
from vna.web.prompt import PromptAnswers

INSTANCE = "/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
OLD, NEW = b"old!" * 128, b"new!" * 128


@pytest.mark.parametrize("resource", ["frames/1", "bulkdata/7FE00010", "metadata", ""])
async def test_a_change_is_seen_by_the_next_request(front, ct, resource):
    path = f"{INSTANCE}/{resource}".rstrip("/")
    await front.stow([ct(frames=[OLD], PatientID="OLD")])
    first = [await front.get(path) for _ in range(3)]
    assert first[0].headers.get("ETag") == first[2].headers.get("ETag")
    assert all((OLD in answer.body) or b"OLD" in answer.body for answer in first)
    await front.stow([ct(frames=[NEW], PatientID="NEW")])
    for _ in range(2):
        answer = await front.get(path)
        assert NEW in answer.body or b"NEW" in answer.body
        assert answer.headers.get("ETag") != first[0].headers.get("ETag") or resource == ""
    await front.archive.delete(Level.STUDY, "1.2.3", "test")
    await front.problem(path, 410)


@pytest.mark.parametrize("accept", ["application/octet-stream", "multipart/related"])
async def test_who_asks_again_is_answered_with_the_same_while_the_index_stands(
    front, ct, monkeypatch, accept
):
    made, asked = [], PromptAnswers._asked
    monkeypatch.setattr(PromptAnswers, "_asked", lambda *args: made.append(args) or asked(*args))
    path = f"{INSTANCE}/frames/1"
    await front.stow([ct(frames=[OLD])])
    answers = [await front.get(path, accept) for _ in range(4)]
    assert len(made) == 1
    assert all(OLD in answer.body for answer in answers)
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 4
    await front.get(f"{path}?accept=*/*", accept)
    await front.get(path, accept, Origin="https://viewer.example")
    assert len(made) == 3
    await front.stow([ct("1.2.3.1.2")])
    assert OLD in (await front.get(path, accept)).body
    assert len(made) == 4


async def test_damage_is_met_by_who_asks_again(front, ct, tmp_path):
    path = f"{INSTANCE}/frames/1"
    await front.stow([ct(frames=[OLD])])
    for _ in range(3):
        assert OLD in (await front.get(path)).body
    (pack,) = (tmp_path / "data/packs").glob("*.pack")
    content = pack.read_bytes()
    with pack.open("r+b") as file:
        file.seek(content.index(OLD))
        file.write(b"rust")
    await front.problem(path, 500)


async def test_who_reads_on_needs_no_transaction(front, ct, monkeypatch):
    await front.stow([ct(frames=[OLD, NEW])])
    assert (await front.get(f"{INSTANCE}/frames/1")).status == 200

    def refuse(_reader):
        raise AssertionError("the index was asked again")

    monkeypatch.setattr(Reader, "__enter__", refuse)
    for resource in ("frames/2", "frames/1,2", "bulkdata/7FE00010", "metadata"):
        assert (await front.get(f"{INSTANCE}/{resource}")).status == 200
    other = "/studies/1.2.3/series/1.2.9/instances/1.2.3.1.1/frames/1"
    assert (await front.get(other)).status == 500
    monkeypatch.undo()
    await front.problem(other, 404)


async def test_what_was_forgotten_is_looked_up_without_a_thread(front, ct, monkeypatch):
    await front.stow([ct(frames=[OLD, NEW])])
    path = f"{INSTANCE}/frames/2"
    assert (await front.get(path)).status == 200  # its pack is open from here on
    await front.stow([ct("1.2.3.1.2")])  # the index changes: all is forgotten

    def refuse(*_):
        raise AssertionError("a thread was asked")

    monkeypatch.setattr(Offload, "begin", refuse)
    assert NEW in (await front.get(path)).body
    assert (await front.get(f"{INSTANCE}/metadata")).status == 200


async def test_a_series_that_is_read_through_is_looked_up_ahead(front, ct, monkeypatch):
    for n in range(20):
        await front.stow([ct(f"1.2.3.1.{n}", frames=[bytes([n]) * 512])])

    asked = []
    enter = Reader.__enter__
    monkeypatch.setattr(Reader, "__enter__", lambda reader: asked.append(1) or enter(reader))
    for n in range(20):
        path = f"/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.{n}/frames/1"
        answer = await front.get(path, "application/octet-stream")
        assert answer.body == bytes([n]) * 512
    assert len(asked) == 3  # for 0; for 1 with 2 to 16; for 17 with the rest
