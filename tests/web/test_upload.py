"""Bodies of plain POSTs are received without aiohttp, and nobody can tell; all else is aiohttp's."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import uvloop
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler

from vna.archive import Archive, ArchiveSettings
from vna.web import WebSettings, intake, make_app, make_runner
from vna.web.upload import AHEAD_BYTES, Receiver, posted

RANDOM = re.compile(rb"Date: [^\r]*|[0-9a-f]{12}-[0-9a-f]+")
"""What two equal answers differ in: the date, and a request's id."""
SLAB = 640 << 10
NOISE = random.Random(4).randbytes(2 << 20)


def multipart(files):
    parts = (b"--limit\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % file for file in files)
    return b"".join(parts) + b"--limit--\r\n"


def head(length, extra="", path="/studies", media='multipart/related; type="application/dicom"'):
    return (
        f"POST /dicom-web{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}; boundary=limit"
        f"\r\n{extra}Content-Length: {length}\r\n\r\n"
    ).encode()


def post(body, *extra):
    return head(len(body), *extra) + body


@pytest.fixture
def heads(returned):
    """Whether each head that was looked at began a body that was received here."""
    return returned(Receiver, "_head")


async def answer_of(reader):
    answer = await reader.readuntil(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", answer)[1])
    return answer + await reader.readexactly(length)


async def until(true):
    """Let the server go on until something is true of it."""
    while not true():
        await asyncio.sleep(0.001)


def receivers(front):
    return [each._receiver for each in front.runner.server.connections if each._receiver]


def pieces(data, seed):
    """Return `data` in pieces, many of them short."""
    draw = random.Random(seed)
    places = {draw.randrange(len(data) + 1) for _ in range(draw.choice([3, 20, 60]))}
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if b > a]


@pytest.mark.parametrize("extra", ["", "X-Request-Id: mine\r\nAccept: application/dicom+xml\r\n"])
@pytest.mark.parametrize("path", ["/studies", "/studies/1.2.3", "/studies/9.9"])
async def test_the_answer_is_the_one_that_aiohttp_s_way_gives(
    front, connect, heads, ct, path, extra
):
    body = multipart([ct(), b"no DICOM", ct(sop="1.2.3.1.2")])
    answers = []
    for odd, here in (("", True), ("", True), ("X-Odd: 1\r\n", False)):
        reader, writer = await connect()
        writer.write(head(len(body), extra + odd, path) + body)
        answers.append(RANDOM.sub(b"*", await answer_of(reader)))
        assert heads[-1] is here
    assert answers[0] == answers[1] == answers[2]


async def test_byte_by_byte(front, connect, heads, ct):
    reader, writer = await connect()
    for number in (1, 2):
        body = multipart([ct(sop=f"1.2.3.1.{number}{part}") for part in (1, 2)])
        writer.write(head(len(body)))
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await asyncio.sleep(0)
        assert b" 200 OK" in await answer_of(reader)
    assert heads == [True, True]
    for sop in ("1.2.3.1.11", "1.2.3.1.12", "1.2.3.1.21", "1.2.3.1.22"):
        ((_, stored),) = await front.parts(f"/studies/1.2.3/series/1.2.3.1/instances/{sop}")
        assert stored == ct(sop=sop)


@pytest.mark.parametrize("seed", range(6))
async def test_bodies_cut_anywhere_come_back_byte_for_byte(front, connect, heads, ct, seed):
    draw = random.Random(seed)
    reader, writer = await connect()
    for number in range(1, 5):
        sizes = [draw.choice([512, 90_000, SLAB - 700, SLAB, 1_500_000]) for _ in range(3)]
        files = {
            f"1.2.3.1.{number}{n}": ct(sop=f"1.2.3.1.{number}{n}", frames=[NOISE[n : n + size]])
            for n, size in enumerate(sizes, 1)
        }
        body = multipart(files.values())
        for piece in [head(len(body)), *pieces(body, seed)]:
            writer.write(piece)
            await asyncio.sleep(0)
        assert b" 200 OK" in await answer_of(reader)
        for sop, file in files.items():
            ((_, stored),) = await front.parts(f"/studies/1.2.3/series/1.2.3.1/instances/{sop}")
            assert stored == file
    assert heads == [True] * 4
    (receiver,) = receivers(front)
    assert receiver._upload is receiver._room is None  # an idle connection holds nothing


async def test_requests_behind_one_another_are_answered_in_order(front, connect, heads, ct):
    reader, writer = await connect()
    one, two = (post(multipart([ct(sop=sop)])) for sop in ("1.2.3.1.1", "1.2.3.1.2"))
    get = b"GET /dicom-web/instances?SOPInstanceUID=1.2.3.1.%d HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(one)  # alone: the next ones come while it is answered
    await until(lambda: heads)
    writer.write(get % 1 + two + get % 2)
    answers = [await answer_of(reader) for _ in range(4)]
    assert [b"1.2.3.1.%d" % n in answer for n, answer in zip((1, 1, 2, 2), answers, strict=True)]
    assert heads[0] is True
    reader, writer = await connect()
    writer.write(one + two + one)
    assert all([b" 200 OK" in await answer_of(reader) for _ in range(3)])


async def test_gets_and_posts_take_turns(front, connect, heads, ct):
    reader, writer = await connect()
    body, seen = multipart([ct()]), []
    for _ in range(3):
        writer.write(post(body))
        assert b" 200 OK" in await answer_of(reader)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 OK" in await answer_of(reader)
        seen.append(list(heads))
        heads.clear()
    assert seen == [[True, False]] * 3


async def test_whole_instances_stand_though_the_client_leaves(front, connect, heads, ct):
    _, writer = await connect()
    large = ct(sop="1.2.3.1.2", frames=[NOISE])
    body = multipart([ct(), large])
    missing = 1_000_000
    writer.write(post(body)[:-missing])
    await until(lambda: any(each._upload.left == missing for each in receivers(front)))
    writer.transport.abort()
    await until(lambda: not front.runner.server.connections and not front.requests.under_way)
    assert heads == [True]
    while not (matches := await front.json("/instances")):
        await asyncio.sleep(0.001)  # its commit has begun, and is nobody's to wait for
    assert [match["00080018"]["Value"] for match in matches] == [["1.2.3.1.1"]]
    assert front.archive._room.memory.held == 0


async def test_a_client_that_is_too_fast_is_held_back(front, connect, heads, ct, monkeypatch):
    gate = asyncio.Event()
    begin = intake.Intake.begin

    async def late(*args):
        await gate.wait()
        await begin(*args)

    monkeypatch.setattr(intake.Intake, "begin", late)
    reader, writer = await connect()
    files = {f"1.2.3.1.{n}": ct(sop=f"1.2.3.1.{n}", frames=[NOISE[n:]]) for n in range(1, 9)}
    writer.write(post(multipart(files.values())))
    await until(lambda: any(receiver._paused for receiver in receivers(front)))
    (receiver,) = receivers(front)
    held, left = receiver._upload._held, receiver._upload.left
    assert AHEAD_BYTES < held <= AHEAD_BYTES + 2 * SLAB
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert (receiver._upload._held, receiver._upload.left) == (held, left)
    gate.set()
    assert b" 200 OK" in await answer_of(reader)
    for sop, file in files.items():
        ((_, stored),) = await front.parts(f"/studies/1.2.3/series/1.2.3.1/instances/{sop}")
        assert stored == file


async def test_a_refusal_does_not_wait_for_the_body(front, connect, heads, ct):
    reader, writer = await connect()
    body = multipart([ct(frames=[NOISE])])
    writer.write(head(len(body), media="text/plain") + body[:1000])
    assert b" 415 " in await answer_of(reader)
    writer.write(body[1000:])  # the connection takes the next request when the rest has come
    await asyncio.sleep(0)
    writer.write(post(body))
    assert b" 200 OK" in await answer_of(reader)
    assert heads[0] is True


async def test_bytes_that_come_slowly_are_not_silence(serving, heads, ct):
    front = await serving(read_timeout_s=1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(front.root).port)
    body = multipart([ct()])
    writer.write(head(len(body)))
    for at in range(0, len(body), 100):  # each within the time, all together far beyond it
        writer.write(body[at : at + 100])
        await asyncio.sleep(0.1)
    assert b" 200 OK" in await answer_of(reader)
    assert heads == [True]
    writer.close()


PLAIN = head(9, "User-Agent: x\r\nX-Request-Id: 7\r\n")


def test_a_plain_head_is_read_as_aiohttp_reads_it():
    loop = asyncio.new_event_loop()
    protocol = RequestHandler.__new__(RequestHandler)
    ((usual, _),), _, _ = HttpRequestParser(protocol, loop, 2**16).feed_data(PLAIN)
    loop.close()
    message, length, left = posted(PLAIN + b"123456789")
    assert (length, left) == (len(PLAIN), 9)
    for name in ("method", "path", "version", "headers", "raw_headers", "should_close", "url"):
        assert getattr(message, name) == getattr(usual, name)
    for name in ("compression", "upgrade", "chunked"):
        assert getattr(message, name) == getattr(usual, name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST", b"PUT"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/studies", b"/studies?a=b"),
        (b"/studies", b"/studies%20"),
        (b"Content-Length: 9", b"Content-Length: 0"),
        (b"Content-Length: 9", b"Content-Length: +9"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nContent-Length: 9"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 9", b"Transfer-Encoding: chunked"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nExpect: 100-continue"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nContent-Encoding: gzip"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nConnection: close"),
        (b"Content-Length: 9", b"Content-Length: 9\r\nUpgrade: websocket"),
        (b"Content-Length: 9", b"Content-Length: 9\r\n folded"),
        (b"Host: localhost\r\n", b""),
        (b"\r\n\r\n", b"\r\n"),
        (b"User-Agent: x", b"User-Agent: " + b"x" * 5000),
    ],
)
def test_what_is_special_is_left_to_aiohttp(old, new):
    assert posted(PLAIN)
    assert old in PLAIN
    assert posted(PLAIN.replace(old, new, 1)) is None


def test_the_event_loop_of_the_workers_receives_alike(tmp_path, heads, ct):
    files = {f"1.2.3.1.{n}": ct(sop=f"1.2.3.1.{n}", frames=[NOISE[n:]]) for n in range(1, 5)}

    async def connect(archive):
        runner = make_runner(make_app(archive, WebSettings(), lambda: True))
        await runner.setup()
        server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        body = multipart(files.values())
        for seed in range(3):
            for piece in [head(len(body)), *pieces(body, seed)]:
                writer.write(piece)
                await asyncio.sleep(0)
            assert b" 200 OK" in await answer_of(reader)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 OK" in await answer_of(reader)
        writer.close()
        await writer.wait_closed()
        server.close()
        await runner.cleanup()

    archive = Archive.open(ArchiveSettings(data=tmp_path / "data"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(connect(archive))
    finally:
        archive.close()
    assert Counter(heads) == {True: 3, False: 3}
