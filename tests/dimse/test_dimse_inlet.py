"""Reading a connection beside its transport: all that comes, in order, and how it ends."""

import asyncio
import fcntl
import os
import resource
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import pytest
import uvloop

from vna._native import Landing
from vna.dimse import inlet
from vna.dimse.association import Association
from vna.dimse.inlet import Inlet
from vna.dimse.machine import Machine
from vna.dimse.settings import DimseSettings

DATA = bytes(range(256)) * 8192


class Reader(asyncio.Protocol):
    """What a connection brings, and how it ended."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.cuts: list[str] = []
        self.came = asyncio.Event()
        self.lost = asyncio.Event()
        self.landing = Landing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.inlet = Inlet(self.transport, self.landing, self.received, self.cut)

    def received(self, length: int) -> None:
        self.bytes += self.landing.room()[:length]
        self.came.set()
        if self.bytes.startswith(b"fail"):
            raise RuntimeError("as asked")

    def data_received(self, data: bytes) -> None:  # before the transport was paused
        self.bytes += data
        self.came.set()

    def cut(self, why: str) -> None:
        self.cuts.append(why)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.inlet.close()
        self.lost.set()


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.setblocking(False)
    return ours, theirs


async def reader_of(connection: socket.socket) -> Reader:
    reader = Reader()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: reader, connection)
    await asyncio.sleep(0)
    return reader


def test_all_that_comes_is_read_to_the_end(loop: asyncio.Runner) -> None:
    async def read() -> None:
        peer, connection = pair()
        reader = await reader_of(connection)
        await asyncio.to_thread(peer.sendall, DATA)
        peer.shutdown(socket.SHUT_WR)
        await reader.lost.wait()
        assert reader.bytes == DATA
        assert peer.recv(1) == b""  # no other name of the socket keeps the connection open
        peer.close()
        assert reader.cuts == []

    loop.run(asyncio.wait_for(read(), 10))


def test_nothing_is_read_while_paused(loop: asyncio.Runner) -> None:
    async def read() -> None:
        peer, connection = pair()
        reader = await reader_of(connection)
        reader.inlet.pause()
        peer.sendall(b"more")
        for _ in range(20):
            await asyncio.sleep(0)
        assert reader.bytes == b""
        reader.inlet.resume()
        await reader.came.wait()
        assert reader.bytes == b"more"
        peer.close()
        await reader.lost.wait()

    loop.run(asyncio.wait_for(read(), 10))


@pytest.mark.parametrize(("before", "rounds"), [(b"", 8), (DATA, 8), (DATA, 1)])
def test_a_reset_is_told_behind_what_came_before_it(
    loop: asyncio.Runner, before: bytes, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop stops watching a socket that has failed, though there is more to read."""
    monkeypatch.setattr(inlet, "ROUNDS", rounds)

    async def read() -> None:
        peer, connection = pair()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * len(DATA))
        reader = await reader_of(connection)
        reader.inlet.pause()
        await asyncio.to_thread(peer.sendall, before)
        while struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4))) != (0,):
            await asyncio.sleep(0.001)  # a reset takes back what the other side does not have
        reader.inlet.resume()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await reader.lost.wait()
        (why,) = reader.cuts
        assert why.startswith("connection lost: Connection reset by peer")
        assert reader.bytes == before

    loop.run(asyncio.wait_for(read(), 10))


def test_who_fails_is_cut_off(loop: asyncio.Runner, caplog: pytest.LogCaptureFixture) -> None:
    async def read() -> None:
        peer, connection = pair()
        reader = await reader_of(connection)
        peer.sendall(b"fail")
        await reader.lost.wait()
        assert reader.cuts == ["internal error"]
        peer.close()

    loop.run(asyncio.wait_for(read(), 10))
    assert "as asked" in caplog.text


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_a_descriptor_to_spare_the_connection_is_closed(loop: asyncio.Runner) -> None:
    async def read() -> None:
        peer, connection = pair()
        association = Association(Machine(acceptor=True), DimseSettings(), Landing())
        with no_descriptors_left():
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: association, connection
            )
        await association.closed
        assert association.lost == "cannot be read from: [Errno 24] Too many open files"
        peer.close()

    loop.run(asyncio.wait_for(read(), 10))
