"""Packs of format version 1, made once: still read, and still written the same."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from vna.storage import BlobRecord, CommitRecord, digest_of

GOLDEN = Path(__file__).parents[1] / "golden" / "packs_v1"

RAW, STREAMED, ZSTD = (1 << 32 | number for number in (1, 2, 3))


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_packs_v1", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def golden(store, packs):
    for path in GOLDEN.glob("*.pack"):
        shutil.copy(path, packs)
    return store


def test_golden_packs_are_read(golden, maker):
    expected = {
        RAW: [
            maker.HEADER,
            maker.PIXELS,
            maker.TABLE,
            b"the first commit",
            b"",
            b"the second commit",
        ],
        STREAMED: [maker.PIXELS + b"!"],
        ZSTD: [maker.ZEROS, b"the third commit"],
    }
    for pack, contents in expected.items():
        walk = golden.records(pack)
        found = []
        for record in walk:
            if isinstance(record, CommitRecord):
                found.append(record.payload)
                continue
            assert isinstance(record, BlobRecord)
            data = golden.read(record.place)
            golden.verify(record.place, digest_of(data))
            assert record.digest == digest_of(data)
            found.append(data)
        assert found == contents
        assert walk.sealed
    kinds = [r.kind.name for r in golden.records(RAW) if isinstance(r, BlobRecord)]
    assert kinds == ["HEADER", "BULK", "TABLE", "BULK"]


def test_ranges_of_golden_chunks(golden, maker):
    _, pixels, *_ = golden.records(RAW)
    zeros, _ = golden.records(ZSTD)
    assert golden.read(pixels.place, 95, 205) == maker.PIXELS[95:205]
    assert golden.read(zeros.place, 2000, 4999) == bytes(2999)
    assert zeros.place.size < 400


def test_raw_packs_are_written_the_same_today(maker, tmp_path):
    """zstd may compress otherwise in another version; all else is fixed."""
    maker.make(tmp_path)
    for name in ("00000001-00000001.pack", "00000001-00000002.pack"):
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes(), name
