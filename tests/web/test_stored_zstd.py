"""What is stored in zstd leaves so for clients that take it (RFC 9110 8.4, RFC 8878)."""

import io
import random

import pytest
import zstandard

from vna.archive import Archive, ArchiveSettings
from vna.storage.zstd_frames import framed

STUDY = "/studies/1.2.3"
INSTANCE = f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.1"
FRAMES = [bytes([value, 0]) * 256 * 1024 for value in range(3)]
PATHS = [
    (STUDY, None),
    (INSTANCE, "application/dicom"),
    (f"{INSTANCE}/frames/2", "application/octet-stream"),
    (f"{INSTANCE}/frames/3,1", None),
    (f"{INSTANCE}/bulkdata/7FE00010", "application/octet-stream"),
]


@pytest.fixture
def archive(tmp_path):
    opened = Archive.open(ArchiveSettings(data=tmp_path / "data", codec="zstd"))
    yield opened
    opened.close()


@pytest.fixture
async def stored(front, ct):
    """Store an instance of three frames that shrink, each a chunk; return the file."""
    file = ct(Rows=512, Columns=512, frames=FRAMES)
    assert (await front.stow([file])).status == 200
    return file


def plain(body):
    with zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(body), read_across_frames=True
    ) as all_:
        return all_.read()


def content(answer, body):
    """Return what an answer holds, whatever its boundary."""
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].strip('"')
    return body.replace(boundary.encode(), b"limit") if boundary else body


@pytest.mark.parametrize(("path", "accept"), PATHS)
async def test_the_same_bytes_come_in_zstd(front, stored, path, accept):
    as_is = await front.get(path, accept)
    coded = await front.get(path, accept, Accept_Encoding="gzip, zstd")
    assert (as_is.status, coded.status) == (200, 200)
    assert "Content-Encoding" not in as_is.headers
    assert coded.headers["Content-Encoding"] == "zstd"
    assert "Accept-Encoding" in as_is.headers["Vary"]
    assert as_is.headers["Vary"] == coded.headers["Vary"]
    assert content(coded, plain(coded.body)) == content(as_is, as_is.body)
    assert len(coded.body) < len(as_is.body) / 100


async def test_a_frame_leaves_as_it_is_stored(front, stored, tmp_path):
    answer = await front.get(
        f"{INSTANCE}/frames/2", "application/octet-stream", Accept_Encoding="zstd"
    )
    (pack,) = (tmp_path / "data/packs").glob("*.pack")
    assert plain(answer.body) == FRAMES[1]
    assert answer.body in pack.read_bytes()


async def test_who_takes_no_zstd_is_answered_at_once(front, stored, at_hand):
    path, accept = f"{INSTANCE}/frames/2", "application/octet-stream"
    for _ in range(2):  # the first one brings it into memory
        prompt = await front.get(path, accept)
    assert at_hand[-1] is not None
    await front.get(path, accept, Accept_Encoding="zstd")
    assert at_hand[-1] is None
    looked_at = len(at_hand)
    usual = await front.get(path, accept, X_Odd="1")
    assert len(at_hand) == looked_at, "aiohttp answered"
    assert prompt.body == usual.body == FRAMES[1]
    fields = [dict(answer.headers) for answer in (prompt, usual)]
    for each in fields:
        del each["Date"], each["X-Request-ID"]
    assert fields[0] == fields[1]


async def test_the_tag_of_either_coding_is_known_again(front, stored):
    as_is = await front.get(INSTANCE, "application/dicom")
    coded = await front.get(INSTANCE, "application/dicom", Accept_Encoding="zstd")
    assert as_is.headers["ETag"] != coded.headers["ETag"]
    for answer in (as_is, coded):
        again = await front.get(INSTANCE, "application/dicom", If_None_Match=answer.headers["ETag"])
        assert again.status == 304


async def test_ranges_and_heads_are_of_the_plain_bytes(front, stored):
    part = await front.get(
        INSTANCE, "application/dicom", Accept_Encoding="zstd", Range="bytes=200-299"
    )
    assert (part.status, part.body) == (206, stored[200:300])
    assert "Content-Encoding" not in part.headers
    head = await front.request(
        "HEAD", INSTANCE, headers={"Accept": "application/dicom", "Accept-Encoding": "zstd"}
    )
    assert head.headers["Content-Length"] == str(len(stored))


async def test_json_is_coded_once(front, stored):
    for path in ("/studies", f"{STUDY}/metadata"):
        as_is = await front.get(path, "application/dicom+json")
        coded = await front.get(path, "application/dicom+json", Accept_Encoding="zstd")
        body = plain(coded.body) if "Content-Encoding" in coded.headers else coded.body
        assert body == as_is.body


async def test_damage_is_not_sent_in_zstd_either(front, stored, tmp_path):
    place = front.archive.objects("1.2.3")[0].version.holes[0]
    with front.archive._index.read() as reader:
        where = reader.blob(place.blob)
    (pack,) = (tmp_path / "data/packs").glob("*.pack")
    with pack.open("r+b") as file:
        file.seek(where.offset + where.size - 20)
        file.write(b"damaged")
    answer = await front.get(
        f"{INSTANCE}/frames/3", "application/octet-stream", Accept_Encoding="zstd"
    )
    assert answer.status == 500
    assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("size", [0, 1, 128 << 10, (128 << 10) + 1, 1_000_000])
def test_bytes_are_framed(size):
    data = random.Random(1).randbytes(size)
    frame = framed(data)
    assert plain(frame) == data
    assert len(frame) <= size + 6 + 3 * (size // (128 << 10) + 1)
