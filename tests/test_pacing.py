"""A connection within one machine is not paced, any other is left as the system has it."""

import socket
from contextlib import contextmanager
from pathlib import Path

import pytest

from vna.pacing import unpace

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@contextmanager
def accepted(address, how):
    """Give a connection that `address` accepted from 127.0.0.1, sending by `how`."""
    with socket.socket() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, how)
        listener.bind((address, 0))
        listener.listen()
        with socket.socket() as client:
            client.bind(("127.0.0.1", 0))
            client.connect(listener.getsockname())
            connection, _ = listener.accept()
            with connection:
                yield connection


def sends_by(connection):
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


@pytest.mark.skipif("bbr" not in AVAILABLE.read_text().split(), reason="this kernel has no BBR")
@pytest.mark.parametrize(
    ("address", "then"), [("127.0.0.1", b"reno"), ("127.0.0.2", b"bbr")], ids=["own", "other"]
)
def test_only_between_a_machine_and_itself_bbr_gives_way(address, then):
    with accepted(address, b"bbr") as connection:
        unpace(connection)
        assert sends_by(connection) == then


def test_what_does_not_pace_stays():
    default = AVAILABLE.with_name("tcp_congestion_control").read_text().strip()
    for how in {"reno", default} - {"bbr"}:
        with accepted("127.0.0.1", how.encode()) as connection:
            unpace(connection)
            assert sends_by(connection) == how.encode()


def test_a_connection_that_is_lost_is_no_error():
    with accepted("127.0.0.1", b"reno") as connection:
        connection.close()
        unpace(connection)
