"""Stores on real directories, and blobs to put into them."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vna.storage import BlobStore, EncodedBlob, StorageSettings, digest_of, encode_blob
from vna.storage.tiers.directory import DirectoryTier
from vna.testing.faulty import FaultyTier
from vna.types import BlobKind


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


@pytest.fixture
def open_store(packs: Path) -> Iterator[Callable[..., BlobStore]]:
    """Open a store on the same directory, as often as wanted, with other settings."""
    opened = []

    def open_(tier=None, **settings) -> BlobStore:
        store = BlobStore(StorageSettings(path=packs, **settings), tier)
        opened.append(store)
        return store

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store) -> BlobStore:
    return open_store()


@pytest.fixture
def faulty(packs: Path) -> FaultyTier:
    return FaultyTier(DirectoryTier(packs))


def _blob(
    data: bytes, kind: BlobKind = BlobKind.BULK, chunk_length: int = 65536, codec: str = "zstd"
) -> EncodedBlob:
    return encode_blob(kind, digest_of(data), [data], chunk_length, codec)


@pytest.fixture
def blob() -> Callable[..., EncodedBlob]:
    return _blob


@pytest.fixture
def noise() -> Callable[[int], bytes]:
    """Bytes that do not compress; the same ones for the same seed."""
    return lambda size, seed=0: random.Random(seed).randbytes(size)


@pytest.fixture
def flip() -> Callable[[Path, int], None]:
    """Flip one bit of a file."""

    def flip_(path: Path, offset: int, bit: int = 0) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            (byte,) = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1 << bit]))

    return flip_
