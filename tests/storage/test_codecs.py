"""Codecs of pixels: whatever goes in comes out; the choice is made by measuring."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna._native import lanes_decode, lanes_encode
from vna.storage.codecs import CODECS, LANES, ZSTD, encode
from vna.storage.encode import stride_of
from vna.types import Geometry

CT = Geometry(columns=512, sample_bytes=2, pixel_samples=1)


def slices(count: int) -> bytes:
    """Slopes under the noise of a scanner."""
    rows, columns = np.mgrid[0 : 512 * count, 0:512]
    grain = np.random.default_rng(1).normal(0, 8, rows.shape)
    return (1000 + rows % 512 + 2 * columns + grain).astype("<u2").tobytes()


@pytest.mark.parametrize("codec", ["fast", "strong"])
def test_pixels_are_predicted_where_their_geometry_is_known(blob, codec):
    raw = slices(1)
    coded = encode(raw, codec, 1, CT)
    assert coded is not None
    assert coded[0] == LANES
    assert len(coded[1]) < len(raw) / 2
    assert CODECS[LANES].decode(coded[1], len(raw)) == raw
    unknown = encode(raw, codec, 1)
    assert unknown is None or unknown[0] == ZSTD


def test_noise_and_drawings_are_no_pixels(noise):
    assert encode(noise(1 << 19), "strong", 1, CT) is None
    text = (b"what repeats is found by zstd " * 20_000)[: 1 << 19]
    coded = encode(text, "strong", 3, CT)
    assert coded is not None
    assert coded[0] == ZSTD


def test_planes_apart_are_seen(noise):
    plane = np.frombuffer(slices(1), "<u2")[: 300 * 512] >> 3
    planes = np.stack([plane + by for by in (0, 40, 90)]).astype("u1")
    colours = Geometry(columns=512, sample_bytes=1, pixel_samples=3)
    apart, together = planes.tobytes(), planes.T.tobytes()
    sizes = [len(lanes_encode(raw, 512, 1, 3, True) or raw) for raw in (apart, together)]
    assert max(sizes) < len(apart) / 2
    for raw in (apart, together):
        coded = encode(raw, "strong", 1, colours)
        assert coded is not None
        assert CODECS[coded[0]].decode(coded[1], len(raw)) == raw


@given(
    raw=st.one_of(
        st.binary(max_size=3000),
        st.lists(st.integers(0, 3), max_size=3000).map(bytes),
        st.builds(lambda part, times: part * times, st.binary(max_size=300), st.integers(1, 30)),
    ),
    columns=st.integers(0, 65535),
    sample_bytes=st.integers(0, 255),
    pixel_samples=st.integers(0, 255),
    strong=st.booleans(),
)
def test_any_bytes_of_any_geometry_come_back(raw, columns, sample_bytes, pixel_samples, strong):
    narrow = columns % 97
    for width in (columns, narrow):
        coded = lanes_encode(raw, width, sample_bytes % 5, pixel_samples % 6, strong)
        if coded is not None:
            assert lanes_decode(coded, len(raw)) == raw


@pytest.fixture(scope="module")
def whole_chunk() -> bytes:
    """Made once: an example is not to take longer than damage takes."""
    return lanes_encode(slices(1)[: 1 << 14], 64, 2, 1, True) or b""


@settings(max_examples=60)
@given(at=st.integers(0), to=st.binary(max_size=8), length=st.integers(0, 20_000))
def test_damaged_chunks_are_decoded_to_their_length_or_refused(whole_chunk, at, to, length):
    coded = bytearray(whole_chunk)
    at %= len(coded)
    coded[at : at + len(to)] = to
    try:
        assert len(lanes_decode(coded, length)) == length
    except ValueError:
        return


def test_no_chunk_is_longer_than_the_format_allows():
    with pytest.raises(ValueError, match="so long"):
        lanes_decode(b"", (1 << 26) + 1)


def native(corpus: Path) -> Iterator[tuple[str, pydicom.Dataset]]:
    for line in (corpus / "MANIFEST.tsv").read_text().splitlines()[1:]:
        name, *_ = line.split("\t")
        try:
            ds = pydicom.dcmread(corpus / name, force=True)
            if not ds.file_meta.TransferSyntaxUID.is_compressed and "PixelData" in ds:
                yield name, ds
        except Exception:  # noqa: BLE001 - broken files are a part of the corpus
            continue


@pytest.mark.filterwarnings("ignore")
def test_the_corpus_comes_back(corpus):
    forms = {LANES: 0, ZSTD: 0, None: 0}
    for name, ds in native(corpus):
        geometry = Geometry(
            columns=int(ds.get("Columns", 0)),
            sample_bytes=int(ds.get("BitsAllocated", 0)) // 8,
            pixel_samples=int(ds.get("SamplesPerPixel", 0)),
        )
        value = ds.PixelData[: 4 << 20]
        frame = int(ds.get("Rows", 0)) * geometry.columns * geometry.sample_bytes
        stride = stride_of(frame * geometry.pixel_samples or 65536)
        for codec in ("fast", "strong"):
            for at in range(0, len(value), stride):
                raw = value[at : at + stride]
                coded = encode(raw, codec, 1, geometry)
                forms[coded and coded[0]] += 1
                if coded is not None:
                    assert CODECS[coded[0]].decode(coded[1], len(raw)) == raw, name
    assert forms[LANES] > 300
    assert forms[ZSTD] > 10
