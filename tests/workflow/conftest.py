"""A folder in memory: what is tested here is not whether a disk is quick."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from vna.testing.power import memory_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as memory:
        yield memory
