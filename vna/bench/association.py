"""The requestor's side of an association, for lanes: prebuilt requests, minimal reading of answers.

Every method that waits is a generator (see `vna.bench.reactor`) and raises OSError or Failed.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Mapping, Sequence

from vna.bench import upper_layer as ul
from vna.bench.connection import Connection, Failed
from vna.bench.reactor import Reactor, Wait
from vna.bench.stock import Stock
from vna.bench.target import Target
from vna.bench.templates import Sendable, Template, store_message

__all__ = [
    "ECHO",
    "FIND",
    "GET",
    "MAX_PDU_LENGTH",
    "MOVE",
    "Association",
    "Retrieved",
    "open_to_store",
    "read_command",
    "skip_data_set",
    "stored",
    "whole_study",
]

ECHO = "1.2.840.10008.1.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
"""Study Root query and retrieve (PS3.4 C.6.2)."""
MAX_PDU_LENGTH = 262_144
PENDING = (0xFF00, 0xFF01)
ANSWERS = (ul.ASSOCIATE_AC, ul.ASSOCIATE_RJ, ul.ABORT)
SMALL = 4_096
Retrieved = tuple[int, int, int]
"""What a retrieval brought: objects, octets, failed sub-operations."""


class Association:
    """An association as the bench uses one: one operation at a time."""

    def __init__(self, connection: Connection, contexts: dict[int, str], max_length: int) -> None:
        self.connection = connection
        self.contexts = contexts
        self.max_length = max_length
        self._message = 0

    @classmethod
    def open(
        cls,
        reactor: Reactor,
        target: Target,
        contexts: Mapping[int, tuple[str, Sequence[str]]],
        *,
        nodelay: bool = True,
        scp_of: Iterable[str] = (),
    ) -> Generator[Wait, None, Association]:
        """Connect and associate; Failed says why the peer would not."""
        connection = yield from Connection.open(reactor, target.address, nodelay=nodelay)
        try:
            asked = ul.request(target.ae_title, target.calling, contexts, MAX_PDU_LENGTH, scp_of)
            yield from connection.send(asked)
            head = bytes((yield from connection.exactly(6)))
            body = bytes((yield from connection.exactly(_length(target.ae_title, head))))
            accepted, length = _agreed(target.ae_title, head[0], body)
        except BaseException:
            connection.close()
            raise
        return cls(connection, accepted, length)

    def close(self) -> None:
        """Close the connection without a word."""
        self.connection.close()

    def release(self) -> Generator[Wait, None, None]:
        """Release the association and close."""
        try:
            yield from self.connection.send(ul.RELEASE_RQ)
            yield from self.connection.exactly(10)
        finally:
            self.connection.close()

    def store(self, message: Sendable, *, piecewise: bool = False) -> Generator[Wait, None, None]:
        """Send a C-STORE request and wait for its success; `piecewise` writes as DCMTK does."""
        if piecewise:
            for piece in message.pieces:
                yield from self.connection.send(piece)
        else:
            yield from self.connection.send(message.buffer)
        yield from self.acknowledged()

    def acknowledged(self) -> Generator[Wait, None, None]:
        """Wait for the response to a C-STORE request; Failed unless it is a success or warning."""
        status = ul.status_of((yield from self._command()))
        if status and status & 0xF000 != 0xB000:
            raise Failed(f"C-STORE failed with status {status:04X}")

    def echo(self, context: int) -> Generator[Wait, None, None]:
        """Verify (C-ECHO)."""
        request: dict[int, str | int | bytes] = {
            0x0002: ECHO,
            0x0100: 0x0030,
            0x0110: self._next(),
            0x0800: ul.NO_DATA_SET,
        }
        yield from self.connection.send(
            ul.data_pdus(context, ul.command_set(request), SMALL, command=True)
        )
        status = ul.status_of((yield from self._command()))
        if status:
            raise Failed(f"C-ECHO failed with status {status:04X}")

    def find(self, context: int, identifier: bytes) -> Generator[Wait, None, int]:
        """Query (C-FIND); return the number of matches."""
        yield from self._ask(context, FIND, 0x0020, identifier)
        matches = 0
        while True:
            command = yield from self._command()
            status = ul.status_of(command)
            if status not in PENDING:
                break
            yield from self._skip_data_set()
            matches += 1
        if status:
            raise Failed(f"C-FIND failed with status {status:04X}")
        return matches

    def move(
        self, context: int, identifier: bytes, destination: str
    ) -> Generator[Wait, None, Retrieved]:
        """Have objects sent to `destination` (C-MOVE); the octets are the sink's to count."""
        title = destination.encode()
        more = {0x0600: title + b" " * (len(title) % 2)}
        yield from self._ask(context, MOVE, 0x0021, identifier, more)
        command = yield from self._command()
        while ul.status_of(command) in PENDING:
            command = yield from self._command()
        return _outcome("C-MOVE", command, 0)

    def get(self, context: int, identifier: bytes) -> Generator[Wait, None, Retrieved]:
        """Have objects sent on this association (C-GET), and accept each."""
        yield from self._ask(context, GET, 0x0010, identifier)
        came = octets = 0
        while True:
            number, command = yield from self._command_on()
            if int.from_bytes(ul.value_of(command, 0x0100), "little") == 0x0001:
                octets += yield from self._skip_data_set()
                came += 1
                yield from self.connection.send(stored(number, command))
            elif ul.status_of(command) not in PENDING:
                _, _, failed = _outcome("C-GET", command, octets)
                return came, octets, failed

    def _next(self) -> int:
        self._message = self._message % 65_535 + 1
        return self._message

    def _ask(
        self,
        context: int,
        sop_class: str,
        field: int,
        identifier: bytes,
        more: Mapping[int, str | int | bytes] | None = None,
    ) -> Generator[Wait, None, None]:
        values: dict[int, str | int | bytes] = {
            0x0002: sop_class,
            0x0100: field,
            0x0110: self._next(),
            0x0700: 0,
            0x0800: 0,
        }
        command = ul.command_set(values | dict(more or {}))
        pdus = ul.data_pdus(context, command, SMALL, command=True)
        yield from self.connection.send(pdus + ul.data_pdus(context, identifier, SMALL))

    def _command(self) -> Generator[Wait, None, bytes]:
        return (yield from self._command_on())[1]

    def _command_on(self) -> Generator[Wait, None, tuple[int, bytes]]:
        """Return the next command and its presentation context."""
        found = yield from read_command(self.connection)
        assert found
        return found

    def _skip_data_set(self) -> Generator[Wait, None, int]:
        return (yield from skip_data_set(self.connection))


def _length(title: str, head: bytes) -> int:
    """Return the length of the PDU that answers a request for an association."""
    (left,) = struct.unpack(">I", head[2:])
    if head[0] not in ANSWERS or left > MAX_PDU_LENGTH:
        raise Failed(f"{title} is no DICOM peer: it answered {head!r}")
    return int(left)


def _agreed(title: str, kind: int, body: bytes) -> tuple[dict[int, str], int]:
    """Return what the peer accepted: a syntax per context, and the longest PDU that it takes."""
    if kind == ul.ASSOCIATE_RJ:
        reason = f"result {body[1]}, source {body[2]}, reason {body[3]} (PS3.8 9.3.4)"
        raise Failed(f"{title} rejected the association: {reason}")
    if kind == ul.ABORT:
        raise Failed(_ended(kind, body))
    accepted, length = ul.accepted(body)
    if not accepted:
        raise Failed(f"{title} accepted no presentation context")
    return accepted, length


def read_command(
    connection: Connection, *, at_release: bool = False
) -> Generator[Wait, None, tuple[int, bytes] | None]:
    """Return the next command and its presentation context; None where a release may come."""
    command = b""
    while True:
        kind, left = struct.unpack(">BxI", (yield from connection.exactly(6)))
        if left > MAX_PDU_LENGTH:
            raise Failed(f"a PDU of type {kind} and {left} octets where a command was due")
        body = yield from connection.exactly(left)
        if kind == ul.RELEASE and at_release:
            return None
        if kind != ul.DATA:
            raise Failed(_ended(kind, bytes(body)))
        number = body[4]
        at = flags = 0
        while at < left:
            size = int.from_bytes(body[at : at + 4])
            command += body[at + 6 : at + 4 + size]
            flags = body[at + 5]
            at += 4 + size
        if flags & ul.LAST:
            return number, command


def skip_data_set(connection: Connection) -> Generator[Wait, None, int]:
    """Read a data set and drop it; return its size."""
    octets = 0
    while True:
        kind, left = struct.unpack(">BxI", (yield from connection.exactly(6)))
        if kind != ul.DATA:
            raise Failed(_ended(kind, bytes((yield from connection.exactly(left)))))
        flags = 0
        while left:
            size, _, flags = struct.unpack(">IBB", (yield from connection.exactly(6)))
            yield from connection.skip(size - 2)
            octets += size - 2
            left -= size + 4
        if flags & ul.LAST:
            return octets


def stored(context: int, command: bytes) -> bytes:
    """Return a success for the C-STORE request `command`."""
    response: dict[int, str | int | bytes] = {
        0x0002: ul.value_of(command, 0x0002),
        0x0100: 0x8001,
        0x0120: int.from_bytes(ul.value_of(command, 0x0110), "little"),
        0x0800: ul.NO_DATA_SET,
        0x0900: 0,
        0x1000: ul.value_of(command, 0x1000),
    }
    return bytes(ul.data_pdus(context, ul.command_set(response), SMALL, command=True))


def _outcome(verb: str, command: bytes, octets: int) -> Retrieved:
    status = ul.status_of(command)
    done, failed = (int.from_bytes(ul.value_of(command, n), "little") for n in (0x1021, 0x1022))
    if status or failed:
        raise Failed(f"{verb} ended with status {status:04X}, {failed} objects failed")
    return done, octets, failed


def _ended(kind: int, body: bytes) -> str:
    if kind == ul.ABORT:
        return f"the peer aborted: source {body[2]}, reason {body[3]} (PS3.8 9.3.8)"
    return f"a PDU of type {kind} where a response was due"


def open_to_store(
    reactor: Reactor, target: Target, templates: Sequence[Template], *, nodelay: bool = True
) -> Generator[Wait, None, tuple[Association, list[Sendable]]]:
    """Associate for these objects; return the association and a message for each template."""
    kinds = list(dict.fromkeys((t.sop_class, t.transfer_syntax) for t in templates))
    contexts = {2 * n + 1: (sop, (syntax,)) for n, (sop, syntax) in enumerate(kinds)}
    association = yield from Association.open(reactor, target, contexts, nodelay=nodelay)
    numbers = {kind: 2 * n + 1 for n, kind in enumerate(kinds)}
    messages = []
    for template in templates:
        number = numbers[template.sop_class, template.transfer_syntax]
        if number not in association.contexts:
            association.close()
            raise Failed(f"{target.ae_title} does not accept {template.sop_class}")
        messages.append(store_message(template, number, association.max_length))
    return association, messages


def whole_study(stock: Stock, study: int) -> bytes:
    """Return the identifier of a retrieval of a whole study."""
    return ul.elements({0x0008_0052: "STUDY ", 0x0020_000D: stock.study(study)["study"]})
