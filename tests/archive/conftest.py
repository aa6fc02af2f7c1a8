"""A real archive in a temporary folder, and small objects to put into it."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from vna.archive import Archive, ArchiveSettings
from vna.testing.images import ct_image
from vna.testing.power import memory_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder() -> Iterator[Path]:
    with memory_folder() as memory:
        yield memory


@pytest.fixture
def archive(data: Path) -> Iterator[Archive]:
    opened = Archive.open(ArchiveSettings(data=data))
    yield opened
    opened.close()


@pytest.fixture
def ct() -> Callable[..., bytes]:
    return ct_image


@pytest.fixture
def dataset_of() -> Callable[[bytes], bytes]:
    return _dataset_of


def _dataset_of(file: bytes) -> bytes:
    """Return the data set of a Part 10 file: what follows the file meta information."""
    stream = io.BytesIO(file)
    pydicom.filereader.read_preamble(stream, force=False)
    pydicom.filereader._read_file_meta_info(stream)
    return file[stream.tell() :]
