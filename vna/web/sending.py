"""Answers of any size in bounded memory, sent as fast as the client reads."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Concatenate, Final, ParamSpec

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from vna.archive import Archive, Item, Retrieval, Span
from vna.errors import VnaError
from vna.web.answer import Answer, write_run
from vna.web.coding import choose_coding, vary_by_coding
from vna.web.context import ARCHIVE, REQUEST_ID
from vna.web.multipart import Buffer
from vna.web.reply import Asked, Reply

__all__ = [
    "ByteRange",
    "coalesced",
    "not_modified",
    "requested_range",
    "send",
    "send_batches",
    "send_items",
    "send_reply",
    "send_runs",
]

log = logging.getLogger(__name__)

P = ParamSpec("P")

SMALL: Final = 1 << 20
"""An answer up to this size is read in one go and sent with its length."""
PIECE: Final = 256 << 10
"""Small pieces are put together up to this size: a thread is asked less often."""

_IN_ZSTD: Final = '-zstd"'
"""How the entity tag of a representation ends that leaves in zstd."""

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `[start, stop)` of a representation of `length` bytes; `whole` when none were asked for."""

    start: int
    stop: int
    length: int
    whole: bool

    @property
    def status(self) -> HTTPStatus:
        """200 for the whole, 206 for a part."""
        return HTTPStatus.OK if self.whole else HTTPStatus.PARTIAL_CONTENT

    @property
    def headers(self) -> dict[str, str]:
        """What tells the client which bytes these are."""
        headers = {"Accept-Ranges": "bytes"}
        if not self.whole:
            headers["Content-Range"] = f"bytes {self.start}-{self.stop - 1}/{self.length}"
        return headers

    def cut(self, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        """Yield the range's bytes out of the whole representation's."""
        position = 0
        for piece in pieces:
            first, last = self.start - position, self.stop - position
            position += len(piece)
            if last <= 0:
                break
            if first < len(piece):
                yield memoryview(piece)[max(first, 0) : last]


def requested_range(headers: Mapping[str, str], length: int, etag: str) -> ByteRange:
    """Return the bytes that a request asks for of a representation (RFC 9110 14.2).

    Several ranges, other units, and a range of another version (If-Range) give the whole. Raises
    HTTPRequestRangeNotSatisfiable (416).
    """
    whole = ByteRange(0, length, length, whole=True)
    match = _RANGE.fullmatch(headers.get(hdrs.RANGE, "").strip())
    if match is None or not any(match.groups()):
        return whole
    if headers.get(hdrs.IF_RANGE, etag) != etag:
        return whole
    first, last = match.groups()
    if not first:
        start, stop = max(length - int(last), 0), length
    else:
        start, stop = int(first), min(int(last) + 1 if last else length, length)
        if last and int(last) < start:
            return whole
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable(
            headers={"Content-Range": f"bytes */{length}"},
            text=f"the representation has {length} bytes",
        )
    return ByteRange(start, stop, length, whole=False)


def not_modified(asked: Mapping[str, str], etag: str) -> web.Response | None:
    """Return 304 when the client has the version `etag` already (RFC 9110 13.1.2)."""
    if hdrs.IF_NONE_MATCH not in asked:
        return None
    known = [
        tag.strip().removeprefix("W/").replace(_IN_ZSTD, '"')
        for tag in asked[hdrs.IF_NONE_MATCH].split(",")
    ]
    if etag in known or "*" in known:
        # A cache takes these fields for those that it has (RFC 9111 4.3.4): all that answers vary by.
        headers = {"ETag": etag, "Vary": f"{hdrs.ACCEPT}, {hdrs.ACCEPT_ENCODING}"}
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return None


def coalesced(pieces: Iterator[Buffer], size: int = PIECE) -> Iterator[Buffer]:
    """Yield the same bytes, with small pieces put together up to `size`; none is cut."""
    held: list[Buffer] = []
    count = 0
    for piece in pieces:
        if held and count + len(piece) > size:
            yield _joined(held)
            held, count = [], 0
        held.append(piece)
        count += len(piece)
    if held:
        yield _joined(held)


def _joined(held: list[Buffer]) -> Buffer:
    return held[0] if len(held) == 1 else b"".join(held)


async def send(
    request: web.Request,
    pieces: Iterator[Buffer],
    *,
    content_type: str,
    length: int | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with the bytes of `pieces`, which are pulled in threads; see `send_runs`."""
    runs = _pulled(request.app[ARCHIVE], coalesced(pieces))
    return await send_runs(
        request, runs, content_type=content_type, length=length, status=status, headers=headers
    )


async def send_reply(
    request: web.Request,
    made: Callable[Concatenate[Retrieval, Asked, P], Reply | web.Response],
    *args: P.args,
    **kwargs: P.kwargs,
) -> web.StreamResponse:
    """Answer with what `made` returns for the request; see `send_items`."""
    reply = await request.app[ARCHIVE].soon(made, Asked.of(request), *args, **kwargs)
    if isinstance(reply, web.Response):
        return reply
    return await send_items(
        request,
        reply.items,
        content_type=reply.content_type,
        status=reply.status,
        headers=reply.headers,
    )


async def send_items(
    request: web.Request,
    items: Sequence[Item],
    *,
    content_type: str,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with what the items make up, read when it is their turn; see `send_runs`."""
    archive = request.app[ARCHIVE]
    length = sum(map(len, items))
    fields = CIMultiDict(headers or {})
    fields[hdrs.CONTENT_TYPE] = content_type
    if request.method == hdrs.METH_HEAD:
        return Answer(request, (), length, status, fields)
    stored = any(isinstance(item, Span) for item in items)
    if length <= SMALL and not (stored and archive.keeps_zstd):
        return Answer(request, await archive.read(items), length, status, fields)
    if stored:
        return await send_batches(
            request,
            _once(items),
            content_type=content_type,
            length=length,
            status=status,
            headers=headers,
        )
    return await send_runs(
        request,
        archive.runs(_once(items)),
        content_type=content_type,
        length=length,
        status=status,
        headers=headers,
    )


async def _once(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    yield items


async def send_batches(
    request: web.Request,
    batches: AsyncIterator[Sequence[Item]],
    *,
    content_type: str,
    length: int | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with what batches of items make up, read when it is their turn; see `send_runs`.

    Where chunks may be stored in zstd, a client that takes that as a content coding gets them as they are.
    """
    archive = request.app[ARCHIVE]
    fields = CIMultiDict(headers or {})
    if _leaves_in_zstd(request, fields):
        length, runs = None, archive.zstd_runs(batches)
    else:
        runs = archive.runs(batches)
    return await send_runs(
        request, runs, content_type=content_type, length=length, status=status, headers=fields
    )


def _leaves_in_zstd(request: web.Request, fields: CIMultiDict[str]) -> bool:
    """Decide on the content coding, and name it in the answer's fields (RFC 9110 8.4, 8.8.3.3)."""
    if not request.app[ARCHIVE].keeps_zstd:
        return False
    vary_by_coding(fields)
    asked = request.method == hdrs.METH_GET and hdrs.RANGE not in request.headers
    if not asked or choose_coding(request.headers) != "zstd":
        return False
    fields[hdrs.CONTENT_ENCODING] = "zstd"
    fields.pop(hdrs.ACCEPT_RANGES, None)
    if hdrs.ETAG in fields:
        fields[hdrs.ETAG] = fields[hdrs.ETAG].removesuffix('"') + _IN_ZSTD
    return True


async def send_runs(
    request: web.Request,
    runs: AsyncGenerator[Sequence[Buffer], None],
    *,
    content_type: str,
    length: int | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with the bytes of `runs`, which are taken no faster than they leave.

    What goes wrong before two runs are there is raised; after that the answer has begun, so the
    connection is cut, which the client sees as a failure. HEAD sends no body.
    """
    fields = CIMultiDict(headers or {})
    fields[hdrs.CONTENT_TYPE] = content_type
    async with aclosing(runs):
        first: Sequence[Buffer] = await anext(runs, [])
        second = await anext(runs, None)
        if second is None:
            return Answer(request, first, sum(map(len, first)), status, fields)
        response = web.StreamResponse(status=status, headers=fields)
        response.content_length = length
        if length is None and request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method == hdrs.METH_HEAD:
            return response
        try:
            await _write(request, response, first)
            await _write(request, response, second)
            async for run in runs:
                await _write(request, response, run)
        except ConnectionError:
            pass  # the client left
        except Exception as error:  # noqa: BLE001  # loop boundary: the headers have left, only cutting remains
            _log_cut(request, error)
            if request.transport is not None:
                request.transport.abort()
    return response


async def _write(request: web.Request, response: web.StreamResponse, run: Sequence[Buffer]) -> None:
    if response.chunked:
        size = sum(map(len, run))
        if size:  # an empty chunk would end the answer
            await write_run(request, [b"%x\r\n" % size, *run, b"\r\n"])
    else:
        await write_run(request, run)


async def _pulled(
    archive: Archive, pieces: Iterator[Buffer]
) -> AsyncGenerator[Sequence[Buffer], None]:
    """Yield the pieces of a blocking iterator, each a run, read ahead in threads."""
    async with aclosing(archive.stream(pieces)) as stream:
        async for piece in stream:
            yield [piece]


def _log_cut(request: web.Request, error: Exception) -> None:
    unexpected = not isinstance(error, VnaError)
    log.error(
        "request %s: the answer was cut short: %s", request[REQUEST_ID], error, exc_info=unexpected
    )
