"""Answers that are at hand leave without aiohttp, and nobody can tell; all else is aiohttp's."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vna.archive import glances
from vna.web.prompt import PromptAnswers, plain

SERIES = "/studies/1.2.3/series/1.2.3.1"
INSTANCE = f"{SERIES}/instances/1.2.3.1.1"
OCTETS = 'multipart/related; type="application/octet-stream"'

RANDOM = re.compile(rb"[0-9a-f]{32}|Date: [^\r]*|[0-9a-f]{12}-[0-9a-f]+")
"""What two equal answers differ in: boundary, date, a request's id."""


@pytest.fixture
def talk(connect):
    """Return a function that opens a connection: it sends bytes, and returns `count` whole answers."""

    async def talking():
        reader, writer = await connect()

        async def send(*pieces, count=1):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            return [await answer_of(reader) for _ in range(count)]

        return send, reader

    return talking


async def answer_of(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def request(path, accept="", extra="", prefix="/dicom-web"):
    accept = f"Accept: {accept}\r\n" if accept else ""
    return f"GET {prefix}{path} HTTP/1.1\r\nHost: localhost\r\n{accept}{extra}\r\n".encode()


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"{INSTANCE}/frames/1", OCTETS),
        (f"{INSTANCE}/frames/2", "application/octet-stream"),
        (f"{INSTANCE}/frames/2", ""),
        (INSTANCE, "application/dicom"),
        (INSTANCE, 'multipart/related; type="application/dicom"; transfer-syntax=*'),
        (f"{INSTANCE}/metadata", "application/dicom+json"),
        (f"{INSTANCE}/metadata", ""),
        (f"{SERIES}/metadata", "application/dicom+json"),
        ("/studies/1.2.3/metadata", "application/dicom+json"),
        (f"{INSTANCE}/metadata?accept=application/dicom%2Bjson", "*/*"),
        ("/studies", ""),
        ("/studies?PatientName=A*&limit=1&includefield=all", "application/dicom+json"),
        ("/studies?PatientID=none+at%20all&TimezoneOffsetFromUTC=%2B0100", ""),
        ("/studies?StudyInstanceUID=1.2.3&StudyInstanceUID=1.2.4", OCTETS + ", */*"),
        ("/studies/1.2.3/series?Modality=CT", 'multipart/related; type="application/dicom+xml"'),
        (f"{SERIES}/instances?limit=0", "application/dicom+json"),
    ],
)
async def test_what_is_at_hand_is_answered_as_aiohttp_would(
    front, talk, at_hand, caplog, ct, path, accept
):
    caplog.set_level(logging.INFO)
    await front.stow([ct(frames=[bytes([n]) * 512 for n in range(3)])])
    send, _ = await talk()
    for extra in ("", "Origin: https://a.example\r\nX-Request-Id: mine\r\n"):
        await send(request(path, accept, extra))  # brings it into memory
        (prompt,) = await send(request(path, accept, extra))
        assert at_hand[-1] is not None
        looked_at = len(at_hand)
        other, _ = await talk()
        (usual,) = await other(request(path, accept, extra + "X-Odd: 1\r\n"))
        assert len(at_hand) == looked_at
        assert prompt.startswith(b"HTTP/1.1 200 OK\r\n")
        assert RANDOM.sub(b"*", prompt) == RANDOM.sub(b"*", usual)
        lines = [each.getMessage() for each in caplog.records if each.name == "vna.web.access"]
        shapes = [re.sub(r"[\d.]+ms|id=[0-9a-f]{12}-.*", "*", line) for line in lines[-2:]]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("path", "accept", "extra"),
    [
        (f"{INSTANCE}/frames/9", OCTETS, ""),
        (f"{INSTANCE}/frames/x", OCTETS, ""),
        (f"{INSTANCE}/frames/1", "text/html", ""),
        (f"{INSTANCE}/frames/1", "nonsense", ""),
        (f"{INSTANCE}/frames/1", OCTETS, "Host: twice\r\n"),
        (f"{INSTANCE}/frames/1", OCTETS, 'If-None-Match: "*"\r\n'),
        (INSTANCE, "application/dicom", "Range: bytes=0-9\r\n"),
        (INSTANCE, "application/dicom", "Connection: close\r\n"),
        ("/studies/9.9/metadata", "", ""),
        ("/studies?limit=many", "", ""),
        ("/studies?Nothing=1", "", ""),
        ("/studies?PatientID=none", 'multipart/related; type="application/dicom+xml"', ""),
        ("/nothing", "", ""),
    ],
)
async def test_other_answers_are_left_to_aiohttp(front, talk, at_hand, ct, path, accept, extra):
    await front.stow([ct(frames=[bytes([n]) * 512 for n in range(3)])])
    send, _ = await talk()
    for known in [request(f"{INSTANCE}/frames/1", OCTETS), request(INSTANCE, "application/dicom")]:
        await send(known)
        await send(known)
        assert at_hand[-1] is not None
    at_hand.clear()
    (answer,) = await send(request(path, accept, extra))
    assert not any(at_hand)
    assert answer.startswith(b"HTTP/1.")


async def test_requests_come_in_any_pieces_and_are_answered_in_order(front, talk, at_hand, ct):
    await front.stow([ct(frames=[bytes([n]) * 512 for n in range(3)])])
    asks = [request(f"{INSTANCE}/frames/{n}", OCTETS) for n in (1, 2, 3)]
    send, _ = await talk()
    answers = [(await send(ask))[0] for ask in asks * 2]
    assert at_hand[-1] is not None
    expected = [RANDOM.sub(b"*", answer) for answer in answers[:3]]
    for pieces in [asks, [b"".join(asks)], [asks[0] + asks[1][:30], asks[1][30:], asks[2]]]:
        send, _ = await talk()
        found = await send(*pieces, count=3)
        assert [RANDOM.sub(b"*", answer) for answer in found] == expected


async def test_a_read_is_counted_once_whoever_answers(front, talk, at_hand, ct):
    async def counted():
        text = (await front.get(f"{front.root}/metrics")).body.decode()
        retrieved = re.search(r'vna_retrieved_total\{[^}]*"frame"[^}]*\} (\d+)', text)
        return int(retrieved[1])

    await front.stow([ct(frames=[bytes(512)])])
    before = await counted()
    send, _ = await talk()
    for _ in range(4):
        await send(request(f"{INSTANCE}/frames/1", OCTETS))
    assert at_hand[-1] is not None
    assert None in at_hand  # the first, for its pack was not open
    assert await counted() == before + 4


async def test_a_search_is_counted_once_whoever_answers(front, talk, at_hand, ct, monkeypatch):
    async def counted():
        text = (await front.get(f"{front.root}/metrics")).body.decode()
        return sum(map(int, re.findall(r"vna_queries_total\{[^}]*\} (\d+)", text)))

    await front.stow([ct()])
    before = await counted()
    send, _ = await talk()
    (prompt,) = await send(request("/studies?PatientID=P1"))
    assert at_hand[-1] is not None
    monkeypatch.setattr(glances, "ROWS", 1)
    (usual,) = await send(request("/studies?PatientID=P1"))
    assert at_hand[-1] is None
    assert RANDOM.sub(b"*", prompt) == RANDOM.sub(b"*", usual)
    assert await counted() == before + 2


async def test_a_connection_that_idles_is_closed_and_one_that_reads_slowly_is_not(
    serving, at_hand, ct
):
    front = await serving(keepalive_timeout_s=0.3)
    await front.stow([ct(frames=[bytes(1 << 19)], Rows=512, Columns=512)])
    await front.http.close()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    client.connect(("127.0.0.1", urlsplit(front.root).port))
    reader, writer = await asyncio.open_connection(sock=client, limit=1 << 12)
    for _ in range(3):
        writer.write(request(f"{INSTANCE}/frames/1", OCTETS))
        answer = await answer_of(reader)
    assert at_hand[-1] is not None
    (served,) = front.runner.server.connections
    served.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    writer.transport.pause_reading()
    writer.write(request(f"{INSTANCE}/frames/1", OCTETS))
    while not served.writing_paused:
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    assert served.connected
    writer.transport.resume_reading()
    assert len(await answer_of(reader)) == len(answer)
    assert await reader.read() == b""
    writer.close()


async def test_the_last_answer_of_a_drain_says_so(front, talk, at_hand, ct):
    await front.stow([ct()])
    send, reader = await talk()
    for _ in range(2):
        await send(request(f"{INSTANCE}/metadata"))
    assert at_hand[-1] is not None
    front.requests.ending = True
    (answer,) = await send(request(f"{INSTANCE}/metadata"))
    assert b"Connection: close" in answer
    assert await reader.read() == b""


FIELDS = st.sampled_from(
    [
        *("Host: a", "host:b", "Accept: */*", "Accept:", "Accept : x", "Connection: keep-alive"),
        *("Connection: close", "Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue"),
        *("Content-Length: 0", "Content-Length: 5", "Transfer-Encoding: chunked", " folded"),
        *("User-Agent: x\ty z ", "Accept-Encoding: gzip", "Cookie: a=b; c", "X-Odd: 1", "nocolon"),
        *("Accept: \x00", "Accept: \xe9", "Accept: a\rb", "Referer: a\nHost: c", "Range: bytes=0-"),
    ]
)
TARGETS = st.sampled_from(
    [
        "/",
        "/dicom-web/studies/1",
        "//a/b",
        "/a/../b",
        "/a%41",
        "/a?b",
        "/a?b=c+d&b=%41%zz&&=&e=%C3%A9",
        "/a?",
        "/a?b?c",
        "/a?b#c",
        "/a?b=c;d=e",
        "/a?b=/c/../d",
        "*",
        "http://a/b",
        "/a b",
        "",
    ]
)
HEADS = st.builds(
    lambda method, target, version, fields, end: (
        f"{method} {target} {version}\r\n{''.join(each + chr(13) + chr(10) for each in fields)}{end}"
    ).encode("latin-1"),
    st.sampled_from(["GET", "GET", "GET", "get", "HEAD", "POST", "OPTIONS"]),
    TARGETS,
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 "]),
    st.lists(FIELDS, max_size=5),
    st.sampled_from(["\r\n", "\r\n", "\r\n", "", "\r\nGET / HTTP/1.1\r\n\r\n", "\n"]),
)


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


def lowered(fields):
    return [(name.lower(), value) for name, value in fields.items()]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=HEADS)
@example(data=request("/studies/1", "*/*"))
@example(data=b"GET /a?b HTTP/1.1\r\nhost:b\r\n\r\n")
def test_what_passes_for_plain_is_the_same_to_aiohttp(loop, data):
    found = plain(data)
    if found is None:
        return
    path, query, fields = found
    parser = HttpRequestParser(None, loop, 1 << 16)
    messages, upgraded, tail = parser.feed_data(data)
    ((message, payload),) = messages
    assert (message.method, message.url.path, tuple(message.version)) == ("GET", path, (1, 1))
    assert message.path == (f"{path}?{query}" if "?" in message.path else path)
    assert message.url.raw_query_string == query
    assert lowered(message.headers) == lowered(fields)  # aiohttp writes names that it knows its way
    special = [message.should_close, message.upgrade, message.chunked, upgraded, tail]
    assert not any(special)
    assert payload.is_eof()


def test_a_middleware_that_is_added_is_not_passed_by(front):
    @web.middleware
    async def other(request, handler):
        return await handler(request)

    app = web.Application(middlewares=[*front.runner.app.middlewares, other])
    app.update(front.runner.app)
    app.router.add_routes(
        web.RouteDef(route.method, route.resource.canonical, route.handler, {})
        for route in front.runner.app.router.routes()
        if route.method == "GET"
    )
    ask = plain(request(f"{INSTANCE}/frames/1", OCTETS))
    assert PromptAnswers(front.runner.app)._routes
    assert PromptAnswers(app).answer(ask, None) is None
