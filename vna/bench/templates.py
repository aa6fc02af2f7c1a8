"""Objects ready to send: encoded once, then only their UIDs and a few values overwritten in place."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import msgspec

from vna.bench import upper_layer
from vna.bench.stock import PLACEHOLDER, study_values, values

__all__ = ["Sendable", "Template", "multipart", "store_message"]

PIXEL_DATA = b"\xe0\x7f\x10\x00"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
BOUNDARY = b"vna-bench-part"
Slot = tuple[int, int, int]
"""Where a piece of a value lies: offset in the buffer, first and last + 1 octet of the value."""


class Template(msgspec.Struct, frozen=True):
    """One object as a data set without File Meta Information, with placeholders.

    `stamps` are offsets of 8 octets in the pixel data, one in each frame that should be unlike
    any other.
    """

    modality: str
    sop_class: str
    transfer_syntax: str
    data: bytes
    frames: int = 1
    stamps: tuple[int, ...] = ()

    @property
    def frame_octets(self) -> int:
        """How long each frame is; 0 where frames of one object may differ."""
        if self.frames > 1 and self.transfer_syntax not in NATIVE:
            return 0
        return (len(self.data) - max(self.data.rfind(PIXEL_DATA), 0)) // self.frames

    def places(self) -> dict[str, list[int]]:
        """Return the offsets of each placeholder in the data set; values before the pixels only."""
        return find_places(self.data, max(self.data.find(PIXEL_DATA), 0) or len(self.data)) | {
            "stamp": list(self.stamps)
        }

    def part10(self) -> bytes:
        """Return the object as a DICOM file (PS3.10 7.1)."""
        meta = {
            (0x0001, b"OB"): b"\0\1",
            (0x0002, b"UI"): self.sop_class.encode(),
            (0x0003, b"UI"): PLACEHOLDER["sop"],
            (0x0010, b"UI"): self.transfer_syntax.encode(),
            (0x0012, b"UI"): upper_layer.IMPLEMENTATION,
        }
        group = b""
        for (element, vr), value in meta.items():
            even = value + b"\0" * (len(value) % 2)
            head = struct.pack("<HH2s", 2, element, vr)
            long = struct.pack("<HI", 0, len(even)) if vr == b"OB" else struct.pack("<H", len(even))
            group += head + long + even
        length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(group))
        return bytes(128) + b"DICM" + length + group + self.data


def find_places(data: bytes, end: int) -> dict[str, list[int]]:
    """Return where each placeholder lies in `data[:end]`; the longest match counts."""
    found: dict[str, list[int]] = {}
    covered: list[tuple[int, int]] = []
    for field, token in sorted(PLACEHOLDER.items(), key=lambda item: -len(item[1])):
        found[field] = []
        if field == "stamp":
            continue
        at = data.find(token, 0, end)
        while at >= 0:
            if not any(first <= at < last for first, last in covered):
                found[field].append(at)
                covered.append((at, at + len(token)))
            at = data.find(token, at + 1, end)
    return found


class Sendable:
    """A buffer that becomes one instance after the other; `pieces` are what to write one by one."""

    def __init__(self, buffer: bytearray, slots: Mapping[str, Sequence[Slot]]) -> None:
        self.buffer = buffer
        self.pieces: list[memoryview] = []
        self._slots = slots
        self._study = (-1, -1)

    def become(self, run: int, study: int, instance: int) -> None:
        """Overwrite what tells an instance from another."""
        if self._study != (run, study):
            self._study = (run, study)
            self._write(study_values(run, study))
        self._write(values(run, study, instance))

    def _write(self, found: Mapping[str, bytes]) -> None:
        for field, value in found.items():
            for at, start, end in self._slots[field]:
                self.buffer[at : at + end - start] = value[start:end]


def _slot(offset: int, size: int, fragment: int, head: int) -> list[Slot]:
    """Return where `size` octets at `offset` of the data end up between the heads of fragments."""
    slots = []
    start = 0
    while start < size:
        number, within = divmod(offset + start, fragment)
        end = min(size, start + fragment - within)
        slots.append((number * (fragment + head) + head + within, start, end))
        start = end
    return slots


def store_message(template: Template, context: int, max_pdu_length: int) -> Sendable:
    """Return a whole C-STORE request as P-DATA-TF PDUs (PS3.7 9.3.1), as large as the peer takes."""
    command = upper_layer.command_set(
        {
            0x0000_0002: template.sop_class,
            0x0000_0100: 0x0001,
            0x0000_0110: 1,
            0x0000_0700: 0,
            0x0000_0800: 0x0000,
            0x0000_1000: PLACEHOLDER["sop"] + b"\0" * (len(PLACEHOLDER["sop"]) % 2),
        }
    )
    fragment = (max_pdu_length or 1 << 20) - 6
    head = upper_layer.data_pdus(context, command, fragment, command=True)
    body = upper_layer.data_pdus(context, template.data, fragment)
    slots = {
        field: [
            (len(head) + at, start, end)
            for offset in offsets
            for at, start, end in _slot(offset, len(PLACEHOLDER[field]), fragment, upper_layer.HEAD)
        ]
        for field, offsets in template.places().items()
    }
    sop = PLACEHOLDER["sop"]
    slots["sop"].append((head.find(sop), 0, len(sop)))
    made = Sendable(head + body, slots)
    made.pieces = _as_stock_senders_write(made.buffer)
    return made


def _as_stock_senders_write(buffer: bytearray) -> list[memoryview]:
    """Return the writes of a DCMTK sender: of each PDU the head, then what it carries."""
    view = memoryview(buffer)
    pieces = []
    at = 0
    while at < len(buffer):
        (size,) = struct.unpack_from(">I", buffer, at + 2)
        pieces += [view[at : at + upper_layer.HEAD], view[at + upper_layer.HEAD : at + 6 + size]]
        at += 6 + size
    return pieces


def multipart(templates: Sequence[Template]) -> tuple[list[Sendable], bytes]:
    """Return the parts of a STOW-RS request body (PS3.18 10.5), and what ends it."""
    head = b"\r\n--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
    parts = []
    for template in templates:
        file = template.part10()
        ahead = len(head) + len(file) - len(template.data)
        slots = {
            field: [(ahead + at, 0, len(PLACEHOLDER[field])) for at in offsets]
            for field, offsets in template.places().items()
        }
        sop = PLACEHOLDER["sop"]
        slots["sop"].append((len(head) + file.find(sop), 0, len(sop)))
        parts.append(Sendable(bytearray(head + file), slots))
    return parts, b"\r\n--" + BOUNDARY + b"--\r\n"
