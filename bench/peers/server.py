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
from typing import Self

import psutil


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(ABC):
    """A server process tree with a DIMSE and an HTTP port on loopback."""

    name = ""
    ae_title = ""
    dicomweb = "/dicom-web"
    ready = "/"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.dimse_port, self.http_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}{self.dicomweb}"

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line and what it needs in the environment."""

    def __enter__(self) -> Self:
        command, environment = self.command()
        log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | environment,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        url = f"http://127.0.0.1:{self.http_port}{self.ready}"
        while True:
            with suppress(OSError), urllib.request.urlopen(url, timeout=1):
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{self.name} did not start; see {log.name}")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _tree(self) -> list[psutil.Process]:
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU seconds that the tree has used, user and system."""
        return sum(p.cpu_times().user + p.cpu_times().system for p in self._tree())

    def rss_mb(self) -> float:
        """Return the resident memory of the tree."""
        return sum(p.memory_info().rss for p in self._tree()) / 1e6
