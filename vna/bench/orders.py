"""What the process that measures and its workers say to each other: length-prefixed MessagePack."""

from __future__ import annotations

from typing import IO

import msgspec

from vna.bench.stage import Load
from vna.bench.stock import Stock
from vna.bench.tally import Record
from vna.bench.target import Target
from vna.bench.templates import Template

__all__ = ["Order", "Report", "receive", "send"]


class Order(msgspec.Struct):
    """What a worker is to do: lanes `first` to `last` - 1 of a scenario."""

    scenario: str
    target: Target
    load: Load
    stock: Stock
    templates: list[Template]
    first: int
    last: int


class Report(msgspec.Struct):
    """What a worker says: first that it is ready (or why not), then what it counted."""

    failure: str = ""
    records: list[Record] = []
    errors: dict[str, int] = {}
    cpu_s: float = 0.0
    seconds: float = 0.0


def send(stream: IO[bytes], message: msgspec.Struct) -> None:
    """Write a message."""
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(8) + data)
    stream.flush()


def receive(stream: IO[bytes], kind: type[msgspec.Struct]) -> msgspec.Struct | None:
    """Read a message; None at the end of the stream."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    return msgspec.msgpack.decode(stream.read(int.from_bytes(head)), type=kind)
