"""docs/format/codecs.md against the code: the same numbers."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/format/codecs.md").read_text()


def constant(file: str, name: str) -> int:
    text = (ROOT / "native/core/src/codec" / file).read_text()
    found = re.search(rf"const {name}: \w+ = (\d+)(?: << (\d+))?;", text)
    assert found, name
    return int(found[1]) << int(found[2] or 0)


def test_drawn_numbers_are_the_code_s():
    band = constant("lanes/mod.rs", "BAND")
    assert f"Lane `k` of {band} codes rows `k`, `k + {band}`" in PAGE
    assert f"| {8 * band} | states | {2 * band} states of 4 bytes" in PAGE
    assert f"`{constant('order.rs', 'SKEW')} k`" in PAGE
    assert f"or {constant('order.rs', 'LEAST_PERIOD')} where they are fewer" in PAGE
    direct = constant("table.rs", "DIRECT")
    assert f"`c` below {direct} is a symbol of its own" in PAGE
    assert f"with `y = c + {256 - direct}`" in PAGE
    assert f"symbol is `{direct} + 4 (k - 8) +`" in PAGE
    assert f"Symbols are below {constant('table.rs', 'SYMBOLS')}" in PAGE
    assert (
        f"less {constant('table.rs', 'LEVEL_BASE')}: 0 to {constant('table.rs', 'LEVELS') - 1}"
        in PAGE
    )
    assert f"at most {constant('table.rs', 'TABLES')} tables" in PAGE
    assert constant("table.rs", "RENORM") == 1 << 16
    assert f"shifted right by {constant('predict.rs', 'WEIGHT_BITS')} with its sign" in PAGE
    for name in ("MEDIAN", "LINEAR", "CONSTANT"):
        assert f"{constant('predict.rs', name)} {name.lower()}" in PAGE
