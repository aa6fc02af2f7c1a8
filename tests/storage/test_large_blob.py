"""A blob larger than what may be held in memory, in and out."""

import subprocess
import sys

WORK = """
import random, resource, sys
from pathlib import Path
from vna._native import Blake3
from vna.storage import BlobStore, StorageSettings

store = BlobStore(StorageSettings(path=Path(sys.argv[1])))
block = random.Random(1).randbytes(700_000) + bytes(300_000)
total = 200_000_000
chunk_length = int(sys.argv[2])
warm = store.stream(chunk_length); warm.write(block); warm.abort()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

hasher = Blake3()
stream = store.stream(chunk_length)
for _ in range(total // len(block)):
    hasher.update(block)
    stream.write(block)
place = stream.finish(hasher.digest())
written = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

again, length = Blake3(), 0
for piece in store.pieces(place):
    assert len(piece) <= 1 << 20
    again.update(piece)
    length += len(piece)
assert length == total == place.length
assert again.digest() == hasher.digest()
store.verify(place, hasher.digest())
read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(written - before, read - before)
"""


def test_200_megabytes_flow_in_bounded_memory(packs):
    for chunk_length in (65536, 50_000_000):
        run = subprocess.run(
            [sys.executable, "-c", WORK, str(packs), str(chunk_length)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        written, read = map(int, run.stdout.split())
        assert written < 48 << 10, f"{written} KiB more while writing"
        assert read < 48 << 10, f"{read} KiB more while reading"
