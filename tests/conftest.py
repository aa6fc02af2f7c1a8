"""What every test may use: the corpus of real files, free ports, a running archive."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VNA = Path(sys.executable).with_name("vna")
ENDS_WITHIN_S = 60


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's own folder."""
    return ROOT


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real DICOM files; a missing one fails the tests that need it."""
    folder = Path(os.environ.get("VNA_CORPUS", ROOT / "../shared/corpus")).resolve()
    assert (folder / "MANIFEST.tsv").is_file(), f"no corpus in {folder}: set VNA_CORPUS"
    return folder


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Return ports that nobody listens on, each time another one."""
    given: set[int] = set()

    def port() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                number = probe.getsockname()[1]
            if number not in given:
                given.add(number)
                return number

    return port


@dataclass
class Daemon:
    """A running `vna serve`, as its own report describes it."""

    process: subprocess.Popen[str]
    log: Path
    data: Path
    ae_title: str
    dimse_port: int
    http_port: int
    dicomweb: str

    @property
    def http(self) -> str:
        """The root of the HTTP front."""
        return f"http://127.0.0.1:{self.http_port}"

    def stop(self) -> int:
        """End the daemon as systemd would; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=ENDS_WITHIN_S)
        return self.process.returncode


class StartDaemon:
    """Starts daemons; all of them end when the fixture does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Daemon] = []

    def __call__(self, data: Path, *options: str, workers: int = 2) -> Daemon:
        """Return a daemon that accepts, on free ports of 127.0.0.1."""
        log = self._folder / f"{len(self._started)}.log"
        command = [VNA, "serve", "--json", "--data", data, "--workers", str(workers)]
        ports = ["--dimse-port", "0", "--http-port", "0"]
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [*command, *ports, *options], stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.communicate(timeout=ENDS_WITHIN_S)
            raise AssertionError(f"vna serve ended with {process.returncode}:\n{log.read_text()}")
        report = json.loads(line)
        daemon = Daemon(
            process,
            log,
            data,
            report["ae_title"],
            report["dimse_port"],
            report["http_port"],
            report["dicomweb"],
        )
        self._started.append(daemon)
        return daemon

    def end(self) -> None:
        """End what still runs, and clear up."""
        for daemon in self._started:
            daemon.stop()


@pytest.fixture(scope="session")
def start_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartDaemon]:
    """Start an archive as a process: `start_daemon(data, *options)`."""
    starter = StartDaemon(tmp_path_factory.mktemp("daemons"))
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def daemon(start_daemon: StartDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One running archive for the tests of a module; it must drain and exit with 0."""
    running = start_daemon(tmp_path_factory.mktemp("archive") / "data")
    yield running
    assert running.stop() == 0, running.log.read_text()
