"""Make the golden packs of format version 1 beside this file: `python tests/golden/packs_v1/make.py`.

They were made once and stay as they are: an archive must read them for ever.
"""

import sys
from pathlib import Path

from vna.storage import BlobStore, StorageSettings, digest_of
from vna.storage.encode import encode_record

HEADER = b"a data set without its bulk values"
PIXELS = bytes(range(256))
TABLE = b"".join(offset.to_bytes(8, "little") for offset in (0, 100, 256))
ZEROS = bytes(5000)


class Frozen:
    """A clock that stands still."""

    def stamp(self) -> int:
        return 1_767_225_600_000_000_000

    def monotonic(self) -> float:
        return 0.0

    def token(self, size: int) -> bytes:
        return bytes(size)


def make(folder: Path) -> None:
    """Write three packs into `folder`: raw records, a streamed record, zstd records."""
    store = BlobStore(StorageSettings(path=folder), clock=Frozen())
    writer = store.writer()
    blobs = [
        encode_record(1, digest_of(HEADER), [HEADER], 65536, "raw"),
        encode_record(2, digest_of(PIXELS), [PIXELS], 100, "raw"),
        encode_record(3, digest_of(TABLE), [TABLE], 65536, "raw"),
    ]
    writer.append(blobs, b"the first commit")
    writer.sync()
    writer.append([encode_record(2, digest_of(b""), [], 1, "raw")], b"the second commit")
    writer.close()

    stream = store.stream(65536, codec="raw")
    stream.write(PIXELS + b"!")
    stream.finish(digest_of(PIXELS + b"!"))

    writer = store.writer()
    writer.append([encode_record(2, digest_of(ZEROS), [ZEROS], 2048, "zstd")], b"the third commit")
    writer.close()
    store.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
