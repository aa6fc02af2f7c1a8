"""What every test may use: the corpus of real files, free ports, a running archive."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

from vna.testing.faultproxy import fault_proxy
from vna.testing.objectstore import object_store

hypothesis.settings.register_profile("any machine", deadline=None)  # it may be busy
hypothesis.settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent
VNA = Path(sys.executable).with_name("vna")
ENDS_WITHIN_S = 60
REACTOR_ENDED_AFTER_S = 1.0


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


@pytest.fixture
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a connection; the first does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        out, _ = listener.accept()
    out.setblocking(False)
    with out, peer:
        yield out, peer


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


class Checkpoint(threading.Event):
    """Where pynetdicom's reactor thread rests while cleared; `clear` returns once it does.

    One of its send_*() clears it, to have the responses for itself. pynetdicom's reactor says that
    it rests a moment before it does, and eats a response that comes meanwhile (its issue 875): of
    those of a peer that answers at once, about one in a thousand.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        super().__init__()
        self._reactor = reactor
        self._lock = threading.Lock()
        self._resting = threading.Event()

    def clear(self) -> None:
        with self._lock:
            if self.is_set():
                self._resting.clear()
            super().clear()
        if threading.current_thread() is not self._reactor:
            self._resting.wait(REACTOR_ENDED_AFTER_S)

    def wait(self, timeout: float | None = None) -> bool:
        with self._lock:
            if not self.is_set():
                self._resting.set()
        return super().wait(timeout)


class Connected:
    """Whether pynetdicom's socket is connected; to others than its own thread, if it ever was.

    A requestor looks whether the connection was made, and then for the answer. An answer that comes
    at once, and ends the connection, is there before it looks, and would not be read.
    """

    def __get__(self, socket: AssociationSocket, _owner: object = None) -> bool:
        own = threading.current_thread() is socket.assoc.dul
        return any(vars(socket).get("connected", [])[-1 if own else 0 :])

    def __set__(self, socket: AssociationSocket, connected: bool) -> None:
        vars(socket).setdefault("connected", []).append(connected)


@pytest.fixture(scope="session", autouse=True)
def pynetdicom_loses_no_responses() -> Iterator[None]:
    """Give each association of pynetdicom a checkpoint that holds, and let it see each answer."""
    original = Association.__init__

    def init(self: Association, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        self._reactor_checkpoint = Checkpoint(self)
        self._reactor_checkpoint.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Association, "__init__", init)
        patch.setattr(AssociationSocket, "_is_connected", Connected(), raising=False)
        yield


PREFIXES = itertools.count(1)


@pytest.fixture(scope="session")
def object_server(tmp_path_factory):
    """A real S3 server."""
    with object_store(tmp_path_factory.mktemp("weed")) as settings:
        yield settings


@pytest.fixture
def bucket(object_server):
    """A place in the bucket that nobody else uses."""
    return replace(object_server, prefix=f"test-{next(PREFIXES)}")


@pytest.fixture
def proxy(object_server):
    """A proxy before the S3 server, that makes faults."""
    with fault_proxy(object_server.endpoint) as running:
        yield running


@pytest.fixture
def proxied(bucket, proxy):
    """A place in the bucket that nobody else uses, asked through the proxy."""
    return replace(bucket, endpoint=proxy.url)


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

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that serve."""
        found = []
        for each in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # killed, and maybe not waited for yet
                if "vna.app.worker" in each.cmdline():
                    found.append(each)
        return found

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
