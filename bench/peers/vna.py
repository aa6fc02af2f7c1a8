"""This project's own archive, on its embedded default."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar, Self

from peers.server import SINK, Server, first_line

BINARY = Path(sys.executable).with_name("vna")


class Vna(Server):
    name = "vna"
    what = "this archive, defaults"
    ae_title = "VNA"
    ready = "/readyz"
    workers: ClassVar[int] = 0

    @staticmethod
    def version() -> str:
        return first_line(str(BINARY), "version")

    @property
    def configured(self) -> list[str]:
        """Return the options by which commands find this archive."""
        return ["--config", str(self.folder / "vna.toml"), "--data", str(self.folder / "data")]

    def settings(self) -> str:
        """Return the configuration."""
        return (
            "[dimse]\nmax_associations = 1100\n"
            f'[[remote]]\nae_title = "{SINK}"\nhost = "127.0.0.1"\nport = {self.sink_port}\n'
        )

    def command(self) -> tuple[list[str], dict[str, str]]:
        (self.folder / "vna.toml").write_text(self.settings(), encoding="utf-8")
        ports = ["--dimse-port", str(self.dimse_port), "--http-port", str(self.http_port)]
        workers = ["--workers", str(self.workers)]
        return [str(BINARY), "serve", *self.configured, *workers, *ports], {}


class VnaOneWorker(Vna):
    name = "vna-1"
    what = "this archive, one worker"
    workers = 1


class VnaTiering(Vna):
    """Moves what it has to another tier all the time, as fast as it goes, at the lowest priority."""

    name = "vna-tiering"
    what = "this archive, moving to another tier meanwhile"

    def settings(self) -> str:
        packs, warm = self.folder / "data/packs", self.folder / "warm"
        return (
            f"{super().settings()}"
            f'[[tier]]\nname = "hot"\nkind = "directory"\npath = "{packs}"\n'
            f'[[tier]]\nname = "warm"\nkind = "directory"\npath = "{warm}"\ncodec = "fast"\n'
        )

    def __enter__(self) -> Self:
        super().__enter__()
        self._ended = threading.Event()
        self._mover = threading.Thread(target=self._move)
        self._mover.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._mover.join()
        super().__exit__(*error)

    def _move(self) -> None:
        command = ["nice", str(BINARY), "tier", "move", "--to", "warm", "--all"]
        while not self._ended.wait(1):
            with (self.folder / "moves").open("ab") as log:
                moving = subprocess.Popen([*command, *self.configured], stdout=log, stderr=log)
                while moving.poll() is None:
                    if self._ended.wait(0.1):
                        moving.terminate()
                        moving.wait()
