"""DIMSE statuses (PS3.7 C, PS3.4 B.2.3, C.4), and the one table from error kind to status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from vna.dimse.commands import CommandField
from vna.errors import (
    Busy,
    Conflict,
    Corrupt,
    Deleted,
    Denied,
    Full,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
    VnaError,
)

__all__ = ["Failure", "Refused", "Status", "failure", "kind_of"]

COMMENT_LENGTH: Final = 64
"""Error Comment (0000,0902) is a single LO."""


class Status(IntEnum):
    """The statuses that this archive sends."""

    SUCCESS = 0x0000
    NOT_AUTHORIZED = 0x0124
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    UNRECOGNIZED_OPERATION = 0x0211
    OUT_OF_RESOURCES = 0xA700
    CANNOT_COUNT = 0xA701
    CANNOT_PERFORM = 0xA702
    DESTINATION_UNKNOWN = 0xA801
    DOES_NOT_MATCH = 0xA900
    SOME_FAILED = 0xB000
    DATA_SET_ODD = 0xB007
    CANNOT_UNDERSTAND = 0xC000
    CANCELLED = 0xFE00
    PENDING = 0xFF00
    PENDING_KEYS_UNSUPPORTED = 0xFF01


StatusKind: TypeAlias = Literal["success", "pending", "warning", "cancel", "failure"]


def kind_of(status: int | None) -> StatusKind:
    """Return the class of a status (PS3.7 C)."""
    match status:
        case Status.SUCCESS:
            return "success"
        case Status.PENDING | Status.PENDING_KEYS_UNSUPPORTED:
            return "pending"
        case Status.CANCELLED:
            return "cancel"
        case int() if status >> 12 == 0xB:
            return "warning"
        case _:
            return "failure"


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failed operation answers: status, Error Comment, Offending Element."""

    status: int
    comment: str
    offending: tuple[int, ...] = ()


class Refused(Exception):  # an answer on its way to the peer, not a fault
    """Ends an operation with that answer."""

    def __init__(self, status: int, comment: str, offending: tuple[int, ...] = ()) -> None:
        super().__init__(comment)
        self.failure = Failure(status, comment[:COMMENT_LENGTH], offending)


_ANY: Final[dict[type[VnaError], int]] = {
    NotFound: Status.DOES_NOT_MATCH,
    Deleted: Status.DOES_NOT_MATCH,
    Conflict: Status.DOES_NOT_MATCH,
    Invalid: Status.DOES_NOT_MATCH,
    Unsupported: Status.DOES_NOT_MATCH,
    Denied: Status.NOT_AUTHORIZED,
    Busy: Status.OUT_OF_RESOURCES,
    Full: Status.OUT_OF_RESOURCES,
    Unavailable: Status.OUT_OF_RESOURCES,
    Corrupt: Status.CANNOT_UNDERSTAND,
    VnaError: Status.CANNOT_UNDERSTAND,
}
_RETRIEVE: Final = _ANY | dict.fromkeys((Busy, Full, Unavailable), Status.CANNOT_COUNT)
TABLE: Final[dict[CommandField, dict[type[VnaError], int]]] = {
    CommandField.C_ECHO: _ANY,
    CommandField.C_STORE: _ANY
    | {Invalid: Status.CANNOT_UNDERSTAND, Unsupported: Status.SOP_CLASS_NOT_SUPPORTED},
    CommandField.C_FIND: _ANY,
    CommandField.C_MOVE: _RETRIEVE,
    CommandField.C_GET: _RETRIEVE,
}
"""Status by verb and error kind; an error that is not listed answers as the nearest kind above it."""


def failure(verb: CommandField, error: VnaError) -> Failure:
    """Return the answer for an error of the archive."""
    statuses = TABLE[verb]
    kind = next(kind for kind in type(error).__mro__ if kind in statuses)
    return Failure(statuses[kind], str(error)[:COMMENT_LENGTH])
