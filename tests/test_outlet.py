"""What is written through an outlet arrives whole and in order, whatever waits and whoever leaves."""

import asyncio
import errno
import logging
import random
import socket
import time
from pathlib import Path

import pytest
import uvloop

import vna.outlet
from vna._native import send_now
from vna.outlet import Outlet

LARGE = 24 << 20
"""More than the kernel takes for a peer that does not read."""


class Protocol(asyncio.Protocol):
    """Writes through an outlet, and remembers what it is told."""

    def __init__(self):
        self.told = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.outlet = Outlet(transport, self)

    def data_received(self, data):
        self.told.append(data)

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")

    def eof_received(self):
        return self.outlet.eof_received()

    def connection_lost(self, exc):
        self.outlet.lost()
        self.lost.set_result(exc)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def attend(request, connected):
    """Run a coroutine with a protocol on the first end of a connection, and the other end."""
    out, peer = connected
    peer.setblocking(False)

    def attend(play):
        async def run():
            loop = asyncio.get_running_loop()
            _, protocol = await loop.connect_accepted_socket(Protocol, out)
            await asyncio.wait_for(play(protocol, peer), 60)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(run())

    return attend


async def received(peer, count=None):
    """Return so many bytes that a peer receives, or all up to the end."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while count is None or len(data) < count:
        more = await loop.sock_recv(peer, 1 << 20 if count is None else count - len(data))
        if not more:
            assert count is None, "the connection has ended"
            break
        data += more
    return bytes(data)


def test_pieces_of_all_sizes_arrive_in_order(attend):
    noise = random.Random(1)
    sizes = [0, 1, 7, 1000, 70_000, 700_000]
    runs = [
        [noise.randbytes(noise.choice(sizes)) for _ in range(noise.choice([1, 3, 2000]))]
        for _ in range(6)
    ]
    whole = b"".join(b"".join(run) for run in runs)

    async def play(protocol, peer):
        for run in runs:
            protocol.outlet.writelines(run)
            protocol.outlet.write(b"")
        assert protocol.outlet.get_write_buffer_size() > 0, "not all went at once"
        assert await received(peer, len(whole)) == whole
        assert protocol.outlet.get_write_buffer_size() == 0
        assert protocol.told == ["pause", "resume"]
        protocol.outlet.write(b"more")
        assert await received(peer, 4) == b"more"
        assert protocol.told == ["pause", "resume"]
        protocol.outlet.close()
        assert await received(peer) == b""
        assert await protocol.lost is None

    attend(play)


def test_what_waits_in_many_pieces_costs_no_more_for_each(attend):
    count = 60_000

    async def play(protocol, peer):
        protocol.outlet.write(bytes(LARGE))
        begin = time.thread_time()
        for number in range(count):
            protocol.outlet.write(b"%06d" % number)
        assert await received(peer, LARGE) == bytes(LARGE)
        assert await received(peer, 6 * count) == b"".join(b"%06d" % n for n in range(count))
        took = time.thread_time() - begin
        protocol.outlet.close()
        await protocol.lost
        assert took < 2

    attend(play)


def test_the_writer_is_held_back_by_its_own_limit(attend):
    async def play(protocol, peer):
        protocol.outlet.set_write_buffer_limits(high=2 * LARGE)
        protocol.outlet.write(bytes(LARGE))
        assert protocol.told == []
        protocol.outlet.set_write_buffer_limits()
        protocol.outlet.write(b"x")
        assert protocol.told == ["pause"]
        assert await received(peer, LARGE + 1) == bytes(LARGE) + b"x"
        assert protocol.told == ["pause", "resume"]
        protocol.outlet.abort()
        await protocol.lost

    attend(play)


def test_all_leaves_before_it_closes_and_nothing_behind(attend):
    async def play(protocol, peer):
        protocol.outlet.write(b"a" * LARGE)
        protocol.outlet.close()
        protocol.outlet.close()
        assert protocol.outlet.is_closing()
        protocol.outlet.write(b"b")
        protocol.outlet.resume_reading()
        assert await received(peer) == b"a" * LARGE
        assert await protocol.lost is None
        assert protocol.told == ["pause", "resume"]
        protocol.outlet.write(b"b")
        protocol.outlet.close()

    attend(play)


@pytest.mark.parametrize("size", [0, LARGE])
def test_a_peer_that_sends_no_more_still_gets_what_was_written(attend, size):
    async def play(protocol, peer):
        protocol.outlet.write(b"a" * size)
        peer.shutdown(socket.SHUT_WR)
        assert await received(peer) == b"a" * size
        assert await protocol.lost is None

    attend(play)


def test_a_peer_that_leaves_ends_it(attend):
    async def play(protocol, peer):
        protocol.outlet.write(bytes(LARGE))
        peer.close()  # with something unread: that is a reset
        await protocol.lost
        assert protocol.outlet.get_write_buffer_size() == 0
        protocol.outlet.write(b"nobody is there")

    attend(play)


def test_what_ends_it_but_for_its_peer_is_logged(attend, monkeypatch, caplog):
    def none_left(descriptor):
        raise OSError(errno.EMFILE, "Too many open files")

    async def play(protocol, peer):
        monkeypatch.setattr(vna.outlet.os, "dup", none_left)
        protocol.outlet.write(bytes(LARGE))
        await protocol.lost
        assert protocol.outlet.failed.errno == errno.EMFILE
        assert "cannot be written to: [Errno 24] Too many open files" in caplog.text

    caplog.set_level(logging.INFO)
    attend(play)


def test_an_end_at_once_drops_what_waits(attend):
    async def play(protocol, peer):
        protocol.outlet.write(bytes(LARGE))
        protocol.outlet.abort()
        await protocol.lost
        assert len(await received(peer)) < LARGE

    attend(play)


def test_no_descriptor_is_left(attend):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    async def play(protocol, peer):
        before = opened()
        for _ in range(3):
            protocol.outlet.write(bytes(LARGE))
            await received(peer, LARGE)
        assert opened() <= before + 1
        protocol.outlet.close()
        await protocol.lost
        await asyncio.sleep(0)
        assert opened() < before

    attend(play)


def test_what_cannot_be_sent_to_is_an_error(connected):
    out, peer = connected
    peer.close()
    out.setblocking(True)
    assert out.recv(1) == b""
    assert send_now(out.fileno(), [b"answered by a reset"]) == 19
    with pytest.raises(OSError, match=r"Broken pipe|reset"):
        send_now(out.fileno(), [b"x"])


def test_bytes_with_others_between_are_refused(connected):
    out, _ = connected
    with pytest.raises(BufferError, match="not contiguous"):
        send_now(out.fileno(), [memoryview(b"abcdefgh")[::-1]])
