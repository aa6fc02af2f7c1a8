"""An HTTP/1.1 client for lanes: prebuilt requests, bodies counted in the kernel and not copied."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

from vna.bench.connection import Bytes, Connection, Failed
from vna.bench.reactor import Reactor, Wait
from vna.bench.target import Target

__all__ = ["Answer", "Client", "request"]


PARTIAL = (202, 206)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked")


class Answer(NamedTuple):
    """A response: its status, the size of its body, and the body where it was kept.

    That may be a view, which the next answer on the connection makes stale: large bodies need no
    memory of their own, which in a virtual machine costs more than to read them.
    """

    status: int
    size: int
    body: Bytes = b""


def request(
    target: Target, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> bytes:
    """Return the head of a request for `path` below the DICOMweb root."""
    lines = [
        f"{method} {target.prefix}{path} HTTP/1.1",
        f"Host: {target.web_host}:{target.web_port}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """One connection that is kept, and made again when the server has closed it."""

    def __init__(self, reactor: Reactor, target: Target) -> None:
        self._reactor = reactor
        self._target = target
        self._connection: Connection | None = None

    def open(self) -> Generator[Wait, None, None]:
        """Connect now rather than with the first request."""
        self._connection = yield from Connection.open(self._reactor, self._target.web_address)

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def ask(self, head: bytes, *, keep: bool = False) -> Generator[Wait, None, Answer]:
        """Send a request without a body and return its answer; Failed unless that is a 2xx.

        202 and 206 are failures too: they say that not all is there (PS3.18 table 8.5-1).
        """
        answer = yield from self.send((head,), keep=keep)
        if answer.status in PARTIAL:
            raise Failed(f"HTTP status {answer.status}, which is not all of it")
        return answer

    def send(self, parts: Sequence[Bytes], *, keep: bool = False) -> Generator[Wait, None, Answer]:
        """Send a request in parts and return its answer; Failed unless that is a 2xx."""
        if self._connection is not None and self._connection.ended:
            self.close()  # a server may end idle connections (RFC 9112 9.5)
        if self._connection is None:
            yield from self.open()
        assert self._connection is not None
        try:
            if len(parts) == 1:
                yield from self._connection.send(parts[0])
            else:
                yield from self._connection.send_all(parts)
            answer, stays = yield from _answer(self._connection, keep=keep)
        except BaseException:
            self.close()
            raise
        if not stays:
            self.close()
        if not 200 <= answer.status < 300:
            raise Failed(f"HTTP status {answer.status}")
        return answer


def _answer(connection: Connection, *, keep: bool) -> Generator[Wait, None, tuple[Answer, bool]]:
    """Read a response; return it and whether the connection stays open."""
    status = 100
    while 100 <= status < 200:
        head = (yield from connection.until(b"\r\n\r\n")).lower()
        if not (head.startswith(b"http/1.") and head[9:12].isdigit()):
            raise Failed(f"no HTTP answer: {head[:40]!r}")
        status = int(head[9:12])
    stays = b"connection: close" not in head
    chunked = CHUNKED.search(head)
    at = -1 if chunked else head.find(b"\r\ncontent-length:")
    if at >= 0:
        size = int(head[at + 17 : at + 42].split(b"\r", 1)[0])
        if keep:
            return Answer(status, size, (yield from connection.exactly(size))), stays
        yield from connection.skip(size)
        return Answer(status, size), stays
    if chunked:
        size, body = yield from _chunks(connection, keep=keep)
        return Answer(status, size, body), stays
    if status in {204, 304}:
        return Answer(status, 0), stays
    return Answer(status, (yield from connection.rest())), False


def _chunks(connection: Connection, *, keep: bool) -> Generator[Wait, None, tuple[int, bytes]]:
    """Read a chunked body (RFC 9112 7.1)."""
    total = 0
    kept: list[bytes] = []
    while True:
        line = yield from connection.until(b"\r\n")
        size = int(line.split(b";", 1)[0], 16)
        if not size:
            while (yield from connection.until(b"\r\n")):
                pass
            return total, b"".join(kept)
        if keep:
            kept.append(bytes((yield from connection.take(size))))
        else:
            yield from connection.skip(size)
        yield from connection.exactly(2)
        total += size
