"""This project's own archive, on its embedded default."""

from __future__ import annotations

import sys
from pathlib import Path

from peers.server import Server


class Vna(Server):
    name = "vna"
    ae_title = "VNA"
    ready = "/readyz"

    def command(self) -> tuple[list[str], dict[str, str]]:
        vna = Path(sys.executable).with_name("vna")
        ports = ["--dimse-port", str(self.dimse_port), "--http-port", str(self.http_port)]
        return [str(vna), "serve", "--data", str(self.folder / "data"), *ports], {}


class VnaRaw(Vna):
    """The same without compression, as Orthanc runs here: more disk, less CPU."""

    name = "vna-raw"

    def command(self) -> tuple[list[str], dict[str, str]]:
        config = self.folder / "vna.toml"
        config.write_text('[archive]\ncodec = "raw"\n', encoding="utf-8")
        command, environment = super().command()
        return [*command, "--config", str(config)], environment
