"""docs/format/weave.md against the code: the same numbers."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/format/weave.md").read_text()
CODEC = ROOT / "native/core/src/codec"


def numbers(file: str, name: str) -> list[int]:
    """Return what a constant is, or its elements."""
    found = re.search(rf"const {name}: [^=]+ =\s*\[?([\d, \n]+)\]?;", (CODEC / file).read_text())
    assert found, name
    return [int(number) for number in re.findall(r"\d+", found[1])]


def test_drawn_numbers_are_the_code_s():
    bases, more = numbers("weave/table.rs", "BASES"), numbers("weave/table.rs", "MORE")
    assert bases[:10] == list(range(10))
    assert more[:10] == [0] * 10
    assert f"| base | itself | {' | '.join(map(str, bases[10:15]))} | an escape |" in PAGE
    assert f"| more | 0 | {' | '.join(map(str, more[10:]))} |" in PAGE
    [end] = numbers("weave/table.rs", "END")
    assert end == bases[14] + (1 << more[14])
    [bits] = numbers("weave/table.rs", "PLACE_BITS")
    assert f"Its lowest {bits} bits fall into a symbol" in PAGE
    assert f"`f * (state >> {bits}) + p`" in PAGE
    [low] = numbers("weave/table.rs", "MOST_LOW")
    assert f"the number of low bits, 0 to {low};" in PAGE
    [missed] = numbers("lanes/woven.rs", "FIRST_MISS")
    assert f"and was missed by {missed}." in PAGE
    [base] = numbers("table.rs", "LEVEL_BASE")
    assert f"shifted right by 22, less {base}: 0 to 31" in PAGE


def test_the_golden_chunk_s_header_is_as_drawn():
    """Offsets and sums of the page hold for a chunk that was written once."""
    chunk = (CODEC / "golden/image.weave").read_bytes()
    assert int.from_bytes(chunk[1:3], "little") == 133
    for at in (5, 11):
        weights = [byte - 256 if byte > 127 else byte for byte in chunk[at : at + 6]]
        assert sum(weights) == 64
    assert sum(chunk[81:97]) == sum(chunk[97:113]) == 64
    words, escapes = (int.from_bytes(chunk[at : at + 4], "little") for at in (369, 373))
    assert len(chunk) == 377 + 2 * words + 2 * escapes
