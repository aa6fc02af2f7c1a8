"""What happens to each object and each chunk: scanning, JSON, digests, checksums, codecs."""

import pytest

from vna import _native
from vna.dicom.json import attributes_json_bytes
from vna.dicom.scan import ObjectScan, header_json
from vna.storage.codecs import CODECS, encode
from vna.types import Geometry

PIECE = 131_072


def test_scan_of_a_ct_slice(benchmark, template):
    pieces = [template.data[at : at + PIECE] for at in range(0, len(template.data), PIECE)]

    def scan():
        found = ObjectScan("dataset", template.transfer_syntax)
        for piece in pieces:
            found.feed(piece)
        return found.finish()

    assert benchmark(scan).length == len(template.data)


def test_json_of_a_header(benchmark, scanned):
    arguments = (scanned.header, scanned.prefix, scanned.transfer_syntax, scanned.holes, "/bulk")
    assert benchmark(header_json, *arguments).startswith(b"{")


def test_json_of_indexed_attributes(benchmark, scanned):
    attributes = scanned.patient | scanned.study
    assert b"Phantom" in benchmark(attributes_json_bytes, attributes)


def test_blake3_of_a_frame(benchmark, pixels):
    assert len(benchmark(_native.blake3, pixels)) == 32


def test_crc32c_of_a_frame(benchmark, pixels):
    assert benchmark(_native.crc32c, pixels)


@pytest.mark.parametrize("codec", ["zstd", "fast", "strong"])
@pytest.mark.parametrize("way", ["encode", "decode"])
def test_codec_of_a_frame(benchmark, pixels, codec, way):
    geometry = Geometry(columns=512, sample_bytes=2, pixel_samples=1)
    found = encode(pixels, codec, 1, geometry)
    if found is None:
        pytest.skip(f"codec {codec} does not win on a noisy CT slice")
    number, stored = found
    if way == "encode":
        assert benchmark(encode, pixels, codec, 1, geometry) == found
    else:
        assert bytes(benchmark(CODECS[number].decode, stored, len(pixels))) == pixels
