"""A connection within one machine is not paced, any other is left as the system has it."""

import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from vna.pacing import begin_unpaced, pace

CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
DEFAULT = CONTROL.read_text().strip().encode()
BBR = "bbr" in CONTROL.with_name("tcp_available_congestion_control").read_text().split()
ADDRESSES = pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("127.0.0.2", False)], ids=["own", "other"]
)


@contextmanager
def both(address, how):
    """Give a connection from 127.0.0.1 and the one that `address` accepted, whose sockets began by `how`."""
    with socket.socket() as listener, socket.socket() as client:
        for sock in (listener, client):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, how)
            begin_unpaced(sock)
        listener.bind((address, 0))
        listener.listen()
        client.bind(("127.0.0.1", 0))
        client.connect(listener.getsockname())
        connection, _ = listener.accept()
        with connection:
            yield client, connection


def sends_by(connection):
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


@pytest.mark.skipif(not BBR, reason="this kernel has no BBR")
@ADDRESSES
def test_all_begin_without_bbr_and_the_system_decides_between_machines(address, local):
    with both(address, b"bbr") as ends:
        for connection in ends:
            assert sends_by(connection) == b"reno"
            pace(connection)
            assert sends_by(connection) == (b"reno" if local else DEFAULT)


@pytest.mark.skipif(DEFAULT in {b"bbr", b"reno"}, reason="this system sends by what takes part")
@ADDRESSES
def test_what_does_not_pace_stays(address, local):
    with both(address, DEFAULT) as ends:
        for connection in ends:
            pace(connection)
            assert sends_by(connection) == DEFAULT


def test_a_connection_that_is_lost_is_no_error():
    with both("127.0.0.1", b"reno") as ends:
        for connection in ends:
            connection.close()
            begin_unpaced(connection)
            pace(connection)
