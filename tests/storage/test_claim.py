"""A pack that is claimed to be recovered is read from the disk, not from memory."""

import os

import pytest

from vna.storage.tiers.directory import DirectoryTier


def in_memory(path):
    """Say whether the first bytes of a file are in the page cache; skip where nobody says so."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as error:
        pytest.skip(f"the file system does not tell: {error}")
    finally:
        os.close(fd)
    return True


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
