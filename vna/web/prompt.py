"""Answers that are at hand: requests for what is in memory, without what aiohttp does around them.

The same handlers answer, over `PromptArchive`; here is only a lean request for them. Whatever is not
a plain request, and every answer that has to wait or is no success, is left to aiohttp.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping
from yarl import URL

from vna.types import Level
from vna.web.answer import Answer
from vna.web.context import ARCHIVE, CLOCK, PREPARED, REQUEST_ID, REQUEST_IDS, SETTINGS
from vna.web.drain import REQUESTS
from vna.web.middleware import around, count, number
from vna.web.multipart import Buffer
from vna.web.routes.frames import retrieve_frames
from vna.web.routes.metadata import retrieve_metadata
from vna.web.routes.qido import search
from vna.web.routes.wado import retrieve_instance

__all__ = ["KNOWN", "Plain", "PromptAnswers", "header_fields", "plain"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

MOST: Final = 4096
"""Bytes of a request that is looked at here."""

HANDLERS: Final = (
    *(retrieve_frames, retrieve_instance, retrieve_metadata),
    *map(search, Level),
)
"""Who answers, and in which order they are looked for."""

_REQUEST = re.compile(
    rb"GET (/[A-Za-z0-9._~/,\-]*)(?:\?([A-Za-z0-9._~/,\-=&%*+:^]*))? HTTP/1\.1\r\n"
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
    if len(data) > MOST or data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    line = _REQUEST.match(data)
    if line is None or (fields := _fields(data[line.end() : -4])) is None:
        return None
    return line[1].decode(), (line[2] or b"").decode(), fields


@lru_cache(maxsize=256)  # a client sends the same ones each time
def _fields(block: bytes) -> CIMultiDictProxy[str] | None:
    return header_fields(block, KNOWN)


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


class _Path(dict[str, str]):
    """The names in a path, and the route that it matched."""

    def __init__(self, names: Mapping[str, str], route: web.AbstractRoute) -> None:
        super().__init__(names)
        self.route = route


class _Asked(dict[web.RequestKey[Any], Any]):
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
        transport: object,
    ) -> None:
        super().__init__()
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
        keys: list[web.AppKey[Any]] = [SETTINGS, CLOCK, PREPARED, REQUESTS, REQUEST_IDS]
        self._app: dict[web.AppKey[Any], Any] = {key: app[key] for key in keys}
        self._app[ARCHIVE] = archive.prompt
        self._routes: list[tuple[re.Pattern[str], web.AbstractRoute, Handler]] = []
        # Other middleware would be passed by; what is stored in zstd may leave in it, by a thread.
        if list(app.middlewares) == [around] and not archive.keeps_zstd:
            self._routes += (
                (_pattern(route), route, handler)
                for handler in HANDLERS
                for route in app.router.routes()
                if route.method == hdrs.METH_GET and route.handler is handler
            )

    def answer(self, request: Plain, transport: object) -> list[Buffer] | None:
        """Return the whole answer to a request; None where aiohttp has to give it."""
        if self._app[REQUESTS].ending:
            return None
        path = request[0]
        for pattern, route, handler in self._routes:
            if (match := pattern.fullmatch(path)) is not None:
                asked = _Asked(self._app, request, _Path(match.groupdict(), route), transport)
                return self._served(cast("web.Request", asked), handler)
        return None

    def _served(self, request: web.Request, handler: Handler) -> list[Buffer] | None:
        clock = self._app[CLOCK]
        begin = clock.monotonic()
        request[REQUEST_ID] = number(request)
        response = _result(cast("Coroutine[Any, Any, web.StreamResponse]", handler(request)))
        if not isinstance(response, Answer):
            self._archive.forget()
            return None
        try:
            message = response.message(request)
        except Exception:  # noqa: BLE001  # as in `_result`
            self._archive.forget()
            return None
        self._archive.settle()
        count(request, response.status, clock.monotonic() - begin)
        return message


def _pattern(route: web.AbstractRoute) -> re.Pattern[str]:
    info = route.get_info()
    return info["pattern"] if "pattern" in info else re.compile(re.escape(info["path"]))


def _result(work: Coroutine[Any, Any, web.StreamResponse]) -> web.StreamResponse | None:
    """Return what a coroutine returns that never gives way; None if it does, or fails."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("web.StreamResponse", end.value)
    except Exception:  # noqa: BLE001  # loop boundary: aiohttp's way meets it again, and tells
        return None
    work.close()
    return None
