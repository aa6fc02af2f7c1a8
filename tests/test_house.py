"""The rules of the house (docs/architecture.md) that a program can check."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "vna").rglob("*.py"))
ROOMS = sorted(path.parent for path in (ROOT / "vna").glob("*/__init__.py"))
CEILING = 700
MODULE_BY_MODULE = {"dicom", "testing"}
"""Rooms of pure parts, imported one by one."""
DOORS = {"app", "archive", "bench", "config", "dimse", "index", "storage", "web", "workflow"}
"""Rooms that outsiders enter through their `__init__` alone."""
MAY_USE_NATIVE = {"dicom", "dimse", "index", "storage", "testing", "web"}
FILES_THAT_MAY = {ROOT / "vna/_build.py", ROOT / "vna/outlet.py"}


def room_of(path):
    parts = path.relative_to(ROOT / "vna").parts
    return parts[0] if len(parts) > 1 else ""


def imports(path):
    """Yield the dotted name of each module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= CEILING


def test_rust_files_are_short():
    sources = [*(ROOT / "native/core").rglob("*.rs"), *(ROOT / "native/py").rglob("*.rs")]
    assert sources
    long = {
        named(path): lines
        for path in sources
        if (lines := len(path.read_text().splitlines())) > CEILING and "table" not in path.stem
    }
    assert not long


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_each_room_has_a_glossary_and_a_short_sorted_door(room):
    tree = ast.parse((room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    if room.name in MODULE_BY_MODULE:
        return
    doors = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    assert len(doors) == 1
    assert doors[0]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_rooms_are_entered_through_their_doors(path):
    known = {f"vna.{room.name}" for room in ROOMS if room.name in DOORS}
    for name in imports(path):
        for door in known:
            inside = name.startswith(door + ".") and (
                (ROOT / name.replace(".", "/")).is_dir()
                or (ROOT / (name.replace(".", "/") + ".py")).is_file()
            )
            assert not inside or f"vna.{room_of(path)}" == door, f"imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_native_core_is_used_by_the_rooms_that_may(path):
    uses = any(name.startswith("vna._native") for name in imports(path))
    assert not uses or room_of(path) in MAY_USE_NATIVE or path in FILES_THAT_MAY


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_environment_is_read_by_config_alone(path):
    reads = re.search(r"\bos\.(environ|getenv|environb)\b", path.read_text())
    assert not reads or room_of(path) == "config"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_nothing_is_left_open(path):
    left = re.search(
        r"\b(TODO|FIXME|XXX|raise NotImplementedError)\b|type: ignore *$|noqa *$",
        path.read_text(),
        re.MULTILINE,
    )
    assert not left


def rows(page):
    """Yield the cells of each table row of a page."""
    for line in page.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_every_python_dependency_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["project"]["optional-dependencies"]["codecs"],
        *project["build-system"]["requires"],
    ]
    page = (ROOT / "docs/dependencies.md").read_text().split("## Rust")[0]
    explained = {f"{cells[0]}{cells[1]}" for cells in rows(page) if cells[0] != "package"}
    assert explained == set(wanted)


def test_every_rust_dependency_is_explained():
    wanted = {}
    for manifest in ("core", "fuzz", "py"):
        crate = tomllib.loads((ROOT / f"native/{manifest}/Cargo.toml").read_text())
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, spec in crate.get(kind, {}).items():
                version = spec if isinstance(spec, str) else spec.get("version")
                if version:
                    wanted[name] = version
    page = (ROOT / "docs/dependencies.md").read_text().partition("## Rust")[2].partition("\n## ")[0]
    assert {cells[0]: cells[1] for cells in rows(page) if cells[0] != "crate"} == wanted


def test_every_test_package_is_explained():
    (packages,) = re.findall(
        r"^TEST_PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    page = (ROOT / "docs/dependencies.md").read_text().partition("## Debian")[2]
    assert set(packages.split()) <= {cells[0] for cells in rows(page)}


def test_links_between_pages_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{named(page)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken
