"""Bodies of requests, received where they are used: one memory from the socket to the pack.

aiohttp's way copies a body twice before a handler sees it, and wakes the handler for each piece of
64 to 256 KiB. Here the socket is read into memory of 640 KiB, and the handler is woken when that is
full, or when all has come. The request itself goes aiohttp's way, through its queue, its handlers and
its timeouts; what is not a plain POST is read by its parser.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http import RawRequestMessage
from yarl import URL

from vna._native import Landing
from vna.web.multipart import Buffer
from vna.web.prompt import KNOWN, header_fields

if TYPE_CHECKING:
    from vna.web.connection import Connection

__all__ = ["Heads", "Receiver", "Upload", "posted"]

MOST_HEAD: Final = 4096
"""Bytes of a head that is looked at here."""
AHEAD_BYTES: Final = 1 << 20
"""Bytes that wait for their handler before the client is held back."""
LEAST_LENT: Final = 64 << 10
"""A whole body shorter than this is copied, and leaves the memory to other heads."""
HOLD_S: Final = 0.02
"""How long bytes that a handler waits for may wait for more to come."""

_POST = re.compile(rb"POST (/[A-Za-z0-9._~/,\-]*) HTTP/1\.1\r\n")
_LENGTH = re.compile(r"[1-9][0-9]{0,17}")
_FIELDS: Final = KNOWN | {"content-type", "content-length"}

Posted: TypeAlias = tuple[RawRequestMessage, int, int]
"""A request, the length of its head, and that of its body."""


def posted(data: bytes) -> Posted | None:
    """Return the POST that `data` begins with: its whole head, and nothing special about it."""
    end = data.find(b"\r\n\r\n", 0, MOST_HEAD)
    return None if end < 0 else _posted(data[:end])


@lru_cache(maxsize=256)  # a client sends the same one each time, but for the length perhaps
def _posted(head: bytes) -> Posted | None:
    line = _POST.match(head)
    if line is None:
        return None
    fields = header_fields(head[line.end() :], _FIELDS)
    if fields is None or not _LENGTH.fullmatch(fields.get(hdrs.CONTENT_LENGTH, "")):
        return None
    path = line[1].decode()
    message = RawRequestMessage(
        method=hdrs.METH_POST,
        path=path,
        version=HttpVersion11,
        headers=fields,
        raw_headers=tuple((name.encode(), value.encode()) for name, value in fields.items()),
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL.build(path=path, encoded=True),
    )
    return message, len(head) + 4, int(fields[hdrs.CONTENT_LENGTH])


class Upload:
    """What has come of a body, for its handler: it stands where aiohttp has a StreamReader.

    What came before the client left, or before the handler was told to end, is read all the same.
    """

    def __init__(self, length: int, receiver: Receiver) -> None:
        self.left = length
        """Bytes that have still to come."""
        self._receiver = receiver
        self._pieces: deque[Buffer] = deque()
        self._held = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether the handler waits for more."""
        return self._waiter is not None

    @property
    def ahead(self) -> bool:
        """Whether more has come than should wait for the handler."""
        return self._held > AHEAD_BYTES

    def add(self, piece: Buffer) -> None:
        """Have the handler read a piece."""
        if self._error is None:  # else nobody reads any more
            self._pieces.append(piece)
            self._held += len(piece)
        self._wake()

    def at_hand(self) -> Buffer | None:
        """Return the next piece, empty at the end of the body; None where that has still to come."""
        if not self._pieces:
            if self._error is not None:
                raise self._error
            return None if self.left else b""
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._held * 2 <= AHEAD_BYTES:
            self._receiver.go_on()
        return piece

    async def readchunk(self) -> tuple[Buffer, bool]:
        """Return the next piece, empty at the end of the body; what else aiohttp's returns is False."""
        while (piece := self.at_hand()) is None:
            await self._more()
        return piece, False

    async def readany(self) -> Buffer:
        """Return the next piece, empty at the end of the body."""
        return (await self.readchunk())[0]

    async def _more(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._receiver.hold()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def is_eof(self) -> bool:
        """Whether the whole body has come."""
        return not self.left

    def set_exception(self, error: BaseException) -> None:
        """Have who has read what came fail with `error`. After the answer nobody reads any more."""
        self._error = error
        if isinstance(error, web.PayloadAccessError):
            self._pieces.clear()
            self._held = 0
            self._receiver.go_on()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Heads:
    """Where heads are received, with the beginnings of their bodies, for all connections of a loop."""

    def __init__(self) -> None:
        self.room = Landing().room()

    def take(self) -> memoryview:
        """Return the memory for a body to go on in; heads are received elsewhere from now on."""
        room, self.room = self.room, Landing().room()
        return room


class Receiver(asyncio.BufferedProtocol):
    """Receives for a connection while plain POSTs come; what else comes it gives to the connection.

    Between two bodies it holds no memory.
    """

    def __init__(self, connection: Connection, heads: Heads) -> None:
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        assert connection.transport is not None, "it has received"
        self._connection = connection
        self._transport = connection.transport
        self._heads = heads
        self._loop = asyncio.get_running_loop()
        self._upload: Upload | None = None  # that is arriving
        self._room: memoryview | None = None  # where it arrives
        self._begin = self._end = 0  # what has come and was not handed over
        self._holding = False
        self._paused = False

    def take_over(self, data: bytes) -> bool:
        """Take bytes that the connection received, and receive for it, if they are a plain POST."""
        if not self._head(memoryview(data)):
            return False
        self._switch(self)
        return True

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()  # uvloop takes another way of reading only at its start
            self._transport.set_protocol(protocol)
            self._transport.resume_reading()

    def _head(self, data: memoryview) -> bool:
        """Begin with a request; say whether it is a plain POST with nothing behind it."""
        asked = posted(bytes(data[:MOST_HEAD]))
        if asked is None:
            return False
        message, begin, length = asked
        come = len(data) - begin
        upload = Upload(length - come, self)
        if come > length or not self._connection.ask(message, upload):
            return False
        if data.readonly:  # not received here
            if come:
                upload.add(data[begin:])
        elif upload.left or come >= LEAST_LENT:
            self._room, self._begin, self._end = self._heads.take(), begin, len(data)
        else:
            upload.add(bytes(data[begin:]))
        self._upload = upload
        self._come()
        return True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """Return where to receive: what is left of a body, so that no other request comes with it."""
        if self._upload is None:
            return self._heads.room
        if self._room is None:
            self._room, self._begin, self._end = Landing().room(), 0, 0
        return self._room[self._end : self._end + self._upload.left]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was received."""
        if self._upload is not None:
            self._end += nbytes
            self._upload.left -= nbytes
            self._come()
            return
        data = self._heads.room[:nbytes]
        if not self._head(data):
            self._switch(self._connection)
            self._connection.data_received(bytes(data))

    def _come(self) -> None:
        """Hand over what has come if all has, or no more has room here; else soon."""
        assert self._upload is not None, "something came of it"
        if not self._upload.left or (self._room is not None and self._end == len(self._room)):
            self._hand_over(self._upload)
        elif self._upload.awaited:
            self.hold()

    def _hand_over(self, upload: Upload) -> None:
        if self._room is not None and self._end > self._begin:
            upload.add(self._room[self._begin : self._end])
            self._begin = self._end
            if self._end == len(self._room):
                self._room = None
        if not upload.left:
            self._upload = self._room = None
        elif upload.ahead and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def hold(self) -> None:
        """Hand over what has come before long, though more would have room."""
        if not self._holding and self._end > self._begin:
            self._holding = True
            self._loop.call_later(HOLD_S, self._held_long)

    def _held_long(self) -> None:
        self._holding = False
        if self._upload is not None and self._upload.awaited:
            self._hand_over(self._upload)

    def go_on(self) -> None:
        """Receive again, if the client was held back."""
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand over what came, and tell the connection."""
        if self._upload is not None:
            self._hand_over(self._upload)
            self._upload = self._room = None  # connections end in a cycle, which is collected late
        self._connection.connection_lost(exc)
