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
    window: ClassVar[int] = 8
    """C-STOREs under way on the association of a C-MOVE; DCMTK does not agree on more than one."""

    @staticmethod
    def version() -> str:
        return first_line(str(BINARY), "version")

    def settings(self) -> str:
        """Return the configuration."""
        return (
            "[dimse]\nmax_associations = 1100\n"
            f'[[remote]]\nae_title = "{SINK}"\nhost = "127.0.0.1"\nport = {self.sink_port}\n'
            f"window = {self.window}\n"
        )

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = self.folder / "vna.toml"
        config.write_text(self.settings(), encoding="utf-8")
        ports = ["--dimse-port", str(self.dimse_port), "--http-port", str(self.http_port)]
        workers = ["--workers", str(self.workers)]
        data = ["--data", str(self.folder / "data")]
        return [str(BINARY), "serve", "--config", str(config), *data, *workers, *ports], {}


class VnaOneWorker(Vna):
    name = "vna-1"
    what = "this archive, one worker"
    workers = 1


class VnaCached(Vna):
    name = "vna-cached"
    what = "this archive, storing through the page cache"

    def settings(self) -> str:
        return f"{super().settings()}[archive]\ndirect_writes = false\n"


class VnaTiering(Vna):
    name = "vna-tiering"
    what = "this archive, policies moving everything meanwhile at the default rate"

    def settings(self) -> str:
        packs, warm = self.folder / "data/packs", self.folder / "warm"
        return (
            f"{super().settings()}[tiering]\nevery_s = 1\n"
            f'[[tier]]\nname = "hot"\nkind = "directory"\npath = "{packs}"\n'
            f'[[tier]]\nname = "warm"\nkind = "directory"\npath = "{warm}"\ncodec = "fast"\n'
            '[[policy]]\nname = "all"\nto = "warm"\ndays = 0\n'
        )
