"""This project's own archive, on its embedded default."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

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

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = self.folder / "vna.toml"
        config.write_text(
            "[dimse]\nmax_associations = 1100\n"
            f'[[remote]]\nae_title = "{SINK}"\nhost = "127.0.0.1"\nport = {self.sink_port}\n',
            encoding="utf-8",
        )
        ports = ["--dimse-port", str(self.dimse_port), "--http-port", str(self.http_port)]
        workers = ["--workers", str(self.workers)]
        data = ["--data", str(self.folder / "data")]
        return [str(BINARY), "serve", "--config", str(config), *data, *workers, *ports], {}


class VnaOneWorker(Vna):
    name = "vna-1"
    what = "this archive, one worker"
    workers = 1
