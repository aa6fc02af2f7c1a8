"""One association on a connection: the asyncio around `Machine`, the same for acceptor and requestor.

Bytes are received into a `Landing` that all associations of a process share: between two calls of a
transport nobody else's come, and an idle association holds nothing. What the deframer finds waits in
an inbox that holds `receive_ahead_bytes` at most before the transport is paused, which closes the
peer's TCP window.
Nothing here is cancelled when the connection is lost: who reads or writes next is told by
`AssociationLost`, so that clean-up runs to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, NoReturn, TypeAlias, cast

from vna._native import (
    Deframer,
    Landing,
    ProtocolError,
    acknowledge_now,
    answer_now,
    message,
)
from vna.dimse import commands, pdu
from vna.dimse.commands import Command, CommandField
from vna.dimse.inlet import Inlet
from vna.dimse.machine import Data, Event, Machine, Message, Released, ReleaseRequested, State
from vna.dimse.settings import DimseSettings
from vna.dimse.taker import Offer, Taker
from vna.dimse.unsent import unsent
from vna.errors import Unavailable
from vna.outlet import Outlet

__all__ = ["Association", "AssociationLost", "Buffer"]

Buffer: TypeAlias = bytes | bytearray | memoryview

log = logging.getLogger(__name__)

WRITE_AHEAD: Final = 1 << 20
"""Bytes that wait for the peer to read before `drained` holds the writer back."""
ABORT_BY_USER: Final = (0, 0)
ABORT_BY_PROVIDER: Final = (2, 0)
UNEXPECTED_PDU: Final = (2, 2)
WATCH_INTERVAL_S: Final = 1.0
"""Seconds between looks at the timers: which one applies changes without notice."""
MOST_AT_ONCE: Final = 16
"""Responses that may wait to be taken: more requests are never under way."""
ENOUGH_BYTES: Final = 256 << 10
"""Bytes of a data set upon which its owner is woken before the end."""


class AssociationLost(Unavailable):
    """The association ended before the operation did."""


class Association(asyncio.BufferedProtocol):
    """Reads and writes one association. Owned by one task at a time, which sets these.

    - `label`, which names the peer in logs, and `peer_max_pdu_length`, once negotiated;
    - `ahead`, if the peer may send requests while it is sent some;
    - `asking`, while it is sent some;
    - `busy`, while an operation is under way: then silence is not the peer's fault. Operations that
      the owner does not wait for are counted in `working`.

    `cancelled` are the message ids of C-CANCELs.
    """

    def __init__(self, machine: Machine, settings: DimseSettings, landing: Landing) -> None:
        self.machine = machine
        self.peer_max_pdu_length = 0
        self.label = "?"
        self.busy = False
        self.working = 0
        self.asking = False
        self.ahead = False
        self.cancelled: set[int] = set()
        self.closed = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._deframer = Deframer(settings.max_pdu_length_bytes)
        self._landing = landing
        self._transport: Outlet | None = None
        self._inlet: Inlet | None = None
        self._descriptor = -1
        self._inbox: deque[Event] = deque()
        self._held = 0
        self._enough = min(ENOUGH_BYTES, settings.receive_ahead_bytes)
        self._reading = True
        self._writable: asyncio.Future[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._answers: Callable[[list[Command]], bool] | None = None
        self._answered: list[Command] = []
        self._failed: Exception | None = None
        self._offer: Offer | None = None
        self._taker: Taker | None = None
        self._lost = ""
        self._unread = False
        self._unwanted = False
        self._unsent = 0
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    # The transport's side -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timers, and to read."""
        # uvloop's transports are asyncio's by shape, not by class
        self._transport = transport = Outlet(cast(asyncio.Transport, transport), self)
        self._descriptor = transport.get_extra_info("socket").fileno()
        transport.set_write_buffer_limits(high=WRITE_AHEAD)
        self._watch()
        try:
            self._inlet = Inlet(transport, self._landing, self.buffer_updated, self.cut)
        except OSError as error:
            self.cut(f"cannot be read from: {error}")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """Return where to receive."""
        return self._landing.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what arrived."""
        if not self.machine.artim:  # a peer that dribbles does not wind up the ARTIM timer
            self._heard = self._loop.time()
        try:
            found = self._deframer.received(self._landing, nbytes)
            for kind, which, content in found:
                event = self.machine.receive(kind, which, content)
                if event is not None:
                    self._take(event)
            self._answer()
        except ProtocolError as error:
            self._answer()
            log.warning("%s: aborted, protocol error: %s", self.label, error)
            self.abort(UNEXPECTED_PDU, f"protocol error: {error}")
            return
        if (not found or self.machine.in_message) and self._descriptor >= 0:
            # A sender with Nagle's algorithm on holds its last segment until the one before is
            # acknowledged; the kernel falls back to delayed acknowledgements after each read. Once
            # the message is whole our answer carries the acknowledgement.
            acknowledge_now(self._descriptor)
        if self._held > self._settings.receive_ahead_bytes and self._reading:
            self._reading = False
            assert self._inlet is not None, "what is held came from there"
            self._inlet.pause()
            self._wake()  # nothing else comes that would

    def _take(self, event: Event) -> None:
        if isinstance(event, Data):
            self._take_data(event)
        elif isinstance(event, Message):
            self._take_message(event)
        else:
            self._answer()
            self._take_control(event)

    def _take_control(self, event: Event) -> None:
        if isinstance(event, pdu.Abort):
            self._end(f"aborted by the peer (source {event.source}, reason {event.reason})")
            self.close()
        else:
            self._inbox.append(event)
            self._wake()

    def _take_message(self, message: Message) -> None:
        command = message.command
        if command.field == CommandField.C_CANCEL:
            assert command.responded_to is not None, "checked by the decoder"
            self.cancelled.add(command.responded_to)
            return
        if command.is_response and (self.asking or self._answers is not None):
            if len(self._answered) == MOST_AT_ONCE:
                raise ProtocolError("more responses than requests")
            self._answered.append(command)
            self._unwanted = command.has_data_set
            return
        if command.message_id is not None:  # used anew; a C-CANCEL came too late for the last one
            self.cancelled.discard(command.message_id)
        self._answer()
        self._held += message.held
        self._inbox.append(message)
        # Who waits for responses is told at once; else a data set wakes the owner when it has come.
        if self._answers is not None or not command.has_data_set:
            self._wake()

    def _take_data(self, data: Data) -> None:
        inbox = self._inbox
        if self._unwanted:  # of a response
            self._unwanted = not data.last
            return
        if self._offer is not None and len(inbox) == 1:
            message = inbox[0]
            # What is alone in the inbox while the owner waits for a message is the data's own.
            if isinstance(message, Message):
                self._taker = self._offer(message, data.data)
                if self._taker is not None:
                    inbox.clear()
                    self._held -= message.held
        if self._taker is not None:
            left = self._taker.take(data)
            if left is not None or data.last:
                self._taker = None
            if left is None:
                return
            self._held += left.held
            inbox.append(left)
        self._held += len(data.data)
        inbox.append(data)
        # To wake the owner for every piece of a data set costs as much as what it does with one.
        if data.last or self._held >= self._enough:
            self._wake()

    def _answer(self) -> None:
        """Give responses that came to who takes them, here and now; wake the owner after the last one."""
        if not self._answered or self._answers is None:
            return
        answered, self._answered = self._answered, []
        try:
            if self._answers(answered):
                return
        except Exception as error:  # noqa: BLE001  # raised where the owner waits
            self._failed = error
        self._answers = None
        self._wake()

    def eof_received(self) -> bool:
        """Close when the peer does."""
        return self._transport is not None and self._transport.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, whatever it waits for."""
        if self._timer is not None:
            self._timer.cancel()
        self._descriptor = -1
        if self._inlet is not None:
            self._inlet.close()
            self._inlet = None
        if self._transport is not None:
            self._transport.lost()
            exc = exc or self._transport.failed
        self._end(f"connection lost: {exc}" if exc else "connection closed")
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """Hold writers back: the peer reads too slowly."""
        self._heard = self._loop.time()
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writers go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # Ends -----------------------------------------------------------------------------------

    @property
    def lost(self) -> str:
        """Why the association is over; empty while it is not."""
        return self._lost

    def check(self) -> None:
        """Raise AssociationLost if the association is over."""
        if self._lost:
            raise AssociationLost(self._lost)

    def abort(self, reason: tuple[int, int] = ABORT_BY_USER, why: str = "aborted") -> None:
        """Send A-ABORT, unless it is over, and close. `reason` is (source, reason) of PS3.8 9.3.8."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self.machine.abort(*reason))
            self._heard = self._loop.time()
        self._end(why)
        self.close()

    def close(self) -> None:
        """Close the connection once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def cut(self, why: str) -> None:
        """Close the connection at once, whatever was still to be sent."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: str) -> None:
        self._lost = self._lost or why
        if self._taker is not None:
            self._taker.lost()
            self._taker = None
        self._wake()
        self.resume_writing()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _watch(self) -> None:
        """Run the timer that applies: ARTIM, the operation's, or the idle one (PS3.8 9.1.5)."""
        settings = self._settings
        waiting = self._waiter is not None or self._writable is not None
        if self.machine.artim:
            limit, why = settings.artim_timeout_s, "ARTIM timer expired"
        elif (
            self.machine.in_message
            or (self.busy and waiting)
            or self.machine.state is not State.ESTABLISHED
        ):
            limit, why = settings.dimse_timeout_s, "no answer within the DIMSE timeout"
        else:
            limit, why = settings.idle_timeout_s, "idle for too long"
        if self.working or (self.busy and not waiting):
            self._heard = self._loop.time()  # our own work, however long, is not the peer's silence
        assert self._transport is not None, "connected"
        unsent_before, self._unsent = self._unsent, unsent(self._transport, self._descriptor)
        if self._unsent < unsent_before and not self.machine.artim:
            self._heard = self._loop.time()  # nor is a link that is slow
        left = self._heard + limit - self._loop.time()
        if left <= 0:
            log.warning("%s: ended, %s", self.label, why)
            if self.machine.artim or self._transport.is_closing():
                self.cut(why)  # the peer neither closes nor reads what is still to be sent
                return
            self.abort(ABORT_BY_PROVIDER, why)
            left = settings.artim_timeout_s
        self._timer = self._loop.call_later(min(left, WATCH_INTERVAL_S), self._watch)

    # Reading --------------------------------------------------------------------------------

    async def event(self) -> Event:
        """Return the next event. Raises AssociationLost."""
        while not self._inbox:
            if self._lost:
                raise AssociationLost(self._lost)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        event = self._inbox.popleft()
        if isinstance(event, Data | Message):
            if isinstance(event, Data):
                self._held -= len(event.data)
                self._unread = not event.last
            else:
                self._held -= event.held
            if not self._reading and self._held * 2 <= self._settings.receive_ahead_bytes:
                self._reading = True
                if self._inlet is not None:
                    self._inlet.resume()
        return event

    async def message(self, offer: Offer | None = None) -> Message | None:
        """Return the next message, or None when the peer wants to release the association.

        What was not read of the last message's data set is dropped. `offer` is asked first for who
        takes a data set where it arrives; a message that is so taken is not returned. It must not
        raise.
        """
        await self.skip_data()
        self._offer = offer
        try:
            event = await self.event()
        finally:
            self._offer = None
        if isinstance(event, ReleaseRequested):
            return None
        if not isinstance(event, Message):
            raise ProtocolError(f"unexpected {type(event).__name__}")
        self._unread = event.command.has_data_set
        return event

    async def skip_data(self) -> None:
        """Drop what was not read of the last message's data set."""
        while self._unread:
            await self.event()

    async def data(self) -> AsyncIterator[Buffer]:
        """Yield the data set that belongs to the last message, as it arrives."""
        while self._unread:
            event = await self.event()
            assert isinstance(event, Data), "the machine lets nothing else into a data set"
            yield event.data

    async def response(self, message_id: int) -> Command:
        """Return the response to a request of ours; its data set, if any, is dropped."""
        answered: list[Command] = []

        def take(responses: list[Command]) -> bool:
            answered.extend(responses)
            return False

        await self.responses(take)
        if [each.responded_to for each in answered] != [message_id]:
            self.no_response()
        return answered[0]

    async def responses(self, take: Callable[[list[Command]], bool]) -> None:
        """Give responses to `take` as they arrive, until it says that no other is due.

        It is called where the transport hands over what came, with all of them that came at once:
        nobody has to be woken between a response and the next request. A request beside them waits
        in the inbox where the peer may send it. Raises AssociationLost, and what `take` raises.
        """
        self._answers = take
        self._answer()
        try:
            await self._answered_all()
        finally:
            self._answers = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    async def _answered_all(self) -> None:
        while self._answers is not None:
            if self._inbox and not self._lost:
                self._check_beside()
            self.check()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _check_beside(self) -> None:
        """End the association if what waits in the inbox may not be there, or is too much."""
        if not self.ahead or isinstance(self._inbox[-1], ReleaseRequested):
            self.no_response()
        if not self._reading:
            self.abort(ABORT_BY_USER, "more was sent beside a C-GET than is held until its end")

    def no_response(self) -> NoReturn:
        """End the association: what came is no response that is due. Raises AssociationLost."""
        self.abort(UNEXPECTED_PDU, "no response where one was due")
        raise AssociationLost(self._lost)

    # Writing --------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes that are PDUs already."""
        self.writelines([data])

    def writelines(self, pieces: list[Buffer]) -> None:
        """Send PDUs given in pieces. Raises AssociationLost."""
        self.check()
        assert self._transport is not None, "connected"
        self._transport.writelines(pieces)
        if self.machine.artim:
            self._heard = self._loop.time()

    def answer(self, pieces: list[Buffer]) -> None:
        """Send a short response to a peer that is likely to send its next request. AssociationLost.

        It leaves at once unless others wait to leave; responses to several requests may change
        places. The kernel then acknowledges the next request as it comes, before we have read it:
        an answer puts the connection into the mode of delayed acknowledgements, in which a sender
        with Nagle's algorithm on would wait for us to read each of its segments.
        """
        self.check()
        assert self._transport is not None, "connected"
        if self._descriptor < 0 or self._transport.get_write_buffer_size():
            self._transport.writelines(pieces)
            return
        data = b"".join(pieces)
        sent = answer_now(self._descriptor, data)
        if sent < len(data):
            self._transport.write(data[sent:])

    @property
    def held_back(self) -> bool:
        """Whether the peer has more to read than it should before more is written."""
        return self._writable is not None

    async def drained(self) -> None:
        """Wait until the peer has read enough. Raises AssociationLost."""
        while self._writable is not None:
            await asyncio.shield(self._writable)
        self.check()

    def message_pdus(
        self, context: int, command: Command, data: bytes | None = None
    ) -> list[Buffer]:
        """Return the PDUs of a message, with a data set that is small enough to be whole."""
        command.data_set_type = commands.NO_DATA_SET if data is None else commands.WITH_DATA_SET
        pieces = None if data is None else [data]
        return message(context, commands.encode(command), pieces, self.peer_max_pdu_length)

    def send(self, context: int, command: Command, data: bytes | None = None) -> None:
        """Send a message."""
        self.writelines(self.message_pdus(context, command, data))

    async def release(self) -> None:
        """Release the association and close; an unwilling peer is closed on all the same."""
        if not self._lost and self.machine.state is State.RELEASING:
            self.write(self.machine.release_reply())  # the peer asked first
        elif not self._lost:
            self.write(self.machine.release())
            while not isinstance(event := await self.event(), Released):
                if isinstance(event, ReleaseRequested):
                    self.write(self.machine.release_reply())
        self.close()
