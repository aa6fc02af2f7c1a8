"""What every server under measurement is to the bench."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from vna.bench import Stock, Target, Template

SINK = "VNASINK"
STARTS_WITHIN_S = 120
ENDS_WITHIN_S = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A process tree that listens on loopback: started, fed, stopped.

    `offers` says what scenarios may use: dimse, web, sink (it knows the bench's own C-MOVE
    destination). Its data are below `folder`, and go with it.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    ae_title: ClassVar[str] = ""
    dicomweb: ClassVar[str] = "/dicom-web"
    ready: ClassVar[str] = ""
    fill_lanes: ClassVar[int] = 4
    offers: ClassVar[frozenset[str]] = frozenset({"dimse", "web", "sink"})

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.dimse_port, self.http_port, self.sink_port = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Return whether this machine has the server."""
        return True

    @staticmethod
    def version() -> str:
        """Return the server's version, one line."""
        return ""

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line and what it needs in the environment."""

    def feed(self, stock: Stock, templates: list[Template]) -> bool:  # noqa: ARG002
        """Store the stock in a way of the server's own; false: it takes C-STORE."""
        return False

    @property
    def target(self) -> Target:
        dicom = f"dicom://{self.ae_title}@127.0.0.1:{self.dimse_port}"
        web = f"http://127.0.0.1:{self.http_port}{self.dicomweb}"
        return Target.parse(
            dicom if "dimse" in self.offers else None,
            web if "web" in self.offers else None,
            f"{SINK}:{self.sink_port}" if "sink" in self.offers else None,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        command, environment = self.command()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                text = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} did not start:\n{text}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_WITHIN_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        if self.ready:
            url = f"http://127.0.0.1:{self.http_port}{self.ready}"
            with suppress(OSError), urllib.request.urlopen(url, timeout=1):
                return True
            return False
        port = self.dimse_port if "dimse" in self.offers else self.http_port
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False


def first_line(*command: str) -> str:
    """Return the first line that a command prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip().partition("\n")[0].strip(" $")
