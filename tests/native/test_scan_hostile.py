"""Data made to hurt: the scan ends, within bounds of memory, and says what is wrong."""

import resource
import struct
import zlib
from pathlib import Path

import pytest

from vna._native import Interest, Scan, Splitter

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
NAME = 0x0010_0010
PATIENT = struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 4) + b"A^B "


def scan(data: bytes, syntax: str = EXPLICIT, *, piece: int = 1 << 20, **limits: int) -> Scan:
    splitter = Splitter("dataset", syntax, Interest([NAME]), **limits)
    for begin in range(0, len(data), piece):
        splitter.feed(data[begin : begin + piece])
    return splitter.finish()


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("vr", [b"OW", b"UT", b"SQ", b"UN"])
@pytest.mark.parametrize("length", [0xFFFF_FFFE, 0x8000_0000, 100_000])
def test_a_length_beyond_the_end(vr: bytes, length: int) -> None:
    data = PATIENT + struct.pack("<HH2sxxL", 0x7FE1, 0x1010, vr, length) + bytes(20)
    before = resident_bytes()
    splitter = Splitter("dataset", EXPLICIT, Interest([NAME]))
    splitter.feed(data)
    assert resident_bytes() - before < 20 << 20
    found = splitter.finish()
    assert found.values == {NAME: ["A^B"]}
    assert found.length == len(data)
    assert "(7FE1,1010)" in found.problem


@pytest.mark.parametrize("vr", [b"SQ\0\0", b"UN\0\0", b""])
def test_a_million_sequences_deep(vr: bytes) -> None:
    level = (
        struct.pack("<HH", 0x0008, 0x1115) + vr + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    )
    found = scan(PATIENT + level * 1_000_000)
    assert "nested too deep" in found.problem
    assert found.values == {NAME: ["A^B"]}
    assert found.length == len(PATIENT) + len(level) * 1_000_000


def test_many_empty_items_and_sequences() -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 500_000
    data = PATIENT + struct.pack("<HH2sxxL", 0x0008, 0x1115, b"SQ", len(items)) + items
    assert scan(data).problem == ""
    empty = struct.pack("<HH2sxxL", 0x0008, 0x1115, b"SQ", 0)
    assert scan(PATIENT + empty * 500_000).problem == ""


@pytest.mark.parametrize("fill", [0xFF, 0x00, 0x41, 0xFE])
@pytest.mark.parametrize("form", ["dataset", "part10"])
def test_one_byte_all_over(fill: int, form: str) -> None:
    for front in (b"", PATIENT, bytes(128) + b"DICM", bytes(128) + b"DICM\x02\x00\x10\x00"):
        splitter = Splitter(form, None, Interest([NAME]))
        splitter.feed(front + bytes([fill]) * 100_000)
        found = splitter.finish()
        assert found.fatal or found.length + found.prefix == len(front) + 100_000


def test_the_header_is_capped() -> None:
    text = struct.pack("<HH2sxxL", 0x0010, 0x4000, b"UT", 50 << 20)
    before = resident_bytes()
    splitter = Splitter("dataset", EXPLICIT, Interest([NAME]), max_header=1 << 20)
    splitter.feed(PATIENT + text)
    piece = b"a" * (1 << 20)
    for _ in range(50):
        splitter.feed(piece)
    assert resident_bytes() - before < 20 << 20
    found = splitter.finish()
    assert found.fatal
    assert "over 1048576 bytes" in found.problem


def test_a_deflate_bomb_in_the_header() -> None:
    text = struct.pack("<HH2sxxL", 0x0010, 0x4000, b"UT", 300 << 20) + b" " * (300 << 20)
    bomb = zlib.compress(PATIENT + text, wbits=-zlib.MAX_WBITS)
    del text
    assert len(bomb) < 400_000
    found = scan(bomb, DEFLATED, max_header=1 << 20)
    assert not found.fatal
    assert "over 1048576 bytes" in found.problem
    assert found.values == {NAME: ["A^B"]}
    assert found.length == len(bomb)


def test_bulk_is_not_held() -> None:
    pixels = struct.pack("<HH2sxxL", 0x7FE0, 0x0010, b"OW", 64 << 20)
    splitter = Splitter("dataset", EXPLICIT, Interest([]))
    splitter.feed(PATIENT + pixels)
    piece = bytes(1 << 20)
    before = resident_bytes()
    for _ in range(64):
        assert splitter.feed(piece) == [(0, 0, len(piece))]
    assert resident_bytes() - before < 10 << 20
    assert splitter.finish().problem == ""


def test_millions_of_fragments() -> None:
    rows = struct.pack("<HH2sH2s", 0x0028, 0x0008, b"IS", 2, b"9 ")
    pixels = struct.pack("<HH2sxxL", 0x7FE0, 0x0010, b"OB", 0xFFFF_FFFF)
    fragment = b"\xfe\xff\x00\xe0\0\0\0\0"
    found = scan(rows + pixels + fragment * 2_000_001 + b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert (found.problem, found.frames) == ("", None)
    found = scan(
        rows.replace(b"\x02\x009 ", b"\x08\x002000000 ")
        + pixels
        + fragment * 2_000_001
        + b"\xfe\xff\xdd\xe0\0\0\0\0"
    )
    assert found.frames is not None
    assert found.frames[:4] == (2, 0, 2_000_000, 0)


def test_every_truncation_and_flipped_byte() -> None:
    """Every truncation and every single flipped byte of a small object."""
    data = PATIENT + struct.pack("<HH2sxxL", 0x0008, 0x1115, b"SQ", 0xFFFF_FFFF)
    data += b"\xfe\xff\x00\xe0" + b"\xff" * 4 + PATIENT + b"\xfe\xff\x0d\xe0\0\0\0\0"
    data += b"\xfe\xff\xdd\xe0\0\0\0\0" + PATIENT
    for at in range(len(data)):
        assert scan(data[:at]).length == at
        for flip in (1, 0x80, 0xFF):
            changed = bytearray(data)
            changed[at] ^= flip
            assert scan(bytes(changed)).length == len(data)
