"""An association that we request: C-ECHO and C-STORE to a remote application entity."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from vna._native import Landing, ProtocolError
from vna.archive import StoredObject
from vna.dicom.uids import IMPLICIT_VR_LITTLE_ENDIAN
from vna.dimse.association import Association, AssociationLost, Buffer
from vna.dimse.commands import Command, CommandField
from vna.dimse.machine import Machine
from vna.dimse.negotiation import SMALLEST_PDU, VERIFICATION, Context
from vna.dimse.pdu import (
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ProposedContext,
    UserInformation,
)
from vna.dimse.settings import DimseSettings
from vna.dimse.stores import Stores, pair_of, status_of
from vna.errors import Unavailable
from vna.pacing import begin_unpaced, pace
from vna.types import Remote

__all__ = ["MAX_CONTEXTS", "Scu"]

log = logging.getLogger(__name__)

MAX_CONTEXTS: Final = 128
CLOSE_S: Final = 1.0
"""Seconds that a remote has to read what was still to be sent."""
ECHO_ID: Final = 1
ECHO: Final = ((VERIFICATION, (IMPLICIT_VR_LITTLE_ENDIAN,)),)


class Scu:
    """Use as `async with Scu(remote, settings, contexts) as scu`: associated inside, released after.

    `contexts` are up to 128 pairs of SOP class and transfer syntaxes in order of preference;
    `originator` is the AE title and message id of the C-MOVE that is behind what is sent,
    `connected` is called when there is a connection, before the remote is asked for the association.
    Inside, `stores` sends instances.
    Entering raises Unavailable when the remote cannot be reached or rejects the association;
    leaving by an error aborts it. One operation at a time; `stores` has as many under way as the
    remote accepts of those that its settings say.
    """

    def __init__(
        self,
        remote: Remote,
        settings: DimseSettings,
        contexts: Iterable[tuple[str, Sequence[str]]] = ECHO,
        originator: tuple[str, int] | None = None,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._remote = remote
        self._settings = settings
        self._proposed = tuple(
            ProposedContext(2 * number + 1, sop_class, tuple(syntaxes))
            for number, (sop_class, syntaxes) in enumerate(contexts)
        )
        if len(self._proposed) > MAX_CONTEXTS:
            raise ValueError(f"at most {MAX_CONTEXTS} presentation contexts")
        self._accepted: dict[tuple[str, str], Context] = {}
        self._originator = originator
        self._connected = connected
        self._association: Association | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        remote, settings = self._remote, self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection = await _connection_to(remote)
                _, association = await loop.create_connection(
                    lambda: Association(Machine(acceptor=False), settings, Landing()),
                    sock=connection,
                )
        except (OSError, TimeoutError) as error:
            raise Unavailable(
                f"{remote.ae_title} at {remote.host}:{remote.port}: {error or 'timeout'}"
            ) from error
        association.label = f"to {remote.ae_title} at {remote.host}:{remote.port}"
        association.busy = association.asking = True
        self._association = association
        try:
            self._connected()
            window = await self._associate(association)
        except BaseException:
            association.abort()
            raise
        self.stores = Stores(
            association, lambda stored: self.context(*pair_of(stored)), self._originator, window
        )
        return self

    async def _associate(self, association: Association) -> int:
        """Associate; return how many C-STOREs may be under way."""
        most = self._remote.window
        request = AssociateRequest(
            self._remote.ae_title,
            self._settings.ae_title,
            self._proposed,
            UserInformation(
                max_pdu_length=self._settings.max_pdu_length_bytes,
                window=(most, 1) if most > 1 else None,
            ),
        )
        association.write(association.machine.request(request))
        answer = await association.event()
        if isinstance(answer, AssociateReject):
            association.close()
            raise Unavailable(
                f"{self._remote.ae_title} rejected the association"
                f" (result {answer.result}, source {answer.source}, reason {answer.reason})"
            )
        if not isinstance(answer, AssociateAccept):
            raise ProtocolError(f"unexpected {type(answer).__name__}")
        if 0 < answer.user.max_pdu_length < SMALLEST_PDU:
            raise Unavailable(
                f"{self._remote.ae_title} takes PDUs of {answer.user.max_pdu_length} bytes,"
                " which carry nothing"
            )
        proposed = {context.id: context for context in self._proposed}
        association.peer_max_pdu_length = answer.user.max_pdu_length
        for result in answer.contexts:
            context = proposed.get(result.id)
            if context is not None and result.result == 0:
                accepted = Context(
                    result.id, context.abstract_syntax, result.transfer_syntax, scp=False, scu=True
                )
                self._accepted.setdefault(
                    (context.abstract_syntax, result.transfer_syntax), accepted
                )
        invoked, _ = answer.user.window or (1, 1)
        return min(invoked or most, most)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        association = self._associated()
        if error is not None:
            association.abort(why=f"aborted: {error}")
        else:
            try:
                await association.release()
            except AssociationLost as lost:
                log.info("%s: ended without release: %s", association.label, lost)
                association.close()
        # The event loop may end next, and a connection that is still to be closed never would be.
        await asyncio.wait([association.closed], timeout=CLOSE_S)
        association.cut("closed")
        await association.closed

    @property
    def lost(self) -> str:
        """Why the association is over; empty while it is not."""
        return self._association.lost if self._association is not None else ""

    def context(self, sop_class: str, transfer_syntax: str) -> Context | None:
        """Return the accepted context for that SOP class and transfer syntax."""
        return self._accepted.get((sop_class, transfer_syntax))

    async def c_echo(self) -> int:
        """Return the status of a C-ECHO. Raises Unavailable without an accepted context."""
        context = next(iter(self._accepted.values()), None)
        if context is None or context.abstract_syntax != VERIFICATION:
            raise Unavailable(f"{self._remote.ae_title} does not accept Verification")
        request = Command(
            field=CommandField.C_ECHO, message_id=ECHO_ID, affected_sop_class=VERIFICATION
        )
        association = self._associated()
        association.send(context.id, request)
        return status_of(await association.response(ECHO_ID))

    async def c_store(
        self,
        stored: StoredObject,
        runs: AsyncIterator[Sequence[Buffer]],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> int:
        """Send an instance in its stored transfer syntax and return the status of the answer.

        `runs` are its data set; `meanwhile` is called while the answer is waited for. Raises
        Unavailable when no context was accepted for it, AssociationLost, or what `runs` raises.
        """
        if not self.stores.takes(stored):
            raise Unavailable(
                f"{self._remote.ae_title} does not accept {stored.sop_class} in {stored.transfer_syntax}"
            )
        return await self.stores.send(stored, runs, meanwhile)

    def _associated(self) -> Association:
        assert self._association is not None, "entered"
        return self._association


async def _connection_to(remote: Remote) -> socket.socket:
    """Connect to the first of the remote's addresses that takes it; raises the last one's OSError."""
    loop = asyncio.get_running_loop()
    failed = OSError("its name has no address")
    found = await loop.getaddrinfo(remote.host, remote.port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            begin_unpaced(connection)
            await loop.sock_connect(connection, address)
            pace(connection)
        except OSError as error:
            connection.close()
            failed = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failed
