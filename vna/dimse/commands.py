"""The command set of a DIMSE message (PS3.7 E): Implicit VR Little Endian elements of group 0000.

A codec of its own, as every message passes through it: a C-STORE-RQ is read in some 10 µs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from vna._native import ProtocolError

__all__ = ["NO_DATA_SET", "Command", "CommandField", "decode", "encode", "name_of"]

NO_DATA_SET: Final = 0x0101
WITH_DATA_SET: Final = 0x0001
RESPONSE: Final = 0x8000


class CommandField(IntEnum):
    """Command Field (0000,0100) of the requests; a response has the top bit set as well."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF


def name_of(field: int) -> str:
    """Return a request's name as the standard writes it, such as C-STORE."""
    try:
        return CommandField(field).name.replace("_", "-")
    except ValueError:
        return f"command {field:04X}"


@dataclass(slots=True, kw_only=True)
class Command:
    """One command set. Text is empty and a number None where the element is absent."""

    field: int
    message_id: int | None = None
    responded_to: int | None = None
    affected_sop_class: str = ""
    requested_sop_class: str = ""
    affected_sop_uid: str = ""
    requested_sop_uid: str = ""
    priority: int | None = None
    data_set_type: int = NO_DATA_SET
    status: int | None = None
    offending: tuple[int, ...] = ()
    comment: str = ""
    move_destination: str = ""
    originator: str = ""
    originator_id: int | None = None
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None

    @property
    def is_response(self) -> bool:
        """Whether it answers a request."""
        return bool(self.field & RESPONSE)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self.data_set_type != NO_DATA_SET


_ELEMENTS: Final = {
    0x0002: ("affected_sop_class", "UI"),
    0x0003: ("requested_sop_class", "UI"),
    0x0100: ("field", "US"),
    0x0110: ("message_id", "US"),
    0x0120: ("responded_to", "US"),
    0x0600: ("move_destination", "AE"),
    0x0700: ("priority", "US"),
    0x0800: ("data_set_type", "US"),
    0x0900: ("status", "US"),
    0x0901: ("offending", "AT"),
    0x0902: ("comment", "LO"),
    0x1000: ("affected_sop_uid", "UI"),
    0x1001: ("requested_sop_uid", "UI"),
    0x1020: ("remaining", "US"),
    0x1021: ("completed", "US"),
    0x1022: ("failed", "US"),
    0x1023: ("warning", "US"),
    0x1030: ("originator", "AE"),
    0x1031: ("originator_id", "US"),
}
"""Element number of group 0000, ascending (PS3.7 E.1): attribute of `Command`, VR."""

_HEADER: Final = struct.Struct("<HHI")
_SHORT: Final = struct.Struct("<HHIH")


def decode(data: bytes) -> Command:
    """Read a command set; elements that no C-service uses are passed over. Raises ProtocolError."""
    found: dict[str, Any] = {}
    at, end = 0, len(data)
    while at < end:
        if end - at < 8:
            raise ProtocolError("command set is cut short")
        group, element, length = _HEADER.unpack_from(data, at)
        at += 8
        if group != 0 or length > end - at:
            raise ProtocolError(f"command set is broken at ({group:04X},{element:04X})")
        known = _ELEMENTS.get(element)
        if known is not None:
            found[known[0]] = _value(known[1], data[at : at + length])
        at += length
    if found.get("field") is None or "data_set_type" not in found:
        raise ProtocolError("command set without Command Field or Command Data Set Type")
    if found["field"] & RESPONSE or found["field"] == CommandField.C_CANCEL:
        if found.get("responded_to") is None:
            raise ProtocolError("response without Message ID Being Responded To")
    elif found.get("message_id") is None:
        raise ProtocolError("request without Message ID")
    return Command(**found)


def encode(command: Command) -> bytes:
    """Return a command set, group length first."""
    parts = []
    for element, (name, vr) in _ELEMENTS.items():
        value = getattr(command, name)
        if value is None or value in {"", ()}:
            continue
        if vr == "US":
            parts.append(_SHORT.pack(0, element, 2, value))
            continue
        if vr == "AT":
            raw = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in value)
        else:
            raw = value.encode("ascii", "replace")
        if len(raw) % 2:
            raw += b"\0" if vr == "UI" else b" "
        parts.append(_HEADER.pack(0, element, len(raw)) + raw)
    body = b"".join(parts)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _value(vr: str, raw: bytes) -> str | int | tuple[int, ...] | None:
    if vr == "US":
        return int.from_bytes(raw, "little") if len(raw) == 2 else None
    if vr == "AT":
        words = struct.unpack(f"<{len(raw) // 4 * 2}H", raw[: len(raw) // 4 * 4])
        return tuple(high << 16 | low for high, low in zip(words[::2], words[1::2], strict=True))
    return raw.decode("ascii", "replace").strip("\0 ")
