"""Programs that this project did not write, and what they are compared by."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import _read_file_meta_info, read_preamble

sys.path.insert(0, str(Path(__file__).parent))  # for `corpus` and `relay`

VNA = Path(sys.executable).with_name("vna")
WAIT_S = 60
DATA_SET_TRAILING_PADDING = 0xFFFC_FFFC
DISC = "pydicom/test_files/dicomdirtests"


@pytest.fixture(scope="session")
def tool() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program to its end; unless `code` is None, it must exit with `code`."""

    def run(
        *command: object, code: int | None = 0, **options: object
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [part if isinstance(part, bytes) else str(part) for part in command],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=WAIT_S,
            check=False,
            **options,
        )
        if code is not None:
            said = f"{done.stdout}\n{done.stderr}"
            assert done.returncode == code, f"{done.args} exited with {done.returncode}:\n{said}"
        return done

    return run


@pytest.fixture(scope="session")
def take(tool: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Have an archive import files as they are: `take(daemon, *paths)`."""

    def run(daemon: Any, *paths: Path) -> None:
        tool(VNA, "import", "--data", daemon.data, *paths)

    return run


@pytest.fixture(scope="session")
def fetch() -> Callable[[Any, Path], bytes]:
    """Return the stored object that has the UIDs of a file: `fetch(daemon, path)`."""

    def run(daemon: Any, path: Path) -> bytes:
        ds = dcmread(
            path, specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
        )
        url = (
            f"{daemon.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}"
        )
        accept = "application/dicom; transfer-syntax=*"
        request = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            return response.read()

    return run


@pytest.fixture(scope="module")
def start_tool() -> Iterator[Callable[..., None]]:
    """Start a program and wait until it listens: `start_tool(*command)`."""
    running: list[psutil.Popen] = []

    def start(*command: object) -> None:
        process = psutil.Popen([str(part) for part in command])
        running.append(process)
        end = time.monotonic() + WAIT_S
        while not any(link.status == psutil.CONN_LISTEN for link in process.net_connections()):
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() < end, f"{command} does not listen"
            time.sleep(0.02)

    yield start
    for process in running:
        process.terminate()
        process.wait(WAIT_S)


@pytest.fixture(scope="session")
def dataset() -> Callable[[Path | bytes], bytes]:
    """Return what follows the file meta information of a file: its data set, byte for byte."""

    def cut(file: Path | bytes) -> bytes:
        whole = file if isinstance(file, bytes) else file.read_bytes()
        stream = io.BytesIO(whole)
        read_preamble(stream, force=True)
        _read_file_meta_info(stream)
        return whole[stream.tell() :]

    return cut


@pytest.fixture(scope="session")
def content() -> Callable[[Path | bytes], Dataset]:
    """Return what a file says, as pydicom reads it.

    For programs that write a data set anew: lengths become undefined, and the padding behind it is
    dropped.
    """

    def read(file: Path | bytes) -> Dataset:
        ds = dcmread(io.BytesIO(file) if isinstance(file, bytes) else file)
        ds.pop(DATA_SET_TRAILING_PADDING, None)
        return ds

    return read


@pytest.fixture(scope="session")
def query_files(corpus: Path) -> list[Path]:
    """Two patients, six studies, 31 instances: what the DICOMDIR of the corpus is about."""
    files = [path for path in sorted(corpus.glob(f"{DISC}/[79]*/*/*")) if path.is_file()]
    assert len(files) == 31
    return files
