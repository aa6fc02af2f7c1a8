"""Destinations made of bytes: what no well-behaved one does, and slow ones."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydicom.dataset import Dataset

from vna._native import pdata
from vna.dimse import commands, pdu, send_objects
from vna.dimse.commands import RESPONSE, Command, CommandField
from vna.dimse.pdu import AssociateAccept, ContextResult, PduType, UserInformation
from vna.errors import Unavailable
from vna.types import Remote

STUDY = "1.2.3.1"
SLOW_S = 2.5


class Destination:
    """One connection at a storage SCP."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._file = connection.makefile("rb")

    def pdu(self) -> tuple[int, bytes]:
        """Return type and bytes of the next PDU; header included."""
        header = self._file.read(6)
        kind, length = struct.unpack(">BxI", header)
        return kind, header + self._file.read(length)

    def accept(self, max_pdu_length: int = 0) -> None:
        """Accept all that is proposed."""
        request = pdu.decode_request(self.pdu()[1])
        results = tuple(
            ContextResult(each.id, 0, each.transfer_syntaxes[0]) for each in request.contexts
        )
        user = UserInformation(max_pdu_length=max_pdu_length)
        accept = AssociateAccept(request.called_ae, request.calling_ae, results, user)
        self.connection.sendall(pdu.encode_accept(accept))

    def answer(self, behind: bytes = b"") -> bool:
        """Take a C-STORE and answer it; say whether one came. `behind` is sent with the answer."""
        command = None
        while True:
            kind, body = self.pdu()
            if kind != PduType.DATA:
                return False
            at = 6
            while at < len(body):
                length, context, control = struct.unpack_from(">IBB", body, at)
                if control & 1:
                    command = commands.decode(body[at + 6 : at + 4 + length])
                elif control & 2:
                    assert command is not None
                    response = Command(
                        field=CommandField.C_STORE | RESPONSE,
                        responded_to=command.message_id,
                        status=0,
                    )
                    pieces = pdata(
                        context,
                        commands.encode(response),
                        command=True,
                        last=True,
                        max_pdu_length=0,
                    )
                    self.connection.sendall(b"".join(pieces) + behind)
                    return True
                at += 4 + length


@pytest.fixture
def moved(
    start_node: Callable[..., Any],
    store: Callable[..., Any],
    move: Callable[..., Any],
    identifier: Callable[..., Dataset],
    three: list[Dataset],
) -> Iterator[Callable[..., list[Dataset]]]:
    """Move three instances to a destination that does as it is told; return the answers."""
    threads: list[threading.Thread] = []

    def run(serve: Callable[[Destination], None]) -> list[Dataset]:
        server = socket.create_server(("127.0.0.1", 0))

        def take() -> None:
            with server, server.accept()[0] as connection:
                serve(Destination(connection))
                with suppress(OSError):
                    connection.recv(1)  # until it is closed

        threads.append(threading.Thread(target=take))
        threads[0].start()
        node = start_node(remotes=(Remote("THERE", "127.0.0.1", server.getsockname()[1]),))
        assert store(node, *three) == [0, 0, 0]
        answers = move(node, "study", "THERE", identifier("STUDY", StudyInstanceUID=STUDY))
        return [status for status, _ in answers]

    yield run
    for thread in threads:
        thread.join()


def test_c28_a_destination_that_takes_no_pdu_fails_all(moved: Any) -> None:
    final = moved(lambda there: there.accept(max_pdu_length=4))[-1]
    assert (final.Status, final.NumberOfFailedSuboperations) == (0xA702, 3)
    assert "PDUs of 4 bytes" in final.ErrorComment


def test_c28_a_destination_that_releases_first_has_taken_all(moved: Any) -> None:
    released = []

    def serve(there: Destination) -> None:
        there.accept()
        there.answer()
        there.answer()
        there.answer(behind=pdu.RELEASE_REQUEST)
        released.append(there.pdu()[1])

    final = moved(serve)[-1]
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 3)
    assert released == [pdu.RELEASE_REPLY]


def test_c28_the_requestor_of_a_move_to_a_slow_destination_hears_that_it_goes_on(
    moved: Any,
) -> None:
    def serve(there: Destination) -> None:
        time.sleep(SLOW_S)
        there.accept()
        there.answer()
        there.answer()
        time.sleep(SLOW_S)
        there.answer()
        assert there.pdu()[0] == PduType.RELEASE_RQ
        there.connection.sendall(pdu.RELEASE_REPLY)

    *pending, final = moved(serve)
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 3)
    remaining = [answer.NumberOfRemainingSuboperations for answer in pending]
    assert remaining == sorted(remaining, reverse=True)
    assert remaining.count(3) >= 3  # as it is connected to, and each second before it accepts
    assert remaining.count(1) >= 2


def test_a_receiver_that_reads_nothing_more_is_closed_on(
    start_node: Callable[..., Any], store: Callable[..., Any], instance: Callable[..., Any]
) -> None:
    node = start_node(dimse_timeout_s=1.0)
    assert store(node, instance(PixelData=bytes(32 << 20))) == [0]  # more than sockets hold
    with socket.create_server(("127.0.0.1", 0)) as server:
        remote = Remote("THERE", "127.0.0.1", server.getsockname()[1])

        async def send() -> None:
            objects = node.archive.objects(STUDY)
            await send_objects(node.archive, objects, remote, node.settings, threading.Event())

        def work() -> None:
            with pytest.raises(Unavailable, match="no answer within the DIMSE timeout"):
                asyncio.run(send())

        sender = threading.Thread(target=work)
        sender.start()
        connection, _ = server.accept()
        with connection:
            Destination(connection).accept()
            sender.join()
            connection.settimeout(10)
            with suppress(ConnectionResetError):
                while connection.recv(1 << 20):
                    pass
