"""The bytes of the DICOM upper layer and of DIMSE commands that a load generator needs.

Written for this room alone: what measures a server shares no code with it. PS3.8 9.3, PS3.7 6.3, E.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

__all__ = [
    "ABORT",
    "ASSOCIATE_AC",
    "ASSOCIATE_RJ",
    "ASSOCIATE_RQ",
    "DATA",
    "IMPLICIT_VR_LE",
    "NO_DATA_SET",
    "RELEASE",
    "RELEASE_RP",
    "RELEASE_RQ",
    "accept",
    "accepted",
    "command_set",
    "data_pdus",
    "elements",
    "proposed",
    "request",
    "status_of",
    "value_of",
]

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, DATA, RELEASE, RELEASED, ABORT = range(1, 8)
RELEASE_RQ = b"\x05\0\0\0\0\4\0\0\0\0"
RELEASE_RP = b"\x06\0\0\0\0\4\0\0\0\0"
IMPLICIT_VR_LE = "1.2.840.10008.1.2"
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
IMPLEMENTATION = b"1.2.826.0.1.3680043.10.1559.9"
NO_DATA_SET = 0x0101
LAST, COMMAND = 2, 1
WINDOW = 8
"""C-STOREs that the bench performs at once, from who agrees on that (PS3.7 D.3.3.3)."""
HEAD = 12
"""Bytes before the data of a P-DATA-TF PDU with one presentation data value."""


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _title(ae_title: str) -> bytes:
    return ae_title.encode("ascii").ljust(16)


def request(
    called: str,
    calling: str,
    contexts: Mapping[int, tuple[str, Iterable[str]]],
    max_pdu_length: int,
    scp_of: Iterable[str] = (),
) -> bytes:
    """Return an A-ASSOCIATE-RQ; `scp_of` are SOP classes whose SCP the requestor is (C-GET).

    With such it proposes asynchronous operations.
    """
    items = _item(0x10, APPLICATION_CONTEXT)
    for number, (abstract, syntaxes) in contexts.items():
        value = bytes([number, 0, 0, 0]) + _item(0x30, abstract.encode())
        items += _item(0x20, value + b"".join(_item(0x40, s.encode()) for s in syntaxes))
    roles = [
        _item(0x54, struct.pack(">H", len(uid)) + uid.encode() + b"\0\1")
        for uid in dict.fromkeys(scp_of)
    ]
    window = _window(1, WINDOW) if roles else b""
    items += _item(0x50, _user_information(max_pdu_length) + window + b"".join(roles))
    body = b"\0\1\0\0" + _title(called) + _title(calling) + bytes(32) + items
    return struct.pack(">BxI", ASSOCIATE_RQ, len(body)) + body


def _user_information(max_pdu_length: int) -> bytes:
    return _item(0x51, struct.pack(">I", max_pdu_length)) + _item(0x52, IMPLEMENTATION)


def _window(invoked: int, performed: int) -> bytes:
    return _item(0x53, struct.pack(">HH", invoked, performed))


def _items(data: bytes) -> Iterable[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def accepted(body: bytes) -> tuple[dict[int, str], int]:
    """Return the accepted contexts' transfer syntaxes, and the peer's maximum length (0: none)."""
    syntaxes: dict[int, str] = {}
    length = 0
    for kind, value in _items(body[68:]):
        if kind == 0x21 and value[2] == 0:
            for inner, uid in _items(value[4:]):
                if inner == 0x40:
                    syntaxes[value[0]] = uid.rstrip(b"\0 ").decode()
        elif kind == 0x50:
            for inner, part in _items(value):
                if inner == 0x51:
                    (length,) = struct.unpack(">I", part)
    return syntaxes, length


def proposed(body: bytes) -> tuple[dict[int, list[str]], int]:
    """Return each proposed context's transfer syntaxes, and the peer's maximum length."""
    contexts: dict[int, list[str]] = {}
    length = 0
    for kind, value in _items(body[68:]):
        if kind == 0x20:
            contexts[value[0]] = [
                uid.rstrip(b"\0 ").decode() for inner, uid in _items(value[4:]) if inner == 0x40
            ]
        elif kind == 0x50:
            for inner, part in _items(value):
                if inner == 0x51:
                    (length,) = struct.unpack(">I", part)
    return contexts, length


def invoked(body: bytes) -> int | None:
    """Return how many operations a request proposes to invoke at once (0: any); None for silence."""
    for kind, value in _items(body[68:]):
        if kind == 0x50:
            for inner, part in _items(value):
                if inner == 0x53:
                    return int.from_bytes(part[:2])
    return None


def accept(body: bytes, choice: Mapping[int, str], max_pdu_length: int) -> bytes:
    """Return the A-ASSOCIATE-AC that answers the request `body` with a syntax per context."""
    items = _item(0x10, APPLICATION_CONTEXT)
    for number, syntax in choice.items():
        items += _item(0x21, bytes([number, 0, 0, 0]) + _item(0x40, syntax.encode()))
    asked = invoked(body)
    window = b"" if asked is None else _window(min(asked or WINDOW, WINDOW), 1)
    items += _item(0x50, _user_information(max_pdu_length) + window)
    answer = b"\0\1\0\0" + body[4:68] + items
    return struct.pack(">BxI", ASSOCIATE_AC, len(answer)) + answer


def elements(values: Mapping[int, str | int | bytes]) -> bytes:
    """Return elements in Implicit VR Little Endian, sorted by tag; numbers are US."""
    encoded = b""
    for tag in sorted(values):
        value = values[tag]
        if isinstance(value, int):
            data = struct.pack("<H", value)
        elif isinstance(value, str):
            data = value.encode()
            if len(data) % 2:
                data += b"\0" if value[0].isdigit() and "." in value else b" "
        else:
            data = value
        encoded += struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(data)) + data
    return encoded


def command_set(values: Mapping[int, str | int | bytes]) -> bytes:
    """Return a command set with its group length."""
    rest = elements(values)
    return struct.pack("<HHII", 0, 0, 4, len(rest)) + rest


def data_pdus(context: int, data: bytes, fragment: int, *, command: bool = False) -> bytearray:
    """Return `data` as P-DATA-TF PDUs of one value each, at most `fragment` bytes of data."""
    pdus = bytearray()
    kind = COMMAND if command else 0
    for start in range(0, max(len(data), 1), fragment):
        part = data[start : start + fragment]
        last = LAST if start + fragment >= len(data) else 0
        pdus += struct.pack(">BxIIBB", DATA, len(part) + 6, len(part) + 2, context, kind | last)
        pdus += part
    return pdus


def value_of(command: bytes, element: int) -> bytes:
    """Return the value of an element (0000,gggg) of a command set, empty when it has none."""
    at = 0
    while at + 8 <= len(command):
        found, size = struct.unpack_from("<HI", command, at + 2)
        if found == element:
            return command[at + 8 : at + 8 + size]
        at += 8 + size
    return b""


def status_of(command: bytes) -> int:
    """Return the Status (0000,0900) of a response; -1 when it has none."""
    found = value_of(command, 0x0900)
    return int.from_bytes(found, "little") if found else -1
