"""Answers that are at hand: requests for what is in memory, without what aiohttp does around them.

The same replies are made as for aiohttp's handlers, or the same handlers answer, over `PromptArchive`
and a lean request. Whatever is not a plain request, and every answer that has to wait or is no
success, is left to aiohttp.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias, cast

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping
from yarl import URL

from vna.archive import Read, Retrieval, Span
from vna.errors import WouldWait
from vna.types import Level
from vna.web.addresses import Addresses
from vna.web.answer import Answer, head_of
from vna.web.coding import choose_coding, vary_by_coding
from vna.web.context import ARCHIVE, CLOCK, PREPARED, REQUEST_ID, REQUEST_IDS, SETTINGS
from vna.web.defaults import add_defaults
from vna.web.drain import REQUESTS
from vna.web.middleware import around, count, number, template
from vna.web.multipart import Buffer
from vna.web.negotiation import accepted_by
from vna.web.reply import Asked, Reply
from vna.web.routes.frames import frame_reply, retrieve_frames
from vna.web.routes.metadata import retrieve_metadata
from vna.web.routes.qido import search
from vna.web.routes.wado import instance_reply, retrieve_instance

__all__ = ["KNOWN", "Plain", "PromptAnswers", "header_fields", "plain"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST: Final = 4096
"""Bytes of a request that is looked at here."""

MOST_KNOWN: Final = 4096
"""Requests of which it is remembered what they were answered with."""
BRIEF: Final = 1024
"""Bytes of such an answer, beside those that are read each time."""

Made: TypeAlias = Callable[[Retrieval, Asked], Reply | web.Response]

HANDLERS: Final[Mapping[Handler, Made | None]] = {
    retrieve_frames: frame_reply,
    retrieve_instance: instance_reply,
    retrieve_metadata: None,
    **dict.fromkeys(map(search, Level)),
}
"""Who answers, in the order in which they are looked for; what makes their replies if that can be asked alone."""

_REQUEST = re.compile(
    rb"GET (/[A-Za-z0-9._~/,\-]*)(?:\?([A-Za-z0-9._~/,\-=&%*+:^]*))? HTTP/1\.1\r\n"
    rb"((?:[^\r\n]++\r\n)++)\r\n"
)
_FIELD = re.compile(r"([A-Za-z0-9\-]+):[ \t]*+([!-~](?:[ \t!-~]*[!-~])?)?[ \t]*+")
KNOWN: Final = frozenset(
    {
        *("host", "connection", "accept", "accept-encoding", "accept-language", "user-agent"),
        *("authorization", "cookie", "origin", "referer", "cache-control", "pragma"),
        *("x-request-id", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "forwarded"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "priority"),
    }
)
"""Fields that change nothing about how a request is read, nor ask for another answer to a GET."""


Plain: TypeAlias = tuple[str, str, CIMultiDictProxy[str]]
"""A path, a query as it was sent, and header fields."""


def plain(data: bytes) -> Plain | None:
    """Return the one GET that `data` is: whole, nothing behind it, and nothing special about it."""
    if len(data) > MOST or (whole := _REQUEST.fullmatch(data)) is None:
        return None
    path, query, block = whole.groups(b"")
    fields = _fields(block)
    return None if fields is None else (path.decode(), query.decode(), fields)


@lru_cache(maxsize=256)  # a client sends the same ones each time
def _fields(block: bytes) -> CIMultiDictProxy[str] | None:
    return header_fields(block[:-2], KNOWN)


def header_fields(block: bytes, known: Collection[str]) -> CIMultiDictProxy[str] | None:
    """Return the header fields of a request; None unless all are known, each there once."""
    fields: CIMultiDict[str] = CIMultiDict()
    for line in block.decode("latin-1").split("\r\n"):
        field = _FIELD.fullmatch(line)
        if field is None or field[1].lower() not in known or field[1] in fields:
            return None
        fields[field[1]] = field[2] or ""
    keeps = fields.get(hdrs.CONNECTION, "keep-alive").lower() == "keep-alive"
    return CIMultiDictProxy(fields) if keeps and fields.get(hdrs.HOST) else None


class _Route(NamedTuple):
    """What answers requests of a path."""

    pattern: re.Pattern[str]
    route: web.AbstractRoute
    template: tuple[str, str]
    handler: Handler
    made: Made | None


class _Known(NamedTuple):
    """What a request was answered with: the same one is again, while the index is of that generation.

    Only what its bytes are made of: they are read and checked each time. A boundary in it was drawn
    after they were stored, as it must be.
    """

    generation: int
    query: str
    headers: CIMultiDictProxy[str]
    reply: Reply
    reads: tuple[Read, ...]


class _Path(dict[str, str]):
    """The names in a path, and the route that it matched."""

    def __init__(self, names: Mapping[str, str], route: web.AbstractRoute) -> None:
        super().__init__(names)
        self.route = route


class _Request(dict[web.RequestKey[Any], Any]):
    """A request, as far as handlers of GET look at one."""

    method: Final = hdrs.METH_GET
    version: Final = HttpVersion11
    keep_alive: Final = True
    scheme: Final = "http"
    secure: Final = False

    def __init__(
        self,
        app: Mapping[web.AppKey[Any], Any],
        request: Plain,
        match_info: _Path,
        transport: asyncio.BaseTransport | None,
        request_id: str,
    ) -> None:
        super().__init__({REQUEST_ID: request_id})
        path, query, headers = request
        self.app = app
        self.rel_url = URL.build(path=path, query_string=query, encoded=True)
        self.headers = headers
        self.host = headers[hdrs.HOST]
        self.match_info = match_info
        self.transport = transport

    @property
    def query(self) -> MultiMapping[str]:
        """The parameters of the query, decoded."""
        return self.rel_url.query


class PromptAnswers:
    """Answers plain requests at once, or not at all; belongs to the event loop."""

    def __init__(self, app: web.Application) -> None:
        archive = app[ARCHIVE]
        self._archive = archive.prompt
        keys: list[web.AppKey[Any]] = [SETTINGS, CLOCK, PREPARED, REQUESTS]
        self._app: dict[web.AppKey[Any], Any] = {key: app[key] for key in keys}
        self._app[ARCHIVE] = archive.prompt
        self._settings = app[SETTINGS]
        self._clock = app[CLOCK]
        self._ids = app[REQUEST_IDS]
        self._requests = app[REQUESTS]
        self._known: dict[str, _Known] = {}
        self._routes: list[_Route] = []
        self._keeps_zstd = archive.keeps_zstd
        if list(app.middlewares) == [around]:  # another one would be passed by
            self._routes += (
                _Route(_pattern(route), route, template(route, self._settings), handler, made)
                for handler, made in HANDLERS.items()
                for route in app.router.routes()
                if route.method == hdrs.METH_GET and route.handler is handler
            )

    def answer(
        self, request: Plain, transport: asyncio.BaseTransport | None
    ) -> list[Buffer] | None:
        """Return the whole answer to a request; None where aiohttp has to give it."""
        if self._requests.ending:
            return None
        path = request[0]
        for route in self._routes:
            if (match := route.pattern.fullmatch(path)) is not None:
                return self._answered(route, match.groupdict(), request, transport)
        return None

    def _answered(
        self,
        route: _Route,
        names: Mapping[str, str],
        request: Plain,
        transport: asyncio.BaseTransport | None,
    ) -> list[Buffer] | None:
        clock = self._clock
        begin = clock.monotonic()
        request_id = number(self._ids, request[2])
        try:
            if route.made is None:
                lean = _Request(
                    self._app, request, _Path(names, route.route), transport, request_id
                )
                status, message = _served(cast("web.Request", lean), route.handler)
            else:
                reply = self._reply(route.made, names, request, transport)
                status, message = self._message(reply, request[2], request_id)
        except Exception:  # noqa: BLE001  # loop boundary: aiohttp's way meets it again, and tells
            self._archive.forget()
            return None
        self._archive.settle()
        seconds = clock.monotonic() - begin
        logged, counted = route.template
        count("GET", logged, counted, status=status, seconds=seconds, request_id=request_id)
        return message

    def _asked(
        self, names: Mapping[str, str], request: Plain, transport: asyncio.BaseTransport | None
    ) -> Asked:
        """Return what `Asked.of` would for a request of aiohttp's."""
        _, query, headers = request
        settings = self._settings
        return Asked(
            names,
            headers,
            accepted_by(query, headers.get(hdrs.ACCEPT, "")),
            Addresses.seen("http", headers[hdrs.HOST], headers, transport, settings),
            settings.ae_title,
            self._clock.token(16).hex(),
        )

    def _reply(
        self,
        made: Made,
        names: Mapping[str, str],
        request: Plain,
        transport: asyncio.BaseTransport | None,
    ) -> Reply:
        """Return what `made` returns, or has returned to the same request."""
        path, query, headers = request
        generation = self._archive.generation
        if self._keeps_zstd and choose_coding(headers) == "zstd":
            raise WouldWait  # what is stored in zstd leaves in it, by a thread
        known = self._known.get(path)
        if (
            known is not None
            and known.generation == generation
            and known.headers is headers
            and known.query == query
        ):
            self._archive.hold(known.reads)
            return known.reply
        reply = made(self._archive.retrieval, self._asked(names, request, transport))
        if not isinstance(reply, Reply):
            raise WouldWait
        if generation is not None and _is_brief(reply):
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[path] = _Known(generation, query, headers, reply, self._archive.held)
        return reply

    def _message(
        self, reply: Reply, asked: Mapping[str, str], request_id: str
    ) -> tuple[int, list[Buffer]]:
        """Return status and message of a reply: what a handler and `Answer` do, in fewer steps."""
        run = self._archive.at_hand(reply.items)
        if run is None:
            raise WouldWait
        fields = {**reply.headers, hdrs.CONTENT_TYPE: reply.content_type}
        if self._keeps_zstd and any(isinstance(item, Span) for item in reply.items):
            vary_by_coding(fields)
        add_defaults(fields, request_id, asked, self._settings)
        return reply.status, [head_of(reply.status, fields, sum(map(len, run))), *run]


def _is_brief(reply: Reply) -> bool:
    return sum([len(item) for item in reply.items if not isinstance(item, Span)]) <= BRIEF


def _pattern(route: web.AbstractRoute) -> re.Pattern[str]:
    info = route.get_info()
    return info["pattern"] if "pattern" in info else re.compile(re.escape(info["path"]))


def _served(request: web.Request, handler: Handler) -> tuple[int, list[Buffer]]:
    """Answer with what a handler returns. Raises WouldWait where that is no answer, or not yet."""
    work = cast("Coroutine[Any, Any, web.StreamResponse]", handler(request))
    try:
        work.send(None)
    except StopIteration as end:
        if isinstance(end.value, Answer):
            return end.value.status, end.value.message(request)
    work.close()
    raise WouldWait
