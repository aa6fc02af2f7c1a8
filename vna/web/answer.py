"""Answers whose bytes are at hand: head and body are given to the connection together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import HttpVersion10, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

from vna.web.defaults import default_headers
from vna.web.multipart import Buffer

__all__ = ["Answer", "head_of", "write_run"]

_LINES = {int(status): f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}
_LINES_10 = {int(status): f"HTTP/1.0 {status.value} {status.phrase}" for status in HTTPStatus}


class Answer(web.StreamResponse):
    """A whole answer: `body` in runs of bytes, `length` of them.

    What aiohttp's own response does, without its copies of body and headers. To HEAD, the head
    alone leaves.
    """

    def __init__(
        self,
        request: web.Request,
        body: Sequence[Buffer],
        length: int,
        status: HTTPStatus,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(status=status)
        self._asked: web.Request | None = request
        self._pieces = body
        self._length = length
        self._fields = headers
        self._stays = False

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection takes another request after this."""
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        """Nothing: the head leaves with the body."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002  # there is no more
        """Send the answer; return when the client has taken most of it."""
        request = self._asked
        if request is None:
            return
        self._asked = None
        await write_run(request, self.message(request))

    def message(self, request: web.Request) -> list[Buffer]:
        """Return the whole answer as it leaves."""
        body = () if request.method == hdrs.METH_HEAD else self._pieces
        return [self._head(request), *body]

    def _head(self, request: web.Request) -> bytes:
        fields = CIMultiDict(self._fields)
        default_headers(request, fields)
        old = request.version <= HttpVersion10
        self._stays = bool(request.keep_alive) and fields.get(hdrs.CONNECTION) != "close"
        if not self._stays:
            fields[hdrs.CONNECTION] = "close"
        elif old:
            fields[hdrs.CONNECTION] = "keep-alive"
        return head_of(self.status, fields, self._length, _LINES_10 if old else _LINES)


def head_of(
    status: int, fields: Mapping[str, str], length: int, lines: Mapping[int, str] = _LINES
) -> bytes:
    """Return the head of an answer of `length` bytes; `lines` are status lines by their code."""
    head = [lines[status], *map(": ".join, fields.items())]
    head.append(f"Content-Length: {length}\r\nDate: {rfc822_formatted_time()}")
    text = "\r\n".join(head)
    if not text.count("\r") == text.count("\n") == len(head):
        raise ValueError("a header of the answer has a line break")
    return f"{text}\r\n\r\n".encode()


async def write_run(request: web.BaseRequest, pieces: Sequence[Buffer]) -> None:
    """Send bytes as they are; return when the client has taken most of them.

    Raises ConnectionError where the client is gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    transport.writelines(pieces)
    await request.writer.drain()
