"""An extension that was built from other sources does not load."""

import shutil
from pathlib import Path

import pytest

from vna import _build, _native


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the native sources."""
    for source in _build.SOURCES:
        origin, copy = _build.NATIVE / source, tmp_path / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, copy)
        else:
            shutil.copy(origin, copy)
    return tmp_path


def test_both_sides_digest_alike() -> None:
    assert _build.source_digest(_build.NATIVE) == _native.SOURCE_DIGEST
    _build.check()


@pytest.mark.parametrize(
    "changed", ["Cargo.lock", "core/src/lib.rs", "core/src/scan/walk.rs", "py/src/lib.rs"]
)
def test_a_changed_source_is_refused(
    copied: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_build, "NATIVE", copied)
    _build.check()
    with (copied / changed).open("a") as file:
        file.write("\n")
    with pytest.raises(ImportError, match="run `make build`"):
        _build.check()


def test_a_new_source_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_build, "NATIVE", copied)
    (copied / "core/src/other.rs").write_text("//! Another.\n")
    with pytest.raises(ImportError):
        _build.check()


def test_without_sources_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_build, "NATIVE", tmp_path / "native")
    _build.check()
