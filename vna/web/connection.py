"""Connections of HTTP: those of aiohttp, which answer at once what is at hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from vna.observe import metrics
from vna.outlet import Outlet
from vna.web.context import REQUEST_ID, REQUEST_IDS, SETTINGS
from vna.web.defaults import add_defaults
from vna.web.middleware import count, number, template
from vna.web.problems import problem
from vna.web.prompt import PromptAnswers, plain
from vna.web.upload import Heads, Receiver, Upload

__all__ = ["PromptServer"]

log = logging.getLogger(__name__)

MOST_SAID: Final = 200
"""Characters of what is told of a request that cannot be read."""


class PromptServer(web.Server):
    """Makes the connections of an app's server."""

    def __init__(self, server: web.Server, app: web.Application) -> None:
        self._options = server._kwargs  # noqa: SLF001  # what the runner was given for connections
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **self._options,
        )
        self._app = app
        self._answers = PromptAnswers(app)
        self._heads: Heads | None = None
        self._open = 0

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count a connection."""
        super().connection_made(handler, transport)
        self._count(1)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count it no more."""
        super().connection_lost(handler, exc)
        self._count(-1)

    def _count(self, more: int) -> None:
        self._open += more
        metrics.HTTP_CONNECTIONS.set(self._open)

    def __call__(self) -> RequestHandler:
        """Return a new connection."""
        loop = asyncio.get_running_loop()
        if self._heads is None:
            self._heads = Heads()
        return Connection(self, self._app, self._answers, self._heads, loop=loop, **self._options)


class Connection(RequestHandler):
    """A connection that looks at each request before aiohttp does, while it has sent only plain ones.

    A `Receiver` takes the bodies of plain POSTs. With the first other bytes aiohttp reads it alone, for
    good: only then it is sure what its parser holds. Timeouts, shutdown and whatever has to wait are
    aiohttp's throughout.
    """

    __slots__ = ("_answers", "_app", "_heads", "_outlet", "_plain", "_receiver")

    def __init__(
        self,
        server: web.Server,
        app: web.Application,
        answers: PromptAnswers,
        heads: Heads,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._app = app
        self._answers = answers
        self._heads = heads
        self._outlet: Outlet | None = None
        self._receiver: Receiver | None = None
        self._plain = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, which is written through an `Outlet`."""
        self._outlet = Outlet(cast(asyncio.Transport, transport), self)
        super().connection_made(self._outlet)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of the connection."""
        if self._outlet is not None:
            self._outlet.lost()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Close the connection once the answer has left, if there is one: no other request comes."""
        return self._outlet is not None and self._outlet.eof_received()

    def data_received(self, data: bytes) -> None:
        """Answer a request that came while nothing else was to be done, or leave it to aiohttp."""
        if self._plain:
            if data.startswith(b"POST ") and self._received_elsewhere(data):
                return
            request = plain(data)
            self._plain = request is not None
            if request is not None and self._idle():
                assert self.transport is not None, "it is idle"
                message = self._answers.answer(request, self.transport)
                if message is not None:
                    self._idle_from_now()
                    self.transport.writelines(message)
                    return
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._end_body(self._messages[-1][0].exc)

    def _end_body(self, error: BaseException) -> None:
        """Tell who reads the last request that its body is broken, if that has not come whole.

        aiohttp does not: the handler would wait for more until it has waited long enough.
        """
        body: object = None
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        if isinstance(body, StreamReader) and not body.is_eof():
            body.set_exception(web.RequestPayloadError(_said(error)))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request with a problem; the connection ends with it."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        request_id = self._app[REQUEST_IDS].new()
        answer = problem(status, f"the request cannot be read: {_said(exc)}", request_id=request_id)
        add_defaults(answer.headers, request_id, {}, self._app[SETTINGS])
        answer.force_close()
        count("-", "-", "-", status=status, seconds=0.0, request_id=request_id)
        return answer

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Send an answer. An expectation aiohttp refuses itself, before any middleware: with a problem."""
        if isinstance(resp, web.HTTPExpectationFailed) and isinstance(request, web.Request):
            resp = self._unexpected(request)
        return super().finish_response(request, resp, start_time)

    def _unexpected(self, request: web.Request) -> web.Response:
        """Answer who expects something else than to be told to go on (RFC 9110 10.1.1)."""
        request_id = request[REQUEST_ID] = number(self._app[REQUEST_IDS], request.headers)
        status = HTTPStatus.EXPECTATION_FAILED
        route = template(request.match_info.route, self._app[SETTINGS])
        count(request.method, *route, status=status, seconds=0.0, request_id=request_id)
        detail = "nothing can be expected but 100-continue"
        return problem(status, detail, request_id=request_id)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what failed; of a request that cannot be read, which its error quotes, the kind alone."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            log.info("a request's body cannot be read: %s", type(error).__name__)
        else:
            super().log_exception(*args, **options)

    def _received_elsewhere(self, data: bytes) -> bool:
        """Have a POST, and what comes behind it, received by a `Receiver`; False if it is not plain."""
        if self._receiver is None:
            self._receiver = Receiver(self, self._heads)
        return self._receiver.take_over(data)

    def ask(self, message: RawRequestMessage, body: Upload) -> bool:
        """Queue a request, as aiohttp does with those that it has parsed.

        False if another one is waiting already, or the connection ends.
        """
        if self._messages or self._close or self._force_close:
            return False
        self._request_count += 1
        self._messages.append((message, cast("StreamReader", body)))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return True

    def _idle(self) -> bool:
        """Say whether all earlier requests are answered, and the client has taken the answers."""
        waiter, transport = self._waiter, self.transport
        return (
            waiter is not None
            and not waiter.done()
            and not self._messages
            and not self._paused
            and transport is not None
            and not transport.is_closing()
            and not self._close
            and not self._force_close
        )

    def resume_writing(self) -> None:
        """Note that the client has taken most of an answer."""
        super().resume_writing()
        self._idle_from_now()

    def _process_keepalive(self) -> None:
        """Close the connection if it was idle for long. One that still takes an answer is not."""
        if self._paused:
            self._idle_from_now()
        super()._process_keepalive()

    def _idle_from_now(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout


def _said(error: BaseException) -> str:
    """Return what is wrong with a request, without what aiohttp quotes of it behind."""
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    return " ".join(text.partition("\n\n")[0].split()).rstrip(":")[:MOST_SAID]
