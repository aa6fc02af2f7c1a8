"""BLAKE3 and CRC-32C against known answers, over every kind of buffer."""

from hypothesis import given
from hypothesis import strategies as st

from vna._native import Blake3, blake3, crc32c


def test_known_answers() -> None:
    empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert blake3(b"").hex() == empty
    assert crc32c(b"123456789") == 0xE3069283


def test_kinds_of_buffers() -> None:
    data = bytes(range(256)) * 1000
    digest = blake3(data)
    assert blake3(bytearray(data)) == digest
    assert blake3(memoryview(b"x" + data)[1:]) == digest
    assert crc32c(memoryview(data)) == crc32c(data)


@given(st.lists(st.binary(max_size=200)))
def test_pieces_make_the_whole(pieces: list[bytes]) -> None:
    hasher, crc = Blake3(), 0
    for piece in pieces:
        hasher.update(piece)
        crc = crc32c(piece, crc)
    whole = b"".join(pieces)
    assert hasher.digest() == blake3(whole)
    assert crc == crc32c(whole)
