"""Make a dictionary for header blobs from the corpus, without its values: write it to a new file.

    VNA_CORPUS=../shared/corpus python bench/header_dictionary.py vna/storage/dictionaries/N.zdict
    VNA_CORPUS=../shared/corpus python bench/header_dictionary.py --measure

What identifies anybody or anything is replaced, letter by letter and digit by digit, by what means
nothing: of a header only tags, codes, UIDs of the standard and names of products stay. A dictionary
is for ever: this is how number 1 was made, not how to change it. `--measure` says what one gains on
headers of data sets that it was not trained on.
"""

from __future__ import annotations

import io
import os
import random
import string
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pydicom
import zstandard

from vna.dicom.scan import ObjectScan
from vna.errors import VnaError

CORPUS = Path(os.environ.get("VNA_CORPUS", Path(__file__).parents[2] / "shared/corpus"))
SIZE = 64 << 10
TIMES = 2
"""Each header is taken as often, with other values: what is made up does not repeat."""

KEPT_VRS = {"AT", "CS", "SL", "SS", "UL", "US"}
KEPT = {
    0x0002_0013,  # Implementation Version Name
    0x0008_0070,  # Manufacturer
    0x0008_0100,  # Code Value
    0x0008_0102,  # Coding Scheme Designator
    0x0008_0104,  # Code Meaning
    0x0008_1090,  # Manufacturer's Model Name
}
NUMBERS = {"AS", "DA", "DS", "DT", "IS", "TM"}


def headers() -> dict[str, list[bytes]]:
    """Return the header blobs of the corpus, by data set."""
    found: dict[str, list[bytes]] = {}
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file() or path.read_bytes()[128:132] != b"DICM":
            continue
        scan = ObjectScan("part10", None)
        try:
            scan.feed(path.read_bytes())
            header = bytes(scan.finish().header)
        except VnaError:
            continue
        if b"\x04\x00\x20\x12SQ" in header:
            continue  # the directory of a medium, which is not stored; its file names are identifiers
        if 200 < len(header) < 32 << 10:
            found.setdefault(path.relative_to(CORPUS).parts[0], []).append(header)
    return found


def made_up(text: str, kind: str, rng: random.Random) -> str:
    """Return a value of the same length and shape that says nothing."""
    digits = "".join(rng.choice(string.digits) if c.isdigit() else c for c in text)
    if kind == "UI":
        return text if text.startswith("1.2.840.10008") else digits
    if kind in NUMBERS:
        return digits
    return "".join(rng.choices(string.ascii_uppercase, k=len(text)))


def anonymise(ds: pydicom.Dataset, rng: random.Random) -> None:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                anonymise(item, rng)
        elif element.VR in KEPT_VRS or element.tag in KEPT or element.tag.is_private_creator:
            continue
        elif element.VR in {"FL", "FD"}:
            element.value = [rng.random() for _ in range(element.VM)]
        elif isinstance(element.value, bytes):
            element.value = rng.randbytes(min(len(element.value), 64) // 2 * 2)
        elif element.VM > 1:
            element.value = [made_up(str(value), element.VR, rng) for value in element.value]
        elif element.VM == 1:
            element.value = made_up(str(element.value), element.VR, rng)


def samples(blobs: list[bytes]) -> list[bytes]:
    """Return headers that are like `blobs`, and nobody's."""
    rng = random.Random(1)
    made = []
    for blob in blobs * TIMES:
        try:
            ds = pydicom.dcmread(io.BytesIO(blob), force=True)
            anonymise(ds, rng)
            anonymise(ds.file_meta, rng)
            out = io.BytesIO()
            pydicom.dcmwrite(out, ds, enforce_file_format=False)
        except (AttributeError, KeyError, NotImplementedError, OSError, TypeError, ValueError):
            continue  # odd ones of the test data; there are enough others
        made.append(out.getvalue())
    return made


def train(sets: dict[str, list[bytes]]) -> bytes:
    blobs = [blob for name in sorted(sets) for blob in sets[name]]
    return zstandard.train_dictionary(SIZE, samples(blobs), level=3, dict_id=1 << 20).as_bytes()


def microseconds(work: Callable[[bytes], bytes], blobs: list[bytes]) -> tuple[float, list[bytes]]:
    """Return the least CPU time of a blob in 5 rounds, and what became of them."""
    least, done = float("inf"), []
    for _ in range(5):
        begin = time.process_time()
        done = [work(blob) for blob in blobs]
        least = min(least, time.process_time() - begin)
    return least / len(blobs) * 1e6, done


def measure(sets: dict[str, list[bytes]]) -> None:
    print("| data set | headers | bytes | codec | ratio | encode us | decode us |")
    print("|---|---|---|---|---|---|---|")
    for name in sorted((name for name in sets if len(sets[name]) > 8), key=str):
        blobs = sets[name]
        others = {other: sets[other] for other in sets if other.split("-")[0] != name.split("-")[0]}
        known = zstandard.ZstdCompressionDict(train(others))
        for codec, dictionary in (("zstd-1", None), ("header", known)):
            into = zstandard.ZstdCompressor(level=1, dict_data=dictionary)
            back = zstandard.ZstdDecompressor(dict_data=dictionary)
            encode, stored = microseconds(into.compress, blobs)
            decode, _ = microseconds(back.decompress, stored)
            size = sum(map(len, blobs))
            ratio = size / sum(map(len, stored))
            print(
                f"| {name} | {len(blobs)} | {size // len(blobs)} | {codec} | {ratio:.2f} "
                f"| {encode:.0f} | {decode:.0f} |"
            )


def main() -> None:
    warnings.simplefilter("ignore")
    [argument] = sys.argv[1:]
    if argument == "--measure":
        measure(headers())
        return
    made = train(headers())
    with Path(argument).open("xb") as file:
        file.write(made)


if __name__ == "__main__":
    main()
