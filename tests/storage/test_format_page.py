"""docs/format/pack.md against the code: same fields, same offsets, same ids."""

import re
from pathlib import Path

import pytest

from vna.storage import format as pack_format
from vna.storage.codecs import CODEC_IDS, CODECS
from vna.types import BlobKind

PAGE = Path(__file__).parents[2] / "docs" / "format" / "pack.md"


def tables(section: str) -> list[list[list[str]]]:
    """Return the tables of a section: rows of cells, headings included."""
    body = re.search(
        rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    assert body, section
    found, rows = [], []
    for line in [*body[1].splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append([rows[0], *rows[2:]])
            rows = []
    return found


@pytest.mark.parametrize(
    ("section", "layout"),
    [
        ("Pack header", pack_format.PACK_HEADER),
        ("Record header", pack_format.RECORD_HEADER),
        ("Chunk entry", pack_format.CHUNK_ENTRY),
    ],
)
def test_drawn_fields_are_the_code_s(section, layout):
    heading, *rows = tables(section)[0]
    assert heading[:3] == ["offset", "size", "field"]
    assert [(int(offset), int(size), field) for offset, size, field, _ in rows] == layout.fields
    assert sum(int(row[1]) for row in rows) == layout.size
    assert f"{layout.size} bytes" in PAGE.read_text().split(f"## {section}")[1]


def test_drawn_kinds_are_the_code_s():
    _, *rows = tables("Record header")[1]
    assert {int(row[0]): row[1] for row in rows} == pack_format.KINDS
    assert {kind.value: kind.name.lower() for kind in BlobKind}.items() <= pack_format.KINDS.items()


def test_drawn_codecs_are_the_code_s():
    _, *rows = tables("Chunk entry")[1]
    drawn = {row[1]: int(row[0]) for row in rows}
    assert drawn == CODEC_IDS
    assert set(drawn.values()) == set(CODECS)


def test_drawn_constants_are_the_code_s():
    text = PAGE.read_text()
    assert " ".join(f"{byte:02X}" for byte in pack_format.PACK_MAGIC) in text
    assert " ".join(f"{byte:02X}" for byte in pack_format.RECORD_MAGIC) in text
    assert f"1 to {pack_format.MAX_STRIDE}," in text
    assert f"at most {pack_format.MAX_COMMIT} bytes" in text
    assert f"format version {pack_format.VERSION}" in text
    assert pack_format.pack_name(1 << 32 | 42) + ".pack" in text
