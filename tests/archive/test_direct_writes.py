"""`direct_writes`: packs are written past the page cache, and hold the same."""

import os
import random
from pathlib import Path

import pytest

from vna.archive import Archive, ArchiveSettings


def written_directly(pack):
    """Say whether this process has a file open for direct writes."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if Path(os.path.realpath(descriptor)) == pack:
            (flags,) = [
                int(line.split()[1], 8)
                for line in Path(f"/proc/self/fdinfo/{descriptor.name}").read_text().splitlines()
                if line.startswith("flags:")
            ]
            if flags & os.O_DIRECT:
                return True
    return False


@pytest.mark.parametrize("direct", [False, True])
async def test_what_was_stored_comes_back(data, ct, direct):
    settings = ArchiveSettings(data=data, direct_writes=direct)
    files = [
        ct(f"1.1.{number}", Rows=100, Columns=50, PixelData=random.Random(number).randbytes(10_000))
        for number in range(5)
    ]
    archive = Archive.open(settings)
    try:
        probe = data / "probe"
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
        except OSError as error:
            pytest.skip(f"no direct writes here: {error}")
        for file in files:
            await archive.store(file, source="test")
        (pack,) = (data / "packs").glob("*.pack")
        assert written_directly(pack.resolve()) is direct
    finally:
        archive.close()
    archive = Archive.open(settings)
    try:
        found = archive.objects("1.2.3")
        assert [b"".join(archive.file(stored, "TEST")[1]) for stored in found] == files
        assert archive.check().damage == []
    finally:
        archive.close()
