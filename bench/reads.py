"""What a read of 512 KiB costs past the page cache, through it, and out of it.

    .venv/bin/python bench/reads.py [--folder DIR] [--count 1000] [--rounds 3]

One after the other, of a file in the folder that is made for it; milliseconds of time and of processor time.
"""

from __future__ import annotations

import argparse
import mmap
import os
import tempfile
import time

LENGTH = 512 << 10
DONT_CACHE = 0x80
"""RWF_DONTCACHE of Linux 6.14: through the page cache, and out of it at once."""
WAYS = (
    ("past the page cache", os.O_DIRECT, 0, True),
    ("through it, left empty", 0, DONT_CACHE, True),
    ("through it, empty before", 0, 0, True),
    ("out of it", 0, 0, False),
)
"""Name, flags of the file, flags of the read, whether the page cache is emptied before."""


def measure(path: str, count: int, flags: int, how: int, *, empty: bool) -> str:
    """Return what a read takes."""
    memory = mmap.mmap(-1, LENGTH)  # aligned, as O_DIRECT asks
    file = os.open(path, os.O_RDONLY | flags)
    try:
        if empty:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        wall, processor = time.perf_counter(), time.process_time()
        for number in range(count):
            os.preadv(file, [memory], number * LENGTH, how)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    except OSError as error:
        return str(error.strerror)
    finally:
        os.close(file)
    return f"{1e3 * wall / count:.2f} ms, {1e3 * processor / count:.2f} ms of processor time"


def main() -> None:
    """Measure and print each way, in turns."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default=".", help="on the disk that is asked about")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.NamedTemporaryFile(dir=asked.folder) as file:
        for _ in range(asked.count):
            file.write(os.urandom(LENGTH))
        file.flush()
        os.fsync(file.fileno())
        for _ in range(asked.rounds):
            for name, flags, how, empty in WAYS:
                print(f"{name}: {measure(file.name, asked.count, flags, how, empty=empty)}")


if __name__ == "__main__":
    main()
