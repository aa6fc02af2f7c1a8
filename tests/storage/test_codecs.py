"""Codecs: whatever goes in comes out; the choice is made by measuring."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna._native import lanes_decode, lanes_encode, weave_decode, weave_encode
from vna.storage.codecs import CODECS, HEADER, LANES, WEAVE, ZSTD, encode, encode_header
from vna.storage.encode import encode_blob, stride_of
from vna.storage.format import RECORD_HEADER
from vna.types import BlobKind, Geometry

CT = Geometry(columns=512, sample_bytes=2, pixel_samples=1)


def slices(count: int, grain: float = 8) -> bytes:
    """Slopes under the noise of a scanner."""
    rows, columns = np.mgrid[0 : 512 * count, 0:512]
    noise = np.random.default_rng(1).normal(0, grain, rows.shape)
    return (1000 + rows % 512 + 2 * columns + noise).astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("codec", "grain", "form"), [("fast", 8, WEAVE), ("strong", 8, WEAVE), ("strong", 1, LANES)]
)
def test_pixels_are_predicted_where_their_geometry_is_known(codec, grain, form):
    raw = slices(1, grain)
    coded = encode(raw, codec, 1, CT)
    assert coded is not None
    assert coded[0] == form
    assert len(coded[1]) < len(raw) / 2
    assert CODECS[form].decode(coded[1], len(raw)) == raw
    unknown = encode(raw, codec, 1)
    assert unknown is None or unknown[0] == ZSTD


def test_colours_and_bytes_are_for_lanes_in_either_form():
    colours = Geometry(columns=512, sample_bytes=1, pixel_samples=3)
    raw = bytes(np.repeat(np.frombuffer(slices(1), "<u2") >> 4 & 0xFF, 3).astype("u1"))
    for codec in ("fast", "strong"):
        coded = encode(raw, codec, 1, colours)
        assert coded is not None
        assert coded[0] != WEAVE
        assert CODECS[coded[0]].decode(coded[1], len(raw)) == raw


def test_what_the_fast_form_stored_before_is_read():
    raw = slices(1)
    coded = lanes_encode(raw, 512, 2, 1, False)
    assert coded is not None
    assert CODECS[LANES].decode(coded, len(raw)) == raw


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
        woven = weave_encode(raw, width)
        if woven is not None:
            assert weave_decode(woven, len(raw)) == raw


@pytest.fixture(scope="module")
def whole_chunk() -> bytes:
    """Made once: an example is not to take longer than damage takes."""
    return lanes_encode(slices(1)[: 1 << 14], 64, 2, 1, True) or b""


@pytest.fixture(scope="module")
def woven_chunk() -> bytes:
    return weave_encode(slices(1)[: 1 << 14], 64) or b""


@settings(max_examples=60)
@given(at=st.integers(0), to=st.binary(max_size=8), length=st.integers(0, 20_000))
def test_damaged_chunks_are_decoded_to_their_length_or_refused(
    whole_chunk, woven_chunk, at, to, length
):
    for whole, decode in ((whole_chunk, lanes_decode), (woven_chunk, weave_decode)):
        coded = bytearray(whole)
        here = at % len(coded)
        coded[here : here + len(to)] = to
        with suppress(ValueError):
            assert len(decode(coded, length)) == length


def test_a_woven_chunk_cut_short_is_refused(woven_chunk):
    for cut in (0, 5, 100, 376, len(woven_chunk) - 1):
        with pytest.raises(ValueError):
            weave_decode(woven_chunk[:cut], 1 << 14)


def test_no_chunk_is_longer_than_the_format_allows():
    for decode in (lanes_decode, weave_decode):
        with pytest.raises(ValueError, match="so long"):
            decode(b"", (1 << 26) + 1)


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
    forms = {LANES: 0, WEAVE: 0, ZSTD: 0, None: 0}
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
    assert forms[LANES] > 150
    assert forms[WEAVE] > 100
    assert forms[ZSTD] > 10


GOLDEN_HEADER = bytes.fromhex(
    "0128b52ffd23000010008e8d0100c816415849414c324354446f655e4a616e650400343731310002"
    "07fc9df7b7ffbe8f6f0d8e1abde8c6ce85b452559aa408"
)
"""A header by dictionary 1: what was coded once is decoded for ever."""


def header(patient: str) -> bytes:
    ds = pydicom.Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality = "CT"
    ds.PatientName = patient
    ds.PatientID = "4711"
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = 512
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return out.getvalue()


def test_headers_are_shorter_by_the_dictionary_than_without():
    raw = header("Doe^Jane")
    coded = encode_header(raw)
    plain = encode(raw, "zstd", 1)
    assert coded is not None
    assert coded[0] == HEADER
    assert len(coded[1]) < len(raw if plain is None else plain[1]) - 40
    assert CODECS[HEADER].decode(coded[1], len(raw)) == raw


def test_headers_coded_by_the_first_dictionary_are_read():
    assert CODECS[HEADER].decode(GOLDEN_HEADER, len(header("Doe^Jane"))) == header("Doe^Jane")


def test_only_headers_are_coded_by_a_dictionary_and_only_where_asked():
    raw = header("Doe^Jane")
    codec_at = RECORD_HEADER.size + 8
    stored = {
        (kind, codec): b"".join(
            encode_blob(kind, bytes(32), [raw], len(raw), codec).placed(5, 64, 64)
        )[codec_at]
        for kind in (BlobKind.HEADER, BlobKind.BULK)
        for codec in ("raw", "zstd", "strong")
    }
    assert stored.pop((BlobKind.HEADER, "zstd")) == stored.pop((BlobKind.HEADER, "strong"))
    assert HEADER not in stored.values()


@given(raw=st.binary(max_size=5000))
def test_any_bytes_come_back_by_the_dictionary(raw):
    coded = encode_header(raw)
    assert coded is None or CODECS[HEADER].decode(coded[1], len(raw)) == raw


@given(at=st.integers(0), to=st.binary(max_size=8), length=st.integers(0, 1000))
def test_damaged_headers_are_decoded_to_their_length_or_refused(at, to, length):
    coded = bytearray(GOLDEN_HEADER)
    at %= len(coded)
    coded[at : at + len(to)] = to
    try:
        assert len(CODECS[HEADER].decode(coded, length)) == length
    except ValueError:
        return


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x00", b"\xff" + GOLDEN_HEADER[1:]])
def test_what_is_no_header_is_refused(stored):
    with pytest.raises(ValueError, match=r"header chunk|frame|dictionary|size"):
        CODECS[HEADER].decode(stored, len(header("Doe^Jane")))
