"""Processes that share a listening socket: the one with fewer connections goes first."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from vna.observe import metrics
from vna.web import SharedSite, WebSettings, make_app, make_runner

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Listener:
    """A listening socket that two sites share; `fail` has the next accept fail."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.fail = None
        self.fileno, self.getsockname = self._socket.fileno, self._socket.getsockname
        self.close = self._socket.close

    def accept(self):
        fail, self.fail = self.fail, None
        if fail is not None:
            raise OSError(fail, "no more")
        return self._socket.accept()


@pytest.fixture
async def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
async def shared(archive, listener):
    """Start a site on the shared socket."""
    runners = []

    async def start(others_first):
        runner = make_runner(make_app(archive, WebSettings(), lambda: True))
        runners.append(runner)
        await runner.setup()
        site = SharedSite(runner, listener, others_first)
        await site.start()
        return site

    yield start
    for runner in runners:
        await runner.cleanup()


async def asked(listener):
    """Return the connection of a client that was answered."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(GET)
    assert b" 200 OK" in await reader.readuntil(b"\r\n")
    return writer


async def test_connections_are_counted(shared, listener):
    await shared(lambda: False)
    before = metrics.HTTP_CONNECTIONS.here()
    writers = [await asked(listener) for _ in range(3)]
    assert metrics.HTTP_CONNECTIONS.here() == before + 3
    for writer in writers:
        writer.close()
    while metrics.HTTP_CONNECTIONS.here() > before:
        await asyncio.sleep(0.001)


async def test_one_with_more_connections_accepts_where_no_other_does(shared, listener):
    await shared(lambda: True)
    for _ in range(3):
        (await asked(listener)).close()


async def test_one_with_fewer_goes_first(shared, listener, monkeypatch):
    monkeypatch.setattr("vna.web.site.YIELD_S", 3600.0)
    busy = await shared(lambda: True)
    client = socket.create_connection(listener.getsockname())
    while busy._timer is None:
        await asyncio.sleep(0.001)
    assert busy._task is None  # it waits, and watches the socket no more
    free = await shared(lambda: False)
    while free._task is None:
        await asyncio.sleep(0.001)
    await free._task
    assert len(free._runner.server.connections) == 1
    busy._timer.cancel()
    busy._accept()  # the time is over: the other one was first
    assert busy._task is None
    assert not busy._runner.server.connections
    client.close()


async def test_accepting_goes_on_after_the_machine_ran_out(shared, listener, monkeypatch, caplog):
    monkeypatch.setattr("vna.web.site.RETRY_S", 0.0)
    await shared(lambda: False)
    listener.fail = errno.EMFILE
    (await asked(listener)).close()
    assert "cannot accept connections" in caplog.text
    listener.fail = errno.ECONNABORTED
    (await asked(listener)).close()


async def test_a_stopped_site_accepts_no_more(shared, listener):
    site = await shared(lambda: False)
    await site.stop()
    client = socket.create_connection(listener.getsockname())
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert site._task is None
    client.close()
