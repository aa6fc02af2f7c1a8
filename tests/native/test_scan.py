"""The Python face of the scan: arguments, buffers, what it gives back."""

import struct
import zlib

import pytest

from vna._native import Filing, Interest, Scan, Splitter, blake3, inflate
from vna.types import Frames, Hole

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
UIDS = [0x0008_0016, 0x0008_0018, 0x0020_000D, 0x0020_000E]


def element(tag: int, vr: str, value: bytes) -> bytes:
    long = vr in {"OB", "OW", "SQ", "UN", "UT", "OV"}
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + struct.pack("<xxL" if long else "<H", len(value)) + value


def image(pixels: bytes) -> bytes:
    parts = [
        element(0x0010_0010, "PN", "Müller^A ".encode("latin-1")),
        element(0x0018_0050, "DS", b"1.5\\2 "),
        element(0x0028_0010, "US", b"\x04\x00"),
        element(0x0028_0011, "US", b"\x02\x00"),
        element(0x0028_0100, "US", b"\x10\x00"),
        element(0x0040_9225, "FD", struct.pack("<d", 0.25)),
        element(0x7FE0_0010, "OW", pixels),
    ]
    return b"".join([element(0x0008_0005, "CS", b"ISO_IR 100"), *parts])


def test_what_a_scan_gives() -> None:
    interest = [0x0010_0010, 0x0018_0050, 0x0028_0010, 0x0040_9225, 0x0010_0020]
    data = image(bytes(16))
    splitter = Splitter("dataset", EXPLICIT, Interest(interest))
    [(hole, start, end)] = splitter.feed(data)
    assert (hole, start, end) == (0, len(data) - 16, len(data))
    assert splitter.hole_plan(0) == (65_536, 16)
    scan = splitter.finish()
    assert (scan.problem, scan.fatal, scan.deflated) == ("", False, False)
    assert (scan.transfer_syntax, scan.prefix, scan.length) == (EXPLICIT, 0, len(data))
    assert scan.header == data[:-16]
    assert scan.holes == [(len(data) - 16, 16, blake3(bytes(16)), (0x7FE0_0010,), "OW")]
    assert scan.frames == (1, 0, 1, 128, b"")
    assert scan.values == {
        0x0010_0010: ["Müller^A"],
        0x0018_0050: ["1.5", "2"],
        0x0028_0010: [4],
        0x0040_9225: [0.25],
    }
    assert scan.meta == {}


def scanned(interest: list[int], *elements: bytes) -> Scan:
    splitter = Splitter("dataset", EXPLICIT, Interest(interest))
    splitter.feed(b"".join(elements))
    return splitter.finish()


def filing(levels: dict[int, int], max_text: int = 1024, max_values: int = 256) -> Filing:
    return Filing(UIDS, levels, max_text=max_text, max_values=max_values, hole=Hole, frames=Frames)


def test_values_are_dealt_to_their_levels() -> None:
    of = {0x0010_0010: 0, 0x0010_0020: 0, 0x0008_0060: 2, 0x0028_0010: 3}
    scan = scanned(
        [*of, 0x0018_0050],
        element(0x0008_0060, "CS", b"CT"),
        element(0x0010_0010, "PN", b"Doe^Jane"),
        element(0x0010_0020, "LO", b""),
        element(0x0018_0050, "DS", b"1.5 "),
        element(0x0028_0010, "US", b"\x04\x00"),
    )
    patient = {0x0010_0010: ["Doe^Jane"], 0x0010_0020: []}
    dealt = scan.filed(filing(of))[4:8]
    assert dealt == (patient, {}, {0x0008_0060: ["CT"]}, {0x0028_0010: [4]})
    assert scan.pick([0x0018_0050, 0x0010_0030]) == {0x0018_0050: ["1.5"]}
    with pytest.raises(ValueError, match="levels are 0 to 3"):
        filing({1: 4})


def test_what_is_dealt_is_bounded() -> None:
    scan = scanned(
        [0x0010_1000, 0x0010_4000],
        element(0x0008_0005, "CS", b"ISO_IR 100"),
        element(0x0010_1000, "LO", b"\\".join([b"1"] * 9)),
        element(0x0010_4000, "LT", b"\xe4bcdef"),
    )
    few = filing({0x0010_1000: 0, 0x0010_4000: 0}, max_text=3, max_values=2)
    assert scan.filed(few)[4] == {0x0010_1000: ["1", "1"], 0x0010_4000: ["äbc"]}
    assert scan.values[0x0010_4000] == ["äbcdef"]


def test_what_is_filed_is_what_the_scan_says() -> None:
    scan = scanned(
        [*UIDS],
        element(UIDS[0], "UI", b" 1.2\0"),
        element(UIDS[1], "UI", b"1.2.3 4"),
        element(UIDS[2], "FD", struct.pack("<d", 1.5)),
        *(element(tag, "US", b"\x40\0") for tag in (0x0028_0010, 0x0028_0011)),
        element(0x0028_0100, "US", b"\x10\0"),
        element(0x7FE0_0010, "OW", bytes(8192)),
    )
    facts = scan.filed(filing({UIDS[0]: 3, UIDS[1]: 3, UIDS[2]: 1}))
    assert facts[:4] == ("1.2", "", "1.5", "")
    assert facts[4:8] == ({}, {UIDS[2]: ["1.5"]}, {}, {UIDS[0]: ["1.2"], UIDS[1]: ["1.2.3 4"]})
    assert scan.frames is not None
    assert facts[8:] == (
        *(scan.transfer_syntax, scan.length, scan.digest, scan.header, scan.prefix),
        [Hole(*hole) for hole in scan.holes],
        Frames(*scan.frames, None),
        *(scan.deflated, scan.problem, scan.meta),
    )


def test_equal_data_sets_have_equal_digests() -> None:
    def digest(data: bytes, front: bytes = b"") -> bytes:
        splitter = Splitter(
            "part10" if front else "dataset", None if front else EXPLICIT, Interest([])
        )
        splitter.feed(front + data)
        return splitter.finish().digest

    front = bytes(128) + b"DICM" + element(0x0002_0010, "UI", EXPLICIT.encode() + b"\0")
    data = image(bytes(16))
    assert digest(data) == digest(data, front)
    assert digest(data) != digest(image(bytes(15) + b"\1"))
    assert digest(data) != digest(data[:-1])


def test_takes_any_contiguous_buffer() -> None:
    data = image(bytes(range(16)))
    for buffer in (data, bytearray(data), memoryview(bytearray(b"xx" + data))[2:]):
        splitter = Splitter("dataset", EXPLICIT, Interest([]))
        assert splitter.feed(buffer) == [(0, len(data) - 16, len(data))]
    with pytest.raises(BufferError):
        Splitter("dataset", EXPLICIT, Interest([])).feed(memoryview(data)[::2])
    assert Splitter("dataset", EXPLICIT, Interest([])).feed(b"") == []


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="form"):
        Splitter("file", None, Interest([]))
    splitter = Splitter("dataset", EXPLICIT, Interest([]))
    with pytest.raises(IndexError):
        splitter.hole_plan(0)
    splitter.finish()
    with pytest.raises(ValueError, match="finished"):
        splitter.feed(b"")
    with pytest.raises(ValueError, match="finished"):
        splitter.finish()


def test_the_threshold_decides_what_is_bulk() -> None:
    data = element(0x0042_0011, "OB", bytes(100))
    for threshold, holes in ((100, 1), (101, 0)):
        splitter = Splitter("dataset", EXPLICIT, Interest([]), bulk_threshold=threshold)
        splitter.feed(data)
        assert len(splitter.finish().holes) == holes


def test_a_deflated_data_set_is_one_hole() -> None:
    data = image(bytes(1000))
    packed = zlib.compress(data, wbits=-zlib.MAX_WBITS)
    splitter = Splitter("dataset", DEFLATED, Interest([0x0010_0010]))
    assert splitter.feed(packed) == [(0, 0, len(packed))]
    assert splitter.hole_plan(0) == (65_536, -1)
    scan = splitter.finish()
    assert scan.deflated
    assert scan.values == {0x0010_0010: ["Müller^A"]}
    assert (scan.header, scan.holes) == (b"", [(0, len(packed), blake3(packed), (), "OB")])
    assert inflate(packed, len(data)) == data
    with pytest.raises(ValueError, match="limit"):
        inflate(packed, len(data) - 1)
    with pytest.raises(ValueError, match="cut short"):
        inflate(packed[:-4], len(data))
