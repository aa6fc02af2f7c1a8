"""Objects made to hurt, through the archive's door: each is taken or refused, in bounded memory,
and what was taken comes back byte for byte and answers what is asked of it."""

import asyncio
import struct
import subprocess
import sys
import zlib

import pytest

from vna.errors import Corrupt, NotFound

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
STUDY, SOP = "1.2.3", "1.2.3.4"
UNDEFINED = 0xFFFF_FFFF
ITEM, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E0DD
TWO = [b"\xff\xd8" + bytes(3000)] * 2


def header(tag, vr, length):
    front = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if not vr:
        return front + struct.pack("<L", length)
    long = vr in ("OB", "OV", "OW", "SQ", "UT")
    return front + vr.encode() + struct.pack("<xxL" if long else "<H", length)


def element(tag, vr, value):
    return header(tag, vr, len(value)) + value


def number(tag, value):
    return element(tag, "US", struct.pack("<H", value))


def identity():
    uids = {0x00080016: "1.2.840.10008.5.1.4.1.1.2", 0x00080018: SOP, 0x0020000D: STUDY}
    uids[0x0020000E] = f"{STUDY}.1"
    return b"".join(
        element(tag, "UI", uid.encode() + b"\0" * (len(uid) % 2)) for tag, uid in uids.items()
    )


def image(pixels, frames=b"2 ", size=16, tables=b""):
    described = number(0x00280002, 1) + element(0x00280008, "IS", frames)
    described += number(0x00280010, size) + number(0x00280011, size) + number(0x00280100, 16)
    return identity() + described + tables + pixels


def fragments(offsets, *, end=True):
    table = struct.pack(f"<{len(offsets)}L", *offsets)
    pixels = header(0x7FE00010, "OB", UNDEFINED)
    pixels += b"".join(element(ITEM, "", value) for value in (table, *TWO))
    return pixels + (header(SEQUENCE_END, "", 0) if end else b"")


def extended(offsets, lengths):
    pack = struct.Struct("<2Q").pack
    return element(0x7FE00001, "OV", pack(*offsets)) + element(0x7FE00002, "OV", pack(*lengths))


def deflated(pieces):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return b"".join(map(deflater.compress, pieces)) + deflater.flush()


def taken(archive, data, syntax):
    """Store a data set, see that it comes back, and return it as the archive names it."""

    async def store():
        ingest = archive.ingest(form="dataset", source="test", transfer_syntax=syntax)
        await ingest.write(data)
        await ingest.commit()

    asyncio.run(store())
    (stored,) = archive.objects(STUDY, None, SOP)
    assert b"".join(archive.dataset(stored)) == data
    return stored


NATIVE = element(0x7FE00010, "OW", bytes(8192))
MOST = 0xFFFF_FFFF_FFFF_FFFF


@pytest.mark.parametrize(
    "sent",
    [
        image(NATIVE, frames=b"2147483648"),
        image(NATIVE, frames=b"-1"),
        image(NATIVE, frames=b"2147483647 ", size=0),
        image(NATIVE, frames=b"2147483647 ", size=65535),
        identity() + b"\xff" * 9000,
        identity() + (header(0x00400275, "SQ", UNDEFINED) + header(ITEM, "", UNDEFINED)) * 200_000,
    ],
    ids=["2^31 frames", "-1 frames", "empty frames", "huge frames", "0xFF", "deep"],
)
def test_no_frame_of_what_has_none(archive, sent):
    stored = taken(archive, sent, EXPLICIT)
    for frame in (1, 2, 1 << 31):
        with pytest.raises(NotFound):
            archive.frame(stored, frame)
    assert archive.metadata(stored, "uri").startswith(b"{")


@pytest.mark.parametrize("length", [0xFFFF_FFFE, 0x8000_0000, 100_000])
def test_pixel_data_longer_than_the_object(archive, length):
    pixels = header(0x7FE00010, "OW", length) + bytes(9000)
    stored = taken(archive, image(pixels, frames=b"1 "), EXPLICIT)
    assert archive.frame(stored, 1) == bytes(512)
    assert "ends after 9000" in stored.version.problem


@pytest.mark.parametrize(
    "sent",
    [
        image(fragments([0, 5])),
        image(fragments([3010, 0])),
        image(fragments([0, 0xFFFF_FFFE])),
        image(fragments([UNDEFINED] * 2000)),
        image(fragments([]), tables=extended((0, 1 << 63), (1 << 63, 1 << 63))),
        image(fragments([]), tables=extended((MOST, MOST), (MOST, MOST))),
        image(fragments([]), tables=extended((0, 3010), (5, 1 << 40))),
        image(fragments([], end=False)),
    ],
    ids=["inside", "backwards", "beyond", "full", "extended beyond", "0xFF", "lengths", "open"],
)
def test_offset_tables_that_lie(archive, sent):
    """Two frames in two fragments: the fragments themselves tell."""
    stored = taken(archive, sent, JPEG_2000)
    assert [bytes(archive.frame(stored, n)) for n in (1, 2)] == TWO
    with pytest.raises(NotFound):
        archive.frame(stored, 3)


def test_a_fragment_longer_than_the_object(archive):
    pixels = header(0x7FE00010, "OB", UNDEFINED) + element(ITEM, "", b"")
    pixels += header(ITEM, "", 0xFFFF_FFFE) + bytes(5000)
    stored = taken(archive, image(pixels, frames=b"1 "), JPEG_2000)
    assert archive.frame(stored, 1) == bytes(5000)
    assert "no sequence delimitation item" in stored.version.problem


def test_a_deflate_bomb_is_kept_but_not_read_into(archive):
    text = header(0x00284000, "UT", 64 << 20)
    stored = taken(archive, deflated([identity(), text, *[bytes(1 << 20)] * 64]), DEFLATED)
    for ask in (lambda: archive.metadata(stored, "uri"), lambda: archive.frame(stored, 1)):
        with pytest.raises(Corrupt, match="cannot be read into"):
            ask()


BOMB = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_hostile as hostile
from vna.archive import Archive, ArchiveSettings
from vna.errors import Corrupt

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10

archive = Archive.open(ArchiveSettings(data=Path(sys.argv[1])))
text = hostile.header(0x00284000, "UT", 200 << 20)
bomb = hostile.deflated([hostile.identity(), text, *[bytes(1 << 20)] * 200])
before = peak()
stored = hostile.taken(archive, bomb, hostile.DEFLATED)
took_in = peak()
try:
    archive.metadata(stored, "uri")
except Corrupt:
    print(len(bomb) >> 10, before, took_in, peak())
archive.close()
"""


def test_the_memory_that_a_bomb_takes(tmp_path, root):
    """200 MiB of text in 200 KiB: reading into it takes no more than taking it in."""
    run = subprocess.run(
        [sys.executable, "-c", BOMB, tmp_path / "data", root / "tests/archive"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    kib, before, took_in, read = map(int, run.stdout.split())
    shown = f"a bomb of {kib} KiB: {before} MiB before, {took_in} when stored, {read} when read"
    assert kib < 400, shown
    assert took_in - before < 450, shown
    assert read - took_in < 64, shown
