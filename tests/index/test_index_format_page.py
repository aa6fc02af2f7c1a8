"""docs/format/index.md against the code: tables, key layouts, value members, schema version."""

import re
from pathlib import Path

import pytest

from vna._native import crc32c
from vna.index import data_file, entities, layout
from vna.index.layout import Table
from vna.types import BlobPlace, Level

PAGE = (Path(__file__).parents[2] / "docs/format/index.md").read_text()

FIELDS = {
    "patient": 1,
    "study": 2,
    "series": 3,
    "instance": 4,
    "stamp": 5,
    "pack": 6,
    "offset": 9,
    "seq": 7,
    "uid": "1.2.3",
    "study_uid": "1.2.4",
    "series_uid": "1.2.5",
    "name": "state",
    "digest": layout.name_key(Level.PATIENT, "Doe")[1:],
    "level": 1,
    "content": bytes(range(16)),
    "key": b"DOE",
    "row": layout.row_key(2),
}


def test_the_slot_of_a_checkpoint_is_as_drawn():
    section = PAGE.split("\n## Checkpoint\n")[1].split("\n## ")[0]
    drawn = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", section, re.MULTILINE)
    metas = b"one".ljust(256, b"\1"), b"two".ljust(256, b"\2")
    slot = data_file.Slot(7, 4096, 1, metas).encode()
    held = {name: slot[int(at) : int(at) + int(size)] for at, size, name in drawn}
    assert b"".join(held.values()) == slot
    assert held["magic"] == data_file.MAGIC
    assert [int.from_bytes(held[name], "little") for name in list(held)[1:4]] == [7, 4096, 1]
    assert (held["meta0"], held["meta1"]) == metas
    assert int.from_bytes(held["crc"], "little") == crc32c(slot[:-4])
    assert f"| {data_file.SLOT_AT[0]} | slot of checkpoints with an even" in section
    assert f"| {data_file.SLOT_AT[1]} | slot of checkpoints with an odd" in section
    assert f"| {data_file.CONDEMNED_AT} | `{data_file.CONDEMNED.decode()}`" in section


def rows(heading: str) -> list[list[str]]:
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def drawn(grammar: str) -> bytes:
    """Return the bytes that a key layout of the page describes, for FIELDS."""
    key = b""
    for part in grammar.split(", "):
        if re.fullmatch("[0-9A-F]{2}", part):
            key += bytes.fromhex(part)
            continue
        kind, name = part.split()
        value = FIELDS[name]
        key += {
            "u8": lambda v: v.to_bytes(1, "big"),
            "be64": lambda v: v.to_bytes(8, "big"),
            "text": lambda v: v.encode(),
            "bytes": lambda v: v,
        }[kind](value)
    return key


CODE = {
    ("meta", "text name"): layout.META_STATE,
    ("patients", "be64 patient"): layout.row_key(1),
    ("studies", "be64 study"): layout.row_key(2),
    ("series", "be64 study, be64 series"): layout.row_key(2, 3),
    ("instances", "be64 study, be64 series, be64 instance"): layout.row_key(2, 3, 4),
    ("uids", "00, bytes digest"): layout.name_key(Level.PATIENT, "Doe"),
    ("uids", "01, text uid"): layout.name_key(Level.STUDY, "1.2.3"),
    ("uids", "02, text uid, 00, be64 study"): layout.series_key("1.2.3", 2),
    ("uids", "03, text uid"): layout.name_key(Level.INSTANCE, "1.2.3"),
    ("keys", "u8 level, bytes key, 00, bytes row"): layout.secondary_key(
        Level.STUDY, b"DOE", layout.row_key(2)
    ),
    ("keys", "04, be64 patient, be64 study"): layout.patient_studies_key(1, 2),
    ("gone", "00, bytes digest"): layout.name_key(Level.PATIENT, "Doe"),
    ("gone", "01, text uid"): layout.name_key(Level.STUDY, "1.2.3"),
    ("gone", "02, text uid, 00, text study_uid"): layout.gone_series_key("1.2.3", "1.2.4"),
    ("gone", "03, text uid"): layout.name_key(Level.INSTANCE, "1.2.3"),
    ("gone", "04, text study_uid, 00, text series_uid, 00, text uid"): layout.buried_key(
        "1.2.4", "1.2.5", "1.2.3"
    ),
    ("barriers", "u8 level, text uid"): layout.barrier_key(Level.STUDY, "1.2.3"),
    ("barriers", "04, text uid, 00, be64 stamp, bytes content"): layout.void_key(
        "1.2.3", 5, bytes(range(16))
    ),
    ("barriers", "05, text uid, 00, bytes content"): layout.purge_key("1.2.3", bytes(range(16))),
    ("blobs", "bytes digest"): FIELDS["digest"],
    ("damaged", "bytes digest, be64 pack, be64 offset"): layout.copy_key(
        FIELDS["digest"], BlobPlace(6, 9, 1, 1)
    ),
    ("moved", "bytes digest, be64 pack, be64 offset"): layout.copy_key(
        FIELDS["digest"], BlobPlace(6, 9, 1, 1)
    ),
    ("packs", "be64 pack"): layout.row_key(6),
    ("feed", "be64 seq"): layout.row_key(7),
}


def test_every_table_is_drawn():
    assert {row[0] for row in rows("## Tables")} == {str(table) for table in Table}
    assert {(row[0], row[1]) for row in rows("## Tables")} == CODE.keys()


@pytest.mark.parametrize("key", CODE, ids=" ".join)
def test_key_layout_is_the_drawn_one(key):
    assert drawn(key[1]) == CODE[key]


def test_values_have_the_drawn_members():
    page = {name: members.split(", ") for name, members in rows("## Values")}
    assert page.keys() >= {row[2] for row in rows("## Tables") if row[2][0].isupper()}
    for name, members in page.items():
        assert list(getattr(entities, name).__struct_fields__) == members, name


def test_schema_version_and_limits():
    assert f"Schema version: {layout.SCHEMA_VERSION}." in PAGE
    assert f"to\n  {layout.MAX_KEY} bytes" in PAGE
    assert f"UIDs are at most {layout.MAX_UID} bytes" in PAGE
    longest = layout.secondary_key(Level.INSTANCE, bytes(layout.MAX_KEY), layout.row_key(1, 2, 3))
    assert len(longest) == 400 + 1 + 1 + 24 < 511
    assert {row[0] for row in rows("### Meta")} == {
        key.decode() for key in (layout.META_SCHEMA, layout.META_ARCHIVE, layout.META_STATE)
    }
