"""Blobs to records: strides, codecs, and what a record refers to."""

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vna.errors import Unsupported
from vna.storage.codecs import CODECS, RAW, ZSTD
from vna.storage.encode import LARGE_CHUNK, SMALL_CHUNK, stride_of
from vna.storage.format import CHUNK_ENTRY, RECORD_HEADER, parse_record_header


@given(st.integers(1, 1 << 33))
def test_strides_are_bounded_and_keep_frames_together(chunk_length):
    stride = stride_of(chunk_length)
    assert SMALL_CHUNK <= stride <= LARGE_CHUNK
    if chunk_length <= LARGE_CHUNK:
        assert stride % chunk_length == 0, "frames begin where chunks do"
        assert stride == chunk_length or stride < SMALL_CHUNK + chunk_length
    else:
        assert stride % 4096 == 0
        assert -(-chunk_length // stride) == -(-chunk_length // LARGE_CHUNK), "no chunk too many"


@pytest.mark.parametrize("chunk_length", [0, -1])
def test_a_chunk_length_is_positive(chunk_length):
    with pytest.raises(ValueError, match="not positive"):
        stride_of(chunk_length)


def codecs_of(record):
    whole = b"".join(record.placed(5, 64, 64))
    chunks = parse_record_header(whole, 5, 64).chunks
    table = whole[RECORD_HEADER.size :][: CHUNK_ENTRY.size * chunks]
    return [table[at + 8] for at in range(0, len(table), CHUNK_ENTRY.size)]


def test_codec_is_chosen_per_chunk(blob, noise):
    record = blob(bytes(65536) + noise(65536) + b"ab" * 32768)
    assert codecs_of(record) == [ZSTD, RAW, ZSTD]
    assert codecs_of(blob(bytes(65536), codec="raw")) == [RAW]


def test_zstd_must_save_a_tenth(blob, noise):
    saves_little = noise(65536 - 6000) + bytes(6000)
    assert len(zstandard.compress(saves_little, 1)) > 0.9 * 65536
    assert codecs_of(blob(saves_little)) == [RAW]
    saves_enough = noise(65536 - 7000) + bytes(7000)
    assert codecs_of(blob(saves_enough)) == [ZSTD]


def test_the_whole_chunk_decides(blob, noise):
    front = noise(16384) + bytes((512 << 10) - 16384)
    assert codecs_of(blob(front, chunk_length=512 << 10)) == [ZSTD]
    back = bytes(16384) + noise((512 << 10) - 16384)
    assert codecs_of(blob(back, chunk_length=512 << 10)) == [RAW]


def test_raw_chunks_are_not_copied(blob, noise):
    data = noise(4 * 65536)
    record = blob(data, codec="raw")
    views = [part for part in record.placed(5, 64, 64) if isinstance(part, memoryview)]
    assert all(view.obj is data for view in views)
    assert sum(map(len, views)) == len(data)


@given(st.binary(max_size=300), st.integers(0, 1000))
def test_decoding_trusts_nothing(stored, length):
    for codec in CODECS.values():
        try:
            raw = codec.decode(stored, length)
        except ValueError:
            continue
        assert len(raw) == length


def test_a_zstd_bomb_is_refused_before_it_is_inflated():
    bomb = zstandard.compress(bytes(64 << 20))
    with pytest.raises(ValueError, match="does not hold 100 bytes"):
        CODECS[ZSTD].decode(bomb, 100)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100))
    with pytest.raises(ValueError, match="does not hold"):
        CODECS[ZSTD].decode(unsized, 100)


def test_a_header_is_valid_at_its_place_only(blob):
    header = parse_record_header(b"".join(blob(b"x").placed(5, 64, 8)), 5, 64)
    placed = header.placed(5, 64, 64)
    assert len(placed) == RECORD_HEADER.size
    assert parse_record_header(placed, 5, 64) == replace(header, synced=64)
    assert parse_record_header(placed, 5, 72) is None
    assert parse_record_header(placed, 6, 64) is None
    assert parse_record_header(placed[:-1], 5, 64) is None


@pytest.mark.parametrize("field", ["version", "kind", "flags"])
def test_a_newer_record_is_told_from_a_damaged_one(blob, field, monkeypatch):
    header = parse_record_header(b"".join(blob(b"x").placed(5, 64, 64)), 5, 64)
    if field == "version":
        monkeypatch.setattr("vna.storage.format.VERSION", 2)
    else:
        header = replace(header, **{field: 99})
    placed = header.placed(5, 64, 64)
    monkeypatch.undo()
    with pytest.raises(Unsupported, match="at 64"):
        parse_record_header(placed, 5, 64)
