"""A proxy before an S3 server that makes faults: a test says which request meets which, and how often.

It runs in a thread of its own. Each request has a connection of its own on both sides, so that what
becomes of one is not felt by the next.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

__all__ = [
    "Answer",
    "Corrupt",
    "Cut",
    "EachOnce",
    "Fault",
    "FaultProxy",
    "Hang",
    "Request",
    "Reset",
    "Slow",
    "Unheard",
    "fault_proxy",
]

PIECE: Final = 1 << 16
AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Of SO_LINGER: closing sends a reset."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came. `key` is the path below the bucket, `query` what follows it."""

    method: str
    key: str
    query: str
    head: bytes
    body: bytes


class Exchange:
    """A request whose answer is due."""

    def __init__(self, proxy: FaultProxy, request: Request, client: asyncio.StreamWriter) -> None:
        self.request = request
        self.client = client
        self._proxy = proxy

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[tuple[bytes, asyncio.StreamReader]]:
        """Ask the server; give the head of its answer, and what follows until it ends."""
        reader, writer = await asyncio.open_connection(*self._proxy.server)
        try:
            writer.write(self.request.head + self.request.body)
            yield await reader.readuntil(b"\r\n\r\n"), reader
        finally:
            writer.close()

    async def send(self, data: bytes) -> None:
        """Send a part of the answer."""
        self.client.write(data)
        await self.client.drain()

    def reset(self) -> None:
        """End the connection by a reset, whatever was sent."""
        self.client.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE
        )
        self.client.transport.abort()


class Fault(Protocol):
    """What happens to a request."""

    async def meet(self, exchange: Exchange) -> None:
        """Answer, or not. The connection is closed on return."""


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer comes whole, after a while, and then so many bytes a second."""

    after_s: float = 0.0
    bytes_s: float = float("inf")

    async def meet(self, exchange: Exchange) -> None:
        """Answer."""
        await asyncio.sleep(self.after_s)
        async with exchange.asked() as (head, body):
            await exchange.send(head)
            while piece := await body.read(PIECE):
                await exchange.send(piece)
                await asyncio.sleep(len(piece) / self.bytes_s)


@dataclass(frozen=True, slots=True)
class Answer:
    """The server is not asked; the answer is an error."""

    status: int = 503
    code: str = "SlowDown"

    async def meet(self, exchange: Exchange) -> None:
        """Answer."""
        body = f"<Error><Code>{self.code}</Code><Message>made up</Message></Error>".encode()
        head = f"HTTP/1.1 {self.status} {self.code}\r\nConnection: close\r\n"
        head += f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        await exchange.send(head.encode() + (b"" if exchange.request.method == "HEAD" else body))


@dataclass(frozen=True, slots=True)
class Reset:
    """The server is not asked; the connection ends."""

    async def meet(self, exchange: Exchange) -> None:
        """End."""
        exchange.reset()


@dataclass(frozen=True, slots=True)
class Unheard:
    """The server does what it is asked; its answer does not arrive."""

    async def meet(self, exchange: Exchange) -> None:
        """Ask, and end."""
        async with exchange.asked() as (_, body):
            await body.read()
        exchange.reset()


@dataclass(frozen=True, slots=True)
class Hang:
    """The server is not asked; no answer comes, until who asked goes away or the proxy is healed."""

    async def meet(self, exchange: Exchange) -> None:  # noqa: ARG002
        """Do nothing."""
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Cut:
    """Of the body of the answer only the begin arrives, then the connection ends."""

    keeps: int = 0

    async def meet(self, exchange: Exchange) -> None:
        """Answer in part."""
        async with exchange.asked() as (head, body):
            with suppress(asyncio.IncompleteReadError):
                await exchange.send(head + await body.readexactly(self.keeps))


@dataclass(frozen=True, slots=True)
class Corrupt:
    """One bit of the body of the answer is another one."""

    at: int = 0

    async def meet(self, exchange: Exchange) -> None:
        """Answer wrongly."""
        async with exchange.asked() as (head, body):
            data = bytearray(await body.read())
            if data:
                data[self.at % len(data)] ^= 1
            await exchange.send(head + data)


class EachOnce:
    """Each request meets a fault the first time, and passes when it is made again."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._met: set[tuple[str, str, str]] = set()

    async def meet(self, exchange: Exchange) -> None:
        """Answer, the second time."""
        request = exchange.request
        named = request.method, request.key, request.query
        fault = Slow() if named in self._met else self._fault
        self._met.add(named)
        await fault.meet(exchange)


@dataclass(slots=True)
class _Rule:
    """Requests of this kind pass `after` times, then meet the fault `times` times, or for ever."""

    fault: Fault
    method: re.Pattern[str]
    key: re.Pattern[str]
    after: int
    times: int | None

    def met(self, request: Request) -> bool:
        if self.times == 0 or not self.method.fullmatch(request.method):
            return False
        if not self.key.search(f"{request.key}?{request.query}"):
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultProxy:
    """Passes requests on to a server as long as nothing else is said. Thread-safe.

    `requests` are those that came, in order, whatever became of them.
    """

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self.server = parts.hostname or "", parts.port or 80
        self.requests: list[Request] = []
        self.url = ""
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Listen on a port of loopback; `url` says which."""
        self._thread.start()
        self._call(self._listen(0))

    def end(self) -> None:
        """Drop all connections and stop."""
        self._call(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fail(
        self,
        fault: Fault,
        *,
        method: str = ".*",
        key: str = "",
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Have requests meet a fault, `times` times or for ever (None), once `after` have passed.

        Those whose method matches, and whose key and query, `KEY?QUERY`, have the pattern `key` in
        them.
        """
        with self._lock:
            self._rules.append(_Rule(fault, re.compile(method), re.compile(key), after, times))

    def heal(self) -> None:
        """Let all requests pass from now on, and listen again; those that hang are dropped."""
        with self._lock:
            self._rules.clear()
        self._call(self._drop())
        self._call(self._listen(urlsplit(self.url).port or 0))

    def refuse(self) -> None:
        """Drop all connections and refuse new ones, until healed."""
        self._call(self._drop())

    async def _listen(self, port: int) -> None:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def _drop(self) -> None:
        if self._listening is not None:
            # What was accepted becomes a connection only while there is a server: no more first.
            for each in self._listening.sockets:
                self._loop.remove_reader(each.fileno())
            await _settled()
            self._listening.close()
            self._listening = None
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _settled()

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, client))
        self._open.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._open.discard(task)
            if task.cancelled():
                client.transport.abort()
            client.close()

        task.add_done_callback(end)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await _read_request(reader)
            self.requests.append(request)
            exchange = Exchange(self, request, client)
            meeting = asyncio.ensure_future(self._due(request).meet(exchange))
            gone = asyncio.ensure_future(reader.read())  # nothing follows but its end
            try:
                await asyncio.wait([meeting, gone], return_when=asyncio.FIRST_COMPLETED)
            finally:
                meeting.cancel()
                gone.cancel()
                await asyncio.gather(meeting, gone, return_exceptions=True)

    def _due(self, request: Request) -> Fault:
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.met(request)), Slow())

    def _call(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _settled() -> None:
    """Let the event loop do what is due, and what follows from that."""
    for _ in range(8):
        await asyncio.sleep(0)


@contextmanager
def fault_proxy(server: str) -> Iterator[FaultProxy]:
    """Run a proxy before the server at this URL."""
    proxy = FaultProxy(server)
    proxy.begin()
    try:
        yield proxy
    finally:
        proxy.end()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    """Return a request whose connection ends with its answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    fields = [line.partition(":") for line in lines]
    kept = [
        f"{name}:{value}"
        for name, _, value in fields
        if name.lower() not in ("connection", "keep-alive")
    ]
    lengths = [int(value) for name, _, value in fields if name.lower() == "content-length"]
    body = await reader.readexactly(lengths[0]) if lengths else b""
    parts = urlsplit(target)
    key = unquote(parts.path).lstrip("/").partition("/")[2]
    sent = "\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1")
    return Request(method, key, parts.query, sent, body)
