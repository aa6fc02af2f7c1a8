"""What the supervisor hands to a worker process: one line of JSON on its standard input.

The pipe stays open after that line; its end tells the worker that the supervisor is gone. On its
standard output the worker writes `READY` once both fronts accept.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["READY", "Order", "decode_order", "encode_order"]

READY = b"ready\n"


class Order(msgspec.Struct, frozen=True):
    """A process's number, the settings as a document, the descriptors of the listeners.

    `metrics` is that of the memory for metrics; the process counts in the row of its number. `fresh`
    is that of the memory for what workers stored last, if there is any.
    """

    number: int
    document: dict[str, Any]
    dimse: int
    http: int
    metrics: int
    fresh: int | None


def encode_order(order: Order) -> bytes:
    """Return the order as a line."""
    return msgspec.json.encode(order) + b"\n"


def decode_order(line: bytes) -> Order:
    """Return the order of a line."""
    return msgspec.json.decode(line, type=Order)
