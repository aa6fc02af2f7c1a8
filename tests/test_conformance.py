"""docs/conformance.md says what the code does: its tables are compared with the code's own."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from vna import config, errors
from vna.archive import Archive, ArchiveSettings
from vna.dicom import part10
from vna.dicom.attributes import TABLE, Attribute
from vna.dicom.matching import NUMBER_VRS, WILDCARD_VRS, matchable
from vna.dicom.paths import describe
from vna.dicom.sop_classes import CURRENT, NON_PATIENT, RETIRED
from vna.dicom.uids import TRANSFER_SYNTAXES
from vna.dimse import negotiation, statuses
from vna.dimse.commands import CommandField
from vna.types import DuplicatePolicy, Level
from vna.web import WebSettings, make_app
from vna.web.media import coding_of
from vna.web.problems import STATUS_OF
from vna.web.search import CONTROLS, KNOWN, REQUIRED
from vna.web.storereport import FAILURE_REASON

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/conformance.md").read_text()
SOP_CLASSES = (ROOT / "docs/conformance-sop-classes.md").read_text()

LINES = range(1, 62)
HELD_NOW = {*range(1, 8), 12, 13, *range(15, 18), *range(20, 31), 33, 34, 35, 39, 40, 41}
HELD_NOW |= {43, 44, 45, 46, 50}
"""Lines that hold as tests, or stand in the page with what is missing of them."""
STATES = {"holds", "part", "planned"}


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = re.split(rf"^#+ {re.escape(heading)}$", page, flags=re.MULTILINE)
    assert len(section) == 2, f"one heading {heading!r}"
    below = re.split(r"^#", section[1], flags=re.MULTILINE)[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    assert len(lines) > 2, f"a table below {heading!r}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(paths: Iterable[int]) -> str:
    return ", ".join(describe(path) for path in sorted(paths))


# networking ---------------------------------------------------------------------------------------
def test_implementation_is_the_one_of_associations_and_files():
    said = dict(rows("Implementation"))
    assert said["Implementation Class UID"] == part10.IMPLEMENTATION_CLASS_UID
    assert said["Implementation Version Name"] == part10.IMPLEMENTATION_VERSION_NAME


def test_sop_classes_are_those_that_are_negotiated():
    said = {cells[1]: cells[2] for cells in rows("SOP classes") if cells[1].startswith("1.")}
    query_retrieve = negotiation.FIND | negotiation.MOVE | negotiation.GET
    assert said == dict.fromkeys({negotiation.VERIFICATION} | query_retrieve, "SCP")


def test_storage_sop_classes_are_listed():
    for heading, table in (("Current", CURRENT), ("Retired", RETIRED), ("Not taken", NON_PATIENT)):
        assert rows(heading, SOP_CLASSES) == [[uid, name] for uid, name in table.items()]


def test_transfer_syntaxes_are_listed_with_what_their_frames_leave_as():
    expected = []
    for uid, syntax in TRANSFER_SYNTAXES.items():
        coding = coding_of(uid)
        name = f"{syntax.name} (retired)" if syntax.retired else syntax.name
        expected.append([uid, name, coding.media_type, "yes" if coding.implied else "no"])
    assert rows("Transfer syntaxes") == expected


def test_rejections_are_those_that_are_sent():
    sent = {
        (answer.result, answer.source, answer.reason)
        for name, answer in vars(negotiation).items()
        if name.startswith("REJECT_")
    }
    assert {tuple(map(int, cells[:3])) for cells in rows("Rejections")} == sent


def test_every_status_is_listed():
    assert [cells[0] for cells in rows("DIMSE statuses")] == [
        f"{status:04X}" for status in sorted(statuses.Status)
    ]


def test_every_kind_of_error_is_listed_with_its_answers():
    def nearest(kind, table):
        return table[next(one for one in kind.__mro__ if one in table)]

    verbs = (CommandField.C_STORE, CommandField.C_FIND, CommandField.C_MOVE)
    assert statuses.TABLE[CommandField.C_MOVE] == statuses.TABLE[CommandField.C_GET]
    expected = {}
    for kind, code in STATUS_OF.items():
        known = kind.__name__ in errors.__all__
        dimse = [f"{nearest(kind, statuses.TABLE[verb]):04X}" for verb in verbs]
        reason = f"{nearest(kind, FAILURE_REASON):04X}"
        expected[kind.__name__] = [*(dimse if known else ["-"] * 3), str(int(code)), reason]
    assert {cells[0]: cells[1:6] for cells in rows("Errors")} == expected


# query --------------------------------------------------------------------------------------------
def keys_of(found: Iterable[Attribute]) -> str:
    """Return attributes as the page lists them: those of a sequence in brackets after its name."""
    items: dict[str, list[str]] = {}
    for row in found:
        name, _, inner = describe(row.path).partition(".")
        items.setdefault(name, []).extend([inner] if inner else [])
    return ", ".join(
        f"{name} ({' '.join(inner)})" if inner else name for name, inner in items.items()
    )


def test_keys_are_those_of_the_table():
    expected = []
    for level in Level:
        here = [row for row in TABLE if row.level is level]
        matched = [row for row in here if matchable(row.path, Level.INSTANCE)]
        returned = [row for row in here if row not in matched]
        name = "IMAGE" if level is Level.INSTANCE else level.name
        expected.append([name, keys_of(matched), keys_of(returned)])
    assert rows("Keys") == expected


def test_matching_names_the_vrs():
    said = {cells[0]: set(cells[1].split()) for cells in rows("Matching")}
    assert said["wildcard"] == WILDCARD_VRS
    assert said["number"] == NUMBER_VRS


def test_search_parameters_are_those_that_are_no_keys():
    said = [name for cells in rows("Search parameters") for name in cells[0].split(", ")]
    assert sorted(said) == sorted([*CONTROLS, "{attribute}"])


def test_answers_have_the_attributes_that_the_page_says():
    said = {cells[0]: cells[1:] for cells in rows("Attributes of answers")}
    assert said == {
        level.name: [names(REQUIRED[level]), names(KNOWN[level])]
        for level in (Level.STUDY, Level.SERIES, Level.INSTANCE)
    }


# web, configuration -------------------------------------------------------------------------------
async def test_resources_are_the_routes(tmp_path):
    archive = Archive.open(ArchiveSettings(data=tmp_path / "data"))
    try:
        app = make_app(archive, WebSettings(), lambda: True)
        routes = {
            (route.method, str(route.resource.canonical).removeprefix("/dicom-web"))
            for route in app.router.routes()
            if route.method != "HEAD" and "/dicom-web" in str(route.resource.canonical)
        }
    finally:
        archive.close()
    said = {
        (method, path)
        for cells in rows("Resources")
        for method in cells[0].split(", ")
        for path in re.findall(r"`([^`]+)`", cells[1])
    }
    assert said == routes


def test_http_statuses_are_all_listed():
    said = {int(cells[0]) for cells in rows("HTTP statuses")}
    assert said >= {int(code) for code in STATUS_OF.values()}


def test_settings_that_are_named_exist():
    named = re.findall(r"`\[(\w+)\] (\w+)(?: = [^`]*)?`", PAGE)
    assert named
    page = config.settings_page()
    for section, key in named:
        below = page.partition(f"## [{section}]")[2].partition("\n## ")[0]
        assert f"| `{key}` |" in below, f"[{section}] {key}"


def test_every_duplicate_policy_is_explained():
    assert [cells[0] for cells in rows("Duplicates")] == list(get_args(DuplicatePolicy))


# the numbered lines -------------------------------------------------------------------------------
def every_test() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = path
    return {name: path for name, path in found.items() if name.startswith("test_")}


TESTS = every_test()


def named_tests(cell: str) -> list[str]:
    return re.findall(r"`(test_\w+)`", cell)


def test_every_line_stands_once_in_order():
    assert [cells[0] for cells in rows("Checklist")] == [str(number) for number in LINES]
    assert {cells[2] for cells in rows("Checklist")} == STATES


@pytest.mark.parametrize("cells", rows("Checklist"), ids=lambda cells: cells[0])
def test_a_line_names_its_tests_or_what_is_missing(cells):
    number, _, state, where = cells
    tests = named_tests(where)
    missing = [name for name in tests if name not in TESTS]
    assert not missing
    words = re.sub(r"`test_\w+`|[·, ]", "", where)
    assert state != "holds" or tests
    assert state == "holds" or words, "says what is missing"
    if int(number) in HELD_NOW:
        own = [name for name in tests if name.startswith(f"test_c{int(number):02}_")]
        assert state != "planned"
        assert own, "a test of its own"
