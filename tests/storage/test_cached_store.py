"""Blobs of a far tier, read through the cache: what the cache has wrong is asked for again."""

import random
from contextlib import contextmanager

import pytest

from vna.errors import Unavailable
from vna.storage import (
    BlobStore,
    CachedTier,
    DirectoryTier,
    ExtentCache,
    StorageSettings,
    WrappedTier,
    digest_of,
    encode_blob,
)
from vna.storage.format import pack_header, pack_name
from vna.types import BlobKind, BlobPlace

NUMBER = 1
CONTENT = random.Random(5).randbytes(3 << 20)


class KeyedTier(WrappedTier):
    """Is read with the key that a pack was opened with, and refuses all but the one that holds."""

    key = "first"

    def open(self, pack):
        self.opened_with = self.key
        return super().open(pack)

    @contextmanager
    def around(self, verb):
        if verb == "read" and self.opened_with != self.key:
            raise PermissionError(13, "refused")
        yield


@pytest.fixture
def stored(tmp_path):
    """A store with one blob on a far tier, and its place."""
    far = KeyedTier(DirectoryTier(tmp_path / "far"))
    cache = ExtentCache(tmp_path / "cache", 64 << 20)
    settings = StorageSettings(path=tmp_path / "hot")
    store = BlobStore(settings, lower={NUMBER: CachedTier(far, cache)})
    pack = store.reserve(NUMBER)
    digest = digest_of(CONTENT)
    record = encode_blob(BlobKind.BULK, digest, [CONTENT], 1 << 19, "raw")
    header = pack_header(pack, 1)
    far.put(pack, [header, *record.placed(pack, len(header), 0)])
    yield store, BlobPlace(pack, len(header), record.size, len(CONTENT)), tmp_path / "cache"
    store.close()


def damage(cache, pack):
    """Change bytes in the middle of all extents; say how many there were."""
    extents = list((cache / pack_name(pack)).glob("0*"))
    for extent in extents:
        data = bytearray(extent.read_bytes())
        data[len(data) // 2] ^= 0xFF
        extent.write_bytes(data)
    return len(extents)


def test_a_damaged_extent_is_fetched_again_for_a_range(stored):
    store, place, cache = stored
    for _ in range(2):
        assert store.read(place) == CONTENT
        assert store.read(place, 100, 2_000_000) == CONTENT[100:2_000_000]
        assert damage(cache, place.pack)
    assert store.read(place) == CONTENT


@pytest.mark.parametrize("start", [0, 700_001])
def test_a_damaged_extent_is_fetched_again_in_the_middle_of_a_blob(stored, start):
    store, place, cache = stored
    for _ in range(2):
        assert b"".join(store.pieces(place, start)) == CONTENT[start:]
        assert damage(cache, place.pack)
    assert b"".join(store.pieces(place, start)) == CONTENT[start:]


def test_a_pack_that_could_not_be_read_is_opened_anew(stored):
    store, place, _ = stored
    far = store.tiers.tier(NUMBER).inner
    assert store.read(place, 0, 10) == CONTENT[:10]
    far.key = "replaced"
    with pytest.raises(Unavailable, match="refused"):
        store.read(place, 2_500_000)
    assert store.read(place, 2_500_000) == CONTENT[2_500_000:]
    assert b"".join(store.pieces(place)) == CONTENT
