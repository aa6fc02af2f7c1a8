"""C-STOREs over one association (PS3.7 9.1.1), as many under way as both sides agreed on."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from vna._native import message
from vna.archive import Run, StoredObject
from vna.dimse.ahead import Ahead
from vna.dimse.association import Association, Buffer
from vna.dimse.commands import WITH_DATA_SET, Command, CommandField, encode
from vna.dimse.negotiation import Context
from vna.dimse.streaming import send_stream

__all__ = ["Stores", "pair_of", "status_of"]

NO_STATUS = 0xC000
"""What a response without a status counts as."""
LAST_MESSAGE_ID = 0xFFFF
"""Behind it they begin with 1 again: they are 16 bits wide, and 0 is not used."""
AHEAD_BYTES = 1 << 20
"""With so much under way no more is sent: it would only leave the processor's cache on its way."""


class Stores:
    """Sends instances; no more than `window` of them wait for an answer (PS3.7 D.3.3.3).

    `context_of` says which context an instance has, `originator` is the AE title and message id of
    the C-MOVE behind it all.
    """

    def __init__(
        self,
        association: Association,
        context_of: Callable[[StoredObject], Context | None],
        originator: tuple[str, int] | None = None,
        window: int = 1,
    ) -> None:
        self._association = association
        self._context_of = context_of
        self._originator = originator
        self._window = window
        self._message_id = 0
        self._under_way: dict[int, StoredObject] = {}
        """By message id; they are the first of those that wait."""

    @property
    def under_way(self) -> int:
        """How many of those that `send_at_hand` was given are sent and not answered: the first ones."""
        return len(self._under_way)

    def takes(self, stored: StoredObject) -> bool:
        """Whether there is a context for an instance."""
        return self._context_of(stored) is not None

    async def send(
        self,
        stored: StoredObject,
        runs: AsyncIterator[Sequence[Buffer]],
        meanwhile: Callable[[], None],
    ) -> int:
        """Send an instance and return the status of the response; `meanwhile` is called before it.

        It must have a context. Raises AssociationLost, or what `runs` raised; the association goes
        on only if nothing had been sent by then.
        """
        context = self._context_of(stored)
        assert context is not None, "its caller has asked"
        await send_stream(self._association, context.id, self._request(stored), runs)
        meanwhile()
        return status_of(await self._association.response(self._message_id))

    async def send_at_hand(
        self,
        waiting: deque[StoredObject],
        ahead: Ahead,
        done: Callable[[StoredObject, int], bool],
    ) -> None:
        """Send waiting instances from the left on, until one has no context or is not in memory.

        Each leaves as responses arrive that make room for it. One that was answered does not
        wait any more: `done` is told its status, and says whether to go on. Returns when all that
        was sent is answered. Raises AssociationLost, and what `done` raises.
        """
        under_way = self._under_way
        size = 0

        def send_more() -> None:
            nonlocal size
            for number in range(len(under_way), min(self._window, len(waiting))):
                if size >= AHEAD_BYTES:
                    return
                stored = waiting[number]
                context = self._context_of(stored)
                run = None if context is None else ahead.at_hand(waiting, number)
                if context is None or run is None:
                    return
                self._send_run(context, stored, run)
                under_way[self._message_id] = stored
                size += stored.length
                ahead.begin_nth(waiting, number + 1)

        def answered(responses: list[Command]) -> bool:
            nonlocal size
            goes_on = True
            for response in responses:
                stored = under_way.pop(response.responded_to or 0, None)
                if stored is None:
                    self._association.no_response()
                size -= stored.length
                _take(waiting, stored)
                goes_on = done(stored, status_of(response)) and goes_on
            if goes_on:
                send_more()
            return bool(under_way)

        send_more()
        if under_way:
            await self._association.responses(answered)

    def _send_run(self, context: Context, stored: StoredObject, run: Run) -> None:
        limit = self._association.peer_max_pdu_length
        request = self._request(stored)
        self._association.writelines(message(context.id, request, run, limit))

    def _request(self, stored: StoredObject) -> bytes:
        """Return the next request's command set; no other under way has its message id (PS3.7 9.1.1)."""
        self._message_id = self._message_id % LAST_MESSAGE_ID + 1
        while self._message_id in self._under_way:
            self._message_id = self._message_id % LAST_MESSAGE_ID + 1
        request = Command(
            field=CommandField.C_STORE,
            message_id=self._message_id,
            affected_sop_class=stored.sop_class,
            affected_sop_uid=stored.sop_uid,
            priority=0,
            data_set_type=WITH_DATA_SET,
        )
        if self._originator is not None:
            request.originator, request.originator_id = self._originator
        return encode(request)


def _take(waiting: deque[StoredObject], stored: StoredObject) -> None:
    """Take an instance out, which is mostly the first one."""
    if waiting[0] is stored:
        waiting.popleft()
    else:
        waiting.remove(stored)


def pair_of(stored: StoredObject) -> tuple[str, str]:
    """Return what an instance needs a context for: SOP class and transfer syntax."""
    return stored.sop_class, stored.transfer_syntax


def status_of(response: Command) -> int:
    """Return the status of a response."""
    return NO_STATUS if response.status is None else response.status
