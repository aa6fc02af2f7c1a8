"""The bench's own destination of C-MOVE: takes every object, keeps none."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from vna.bench import upper_layer as ul
from vna.bench.association import MAX_PDU_LENGTH, read_command, skip_data_set, stored
from vna.bench.connection import Connection, Failed
from vna.bench.reactor import Lane, Reactor
from vna.errors import Unavailable

__all__ = ["sink"]

EXPLICIT_VR_LE = "1.2.840.10008.1.2.1"
BACKLOG = 128
STORE_RQ = 0x0001


def sink(reactor: Reactor, port: int, took: Callable[[float, int], None]) -> Lane:
    """Listen, and serve each association; `took` learns when each object began and its octets.

    Raises Unavailable when the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("", port))
    except OSError as error:
        listener.close()
        raise Unavailable(f"the sink cannot listen on port {port}: {error}") from error
    listener.listen(BACKLOG)
    reactor.watch(listener)
    return _accept(reactor, listener, took)


def _accept(reactor: Reactor, listener: socket.socket, took: Callable[[float, int], None]) -> Lane:
    try:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                yield listener.fileno()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            reactor.spawn(_serve(Connection(reactor, sock), took), background=True)
    finally:
        listener.close()


def _serve(connection: Connection, took: Callable[[float, int], None]) -> Lane:
    """Be the acceptor of one association; one that breaks is the sender's error to report."""
    try:
        head = bytes((yield from connection.exactly(6)))
        body = bytes((yield from connection.exactly(struct.unpack(">I", head[2:])[0])))
        contexts, _ = ul.proposed(body)
        choice = {
            number: EXPLICIT_VR_LE if EXPLICIT_VR_LE in syntaxes else syntaxes[0]
            for number, syntaxes in contexts.items()
        }
        yield from connection.send(ul.accept(body, choice, MAX_PDU_LENGTH))
        while True:
            received = yield from read_command(connection, at_release=True)
            if received is None:
                yield from connection.send(ul.RELEASE_RP)
                return
            number, command = received
            if int.from_bytes(ul.value_of(command, 0x0100), "little") == STORE_RQ:
                began = time.perf_counter()
                octets = yield from skip_data_set(connection)
                took(began, octets)
            yield from connection.send(stored(number, command))
    except (OSError, Failed):
        return
    finally:
        connection.close()
