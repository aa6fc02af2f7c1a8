"""A pack that is claimed to be recovered is read from the disk, not from memory."""

import ctypes
import mmap
import os

import pytest

from vna.storage.tiers.directory import DirectoryTier


def in_memory(path):
    """Say whether the first page of a file is in the page cache.

    By mincore(2): a read that is not to wait makes the kernel read ahead, and may find what that brings.
    """
    told = ctypes.c_ubyte()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 1, access=mmap.ACCESS_COPY) as pages:
        start = ctypes.c_char.from_buffer(pages)
        failed = ctypes.CDLL(None).mincore(
            ctypes.byref(start), ctypes.c_size_t(1), ctypes.byref(told)
        )
        del start
    assert not failed
    return bool(told.value & 1)


def test_claiming_a_pack_drops_its_pages(tmp_path):
    probe = tmp_path / "probe"
    probe.write_bytes(bytes(8192))
    with probe.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(probe):
        pytest.skip("files are in memory here")
    tier = DirectoryTier(tmp_path / "packs")
    pack = tier.reserve(1)
    file = tier.create(pack)
    file.write([bytes(64 << 10)], 0)
    file.close()
    assert in_memory(tier.file(pack))
    claimed = tier.claim(pack)
    assert not in_memory(tier.file(pack))
    assert claimed.read(0, 1) == b"\0"
    claimed.close()


def test_a_pack_that_is_closed_can_be_claimed_while_its_bytes_are_mapped(tmp_path):
    tier = DirectoryTier(tmp_path)
    pack = tier.reserve(1)
    file = tier.create(pack)
    file.write([bytes(128 << 10)], 0)
    file.close()
    first = tier.claim(pack)
    assert first.read(0, 128 << 10) == bytes(128 << 10)
    assert tier.claim(pack) is None
    first.close()
    second = tier.claim(pack)
    assert second is not None
    second.close()
