"""One TCP connection of a lane: few system calls, no copy that is not needed."""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections.abc import Generator, Sequence
from typing import TypeAlias

from vna.bench.reactor import Reactor, Wait

__all__ = ["Bytes", "Connection", "Failed"]

Bytes: TypeAlias = bytes | bytearray | memoryview

BUFFER_BYTES = 1 << 16
UNSEEN = mmap.mmap(-1, 1 << 26)
"""Where bytes go that nobody looks at: with MSG_TRUNC the kernel drops them and never writes here."""


class Failed(Exception):
    """An operation failed: the peer closed, refused, or answered with an error."""


class Connection:
    """A non-blocking socket with a small read buffer.

    The methods that wait are generators (see `vna.bench.reactor`) and raise OSError or Failed.
    """

    __slots__ = ("_buffer", "_end", "_number", "_sock", "_start", "_view", "received", "sent")

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        reactor.watch(sock)
        self._sock = sock
        self._number = sock.fileno()
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self.sent = self.received = 0

    @classmethod
    def open(
        cls, reactor: Reactor, address: tuple[str, int], *, nodelay: bool = True
    ) -> Generator[Wait, None, Connection]:
        """Connect; with `nodelay` off, the kernel's Nagle algorithm holds small writes back."""
        family, _, _, _, found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        connection = cls(reactor, sock)
        error = sock.connect_ex(found)
        try:
            while error == errno.EINPROGRESS:
                yield connection._number
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except BaseException:
            sock.close()
            raise
        if error:
            sock.close()
            raise OSError(error, os.strerror(error))
        return connection

    def close(self) -> None:
        """Close at once; what the kernel still holds is sent."""
        self._sock.close()

    def abort(self) -> None:
        """Close with a reset, as a peer that lost its power never even does."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._sock.close()

    @property
    def ended(self) -> bool:
        """Whether the peer has closed the connection while nothing was asked of it."""
        try:
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, data: Bytes) -> Generator[Wait, None, None]:
        """Send all of `data`."""
        try:
            done = self._sock.send(data)
        except BlockingIOError:
            done = 0
        if done < len(data):
            view = memoryview(data)
            while done < len(view):
                yield self._number
                try:
                    done += self._sock.send(view[done:])
                except BlockingIOError:
                    continue
        self.sent += len(data)

    def send_all(self, parts: Sequence[Bytes]) -> Generator[Wait, None, None]:
        """Send the parts one after the other, in as few calls as the kernel allows."""
        todo = [memoryview(part) for part in parts]
        while todo:
            try:
                done = self._sock.sendmsg(todo)
            except BlockingIOError:
                yield self._number
                continue
            self.sent += done
            while todo and done >= len(todo[0]):
                done -= len(todo.pop(0))
            if done:
                todo[0] = todo[0][done:]

    def exactly(self, size: int) -> Generator[Wait, None, memoryview]:
        """Return the next `size` bytes, a view that the next read makes stale."""
        if self._end - self._start < size:
            self._rewind()
            if size > len(self._buffer) - self._start:
                self._make_room(size)
            while self._end - self._start < size:
                yield from self._fill()
        start = self._start
        self._start = start + size
        return self._view[start : start + size]

    def until(self, mark: bytes) -> Generator[Wait, None, bytes]:
        """Return what comes before `mark`, and skip the mark."""
        self._rewind()
        searched = self._start
        while True:
            at = self._buffer.find(mark, searched, self._end)
            if at >= 0:
                found = self._buffer[self._start : at]
                self._start = at + len(mark)
                return bytes(found)
            before = self._start
            searched = max(before, self._end - len(mark) + 1)
            if self._end == len(self._buffer):
                self._make_room(self._end - self._start + 1)
                searched -= before - self._start
            yield from self._fill()

    def skip(self, size: int) -> Generator[Wait, None, None]:
        """Drop the next `size` bytes; the kernel does not even copy them."""
        held = min(size, self._end - self._start)
        self._start += held
        left = size - held
        while left:
            try:
                got = self._sock.recv_into(UNSEEN, min(left, len(UNSEEN)), socket.MSG_TRUNC)
            except BlockingIOError:
                yield self._number
                continue
            if not got:
                raise Failed("the peer closed the connection amid a message")
            self.received += got
            left -= got

    def take(self, size: int) -> Generator[Wait, None, bytearray]:
        """Return the next `size` bytes as a buffer of their own, however many."""
        found = bytearray(size)
        held = min(size, self._end - self._start)
        found[:held] = self._view[self._start : self._start + held]
        self._start += held
        with memoryview(found) as view:
            while held < size:
                try:
                    got = self._sock.recv_into(view[held:])
                except BlockingIOError:
                    yield self._number
                    continue
                if not got:
                    raise Failed("the peer closed the connection amid a message")
                self.received += got
                held += got
        return found

    def rest(self) -> Generator[Wait, None, int]:
        """Drop everything until the peer closes; return how much that was."""
        dropped = self._end - self._start
        self._start = self._end
        while True:
            try:
                got = self._sock.recv_into(UNSEEN, len(UNSEEN), socket.MSG_TRUNC)
            except BlockingIOError:
                yield self._number
                continue
            self.received += got
            dropped += got
            if not got:
                return dropped

    def _fill(self) -> Generator[Wait, None, None]:
        while True:
            try:
                got = self._sock.recv_into(self._view[self._end :])
            except BlockingIOError:
                yield self._number
                continue
            if not got:
                raise Failed("the peer closed the connection")
            self.received += got
            self._end += got
            return

    def _rewind(self) -> None:
        if self._start == self._end:
            self._start = self._end = 0

    def _make_room(self, size: int) -> None:
        held = self._buffer[self._start : self._end]
        if size > len(self._buffer):
            self._buffer = bytearray(max(size, 2 * len(self._buffer)))
            self._view = memoryview(self._buffer)
        self._buffer[: len(held)] = held
        self._start, self._end = 0, len(held)
