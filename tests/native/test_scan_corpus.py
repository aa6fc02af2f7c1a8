"""The scan of every file of the corpus, against pydicom's reading of it."""

import io
import logging
import struct
import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement
from pydicom.encaps import generate_fragments, generate_frames
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.multival import MultiValue

from vna._native import Interest, Scan, Splitter
from vna.dicom.attributes import INTEREST

PIXEL_DATA = {0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010}
BINARY = {"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"}
PADDING = " \0"

NOT_DICOM = {
    "pydicom/test_files/no_meta.dcm": "a stray byte in front of the data set; pydicom reads noise",
}
BROKEN = {
    "pydicom/test_files/MR_truncated.dcm": "at byte 9630, in (7FE0,0010): the value ends after 8130 of 8192 bytes",
    "pydicom/test_files/rtplan_truncated.dcm": "at byte 2129, in (300A,012C): the value ends after 29 of 50 bytes",
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": "at byte 40316, in (7FE0,0010): the value has no sequence delimitation item",
}
OTHER_VALUES = {
    "pydicom/charset_files/chrX1.dcm": "an empty phonetic group stays (PS3.5 6.2.1); pydicom drops it",
    "pydicom/charset_files/chrX2.dcm": "an empty phonetic group stays (PS3.5 6.2.1); pydicom drops it",
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": "pydicom drops the whole data set where pixel data do not end",
}
NO_FRAMES = {
    "pydicom/test_files/MR_truncated.dcm": "the only frame is not all there",
    "pydicom/test_files/badVR.dcm": "Number of Frames is 1A1A...",
    "pydicom/test_files/meta_missing_tsyntax.dcm": "no Rows and Columns",
    "pydicom/test_files/nested_priv_SQ.dcm": "no Rows and Columns",
}


def corpus_files(corpus: Path) -> Iterator[tuple[str, bytes]]:
    lines = (corpus / "MANIFEST.tsv").read_text().splitlines()[1:]
    for name in (line.split("\t")[0] for line in lines):
        yield name, (corpus / name).read_bytes()


def scan_in(data: bytes, size: int) -> tuple[Scan, list[bytes]]:
    """Scan in pieces of `size`; return what was found, and the bytes of each hole."""
    splitter = Splitter("part10", None, Interest(INTEREST))
    holes: dict[int, bytearray] = {}
    view = memoryview(data)
    for begin in range(0, len(data), size):
        piece = view[begin : begin + size]
        for hole, start, end in splitter.feed(piece):
            holes.setdefault(hole, bytearray()).extend(piece[start:end])
    return splitter.finish(), [bytes(holes[number]) for number in sorted(holes)]


def joined(scan: Scan, holes: list[bytes]) -> bytes:
    parts, at = [], 0
    for (offset, length, *_), value in zip(scan.holes, holes, strict=True):
        assert length == len(value)
        parts += [scan.header[at:offset], value]
        at = offset
    return b"".join([*parts, scan.header[at:]])


def read(data: bytes) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(io.BytesIO(data), force=True)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


def test_every_file_comes_back_in_whatever_pieces_it_went_in(corpus: Path) -> None:
    problems = {}
    not_dicom = set()
    for name, data in corpus_files(corpus):
        scan, holes = scan_in(data, 16_000)
        if scan.fatal:
            not_dicom.add(name)
            continue
        assert joined(scan, holes) == data, name
        assert scan.length == len(data) - scan.prefix, name
        if scan.problem:
            problems[name] = scan.problem
        for size in (len(data), 7 if len(data) < 100_000 else 65_536):
            again, same_holes = scan_in(data, size)
            assert same_holes == holes, name
            assert (again.digest, again.holes, again.frames) == (
                scan.digest,
                scan.holes,
                scan.frames,
            ), name
            assert repr(again.values) == repr(scan.values), name
    assert problems == BROKEN
    assert not_dicom == set(NOT_DICOM)


def test_the_data_set_begins_where_pydicom_has_it(corpus: Path) -> None:
    for name, data in corpus_files(corpus):
        file = io.BytesIO(data)
        read_preamble(file, force=True)
        _read_file_meta_info(file)
        scan, _ = scan_in(data, len(data))
        if name not in NOT_DICOM:
            assert scan.prefix == file.tell(), name


def values_of(element: DataElement) -> list[Any]:
    """An element's values as a scan gives them."""
    value = element.value
    several = list(value) if isinstance(value, (MultiValue, list)) else [value]
    if element.VR in BINARY:
        return [one for one in several if one is not None]
    texts = [str(getattr(one, "original_string", one) or "") for one in several]
    if element.VR == "PN":
        texts = [str(one or "") for one in several]
    stripped = [text.strip(PADDING) for text in texts]
    return [] if stripped == [""] else stripped


def expected(data_set: Dataset, path: int) -> list[Any] | None:
    sequence, tag = path >> 32, path & 0xFFFF_FFFF
    if not sequence:
        return values_of(data_set[tag]) if tag in data_set else None
    if sequence not in data_set:
        return None
    items = data_set[sequence].value
    if not any(tag in item for item in items):
        return None
    members = {path & 0xFFFF_FFFF for path in INTEREST if path >> 32 == sequence}
    own: list[Any] = []
    for item in items:  # each takes as much room in every member's list
        values = {member: values_of(item[member]) for member in members & set(item.keys())}
        room = max(map(len, values.values()), default=0)
        own += [*values.get(tag, []), *[""] * room][:room]
    return own if any(own) else []


def test_values_are_pydicoms(corpus: Path) -> None:
    differences, compared = {}, 0
    for name, data in corpus_files(corpus):
        scan, _ = scan_in(data, len(data))
        if scan.fatal:
            continue
        data_set = read(data)
        for path in INTEREST:
            want, got = expected(data_set, path), scan.values.get(path)
            compared += got is not None
            if want != got:
                differences.setdefault(name, []).append((f"{path:X}", want, got))
    assert compared > 15_000
    assert set(differences) == set(OTHER_VALUES), differences


def frames_of(scan: Scan, holes: list[bytes]) -> list[bytes]:
    """Cut the frames out, as the table has it; frames of odd bits begin and end at whole bytes."""
    assert scan.frames is not None
    kind, hole, count, bits, table = scan.frames
    value = holes[hole]
    if kind == 1:
        assert table == b""
        return [value[n * bits // 8 : -(-(n + 1) * bits // 8)] for n in range(count)]
    offsets = struct.unpack(f"<{count + 1}Q", table)
    bounds = pairwise(offsets)
    return [b"".join(generate_fragments(value[begin:end])) for begin, end in bounds]


def native_frames(data_set: Dataset, value: bytes, tag: int) -> list[bytes]:
    """Cut native frames by arithmetic on the attributes that pydicom read."""
    pixels = data_set.Rows * data_set.Columns
    bits = {0x7FE0_0008: 32, 0x7FE0_0009: 64}.get(tag) or data_set.BitsAllocated
    samples = data_set.SamplesPerPixel
    if data_set.PhotometricInterpretation == "YBR_FULL_422":
        samples = 2
    size, count = pixels * samples * bits, int(data_set.get("NumberOfFrames") or 1)
    return [value[n * size // 8 : -(-(n + 1) * size // 8)] for n in range(count)]


def test_frames_are_pydicoms(corpus: Path) -> None:
    without, native, encapsulated = set(), 0, 0
    for name, data in corpus_files(corpus):
        scan, holes = scan_in(data, 50_000)
        data_set = read(data)
        tags = PIXEL_DATA & set(data_set.keys())
        if not tags or scan.fatal or scan.deflated:
            assert scan.frames is None or name in BROKEN, name
            continue
        if scan.frames is None:
            without.add(name)
            continue
        [tag] = tags
        element = data_set[tag]
        if element.is_undefined_length:
            extended = None
            if "ExtendedOffsetTable" in data_set:
                extended = (data_set.ExtendedOffsetTable, data_set.ExtendedOffsetTableLengths)
            count = int(data_set.get("NumberOfFrames") or 1)
            want = list(
                generate_frames(element.value, number_of_frames=count, extended_offsets=extended)
            )
            encapsulated += len(want)
        else:
            want = native_frames(data_set, element.value, tag)
            native += len(want)
        assert frames_of(scan, holes) == want, name
    assert without == set(NO_FRAMES)
    assert native > 2000
    assert encapsulated > 500


def test_bulk_is_what_pydicom_has_at_the_path(corpus: Path) -> None:
    nested = 0
    for name, data in corpus_files(corpus):
        scan, holes = scan_in(data, len(data))
        if scan.fatal or scan.deflated or name in BROKEN:
            continue
        data_set = read(data)
        for (_, _, _, path, vr), value in zip(scan.holes, holes, strict=True):
            parent = data_set
            for sequence, item in zip(path[:-1:2], path[1::2], strict=True):
                parent = parent[sequence].value[item]
                nested += 1
            element = parent.get_item(path[-1])
            got = element.value
            if isinstance(got, bytes) and vr != "UN":
                assert value.removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0") == got, (name, path)
    assert nested > 0
