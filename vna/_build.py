"""Refuses a native core that was built from other sources than those beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from vna import _native

NATIVE = Path(__file__).parent.parent / "native"
SOURCES = (
    "Cargo.lock",
    "Cargo.toml",
    "core/Cargo.toml",
    "core/src",
    "py/Cargo.toml",
    "py/build.rs",
    "py/src",
)
"""What the extension is made of: the same list as in native/py/build.rs."""


def check() -> None:
    """Raise ImportError when the extension is older than the sources of this checkout.

    Where no sources lie beside the package (an installed wheel) there is nothing to compare.
    """
    if not (NATIVE / "Cargo.lock").is_file():
        return
    if source_digest(NATIVE) != _native.SOURCE_DIGEST:
        raise ImportError("the native core is older than its sources; run `make build`")


def source_digest(native: Path) -> str:
    """Return the digest that build.rs computes.

    It is over each source in order: its path, a zero byte, the SHA-256 of its content.
    """
    digest = hashlib.sha256()
    for source in SOURCES:
        for file in _files(native / source):
            digest.update(file.relative_to(native).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.is_dir() or entry.suffix == ".rs":
            yield from _files(entry)
