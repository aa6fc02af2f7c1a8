"""The command set of a DIMSE message (PS3.7 E): Implicit VR Little Endian elements of group 0000.

The native codec knows the elements from here, and every message passes through it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from vna._native import CommandSet, ProtocolError

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


_NAMES: Final = {int(field): field.name.replace("_", "-") for field in CommandField}


def name_of(field: int) -> str:
    """Return a request's name as the standard writes it, such as C-STORE."""
    return _NAMES.get(field) or f"command {field:04X}"


class Command(msgspec.Struct, kw_only=True):
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


_SET: Final = CommandSet(
    [
        (0x0002, "affected_sop_class", "UI"),
        (0x0003, "requested_sop_class", "UI"),
        (0x0100, "field", "US"),
        (0x0110, "message_id", "US"),
        (0x0120, "responded_to", "US"),
        (0x0600, "move_destination", "AE"),
        (0x0700, "priority", "US"),
        (0x0800, "data_set_type", "US"),
        (0x0900, "status", "US"),
        (0x0901, "offending", "AT"),
        (0x0902, "comment", "LO"),
        (0x1000, "affected_sop_uid", "UI"),
        (0x1001, "requested_sop_uid", "UI"),
        (0x1020, "remaining", "US"),
        (0x1021, "completed", "US"),
        (0x1022, "failed", "US"),
        (0x1023, "warning", "US"),
        (0x1030, "originator", "AE"),
        (0x1031, "originator_id", "US"),
    ]
)
"""Element number of group 0000 (PS3.7 E.1), attribute of `Command`, VR."""


def decode(data: bytes) -> Command:
    """Read a command set; elements that no C-service uses are passed over. Raises ProtocolError."""
    found = _SET.values(data)
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
    return _SET.encode(command)
