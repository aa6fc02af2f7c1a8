"""pynetdicom's own receiver."""

from __future__ import annotations

import sys
from importlib.metadata import version

from peers.server import Server


class Pynetdicom(Server):
    name = "pynetdicom"
    what = "pynetdicom storescp: a thread per association, files, no index, no sync"
    ae_title = "STORESCP"
    offers = frozenset({"dimse"})

    @staticmethod
    def version() -> str:
        return version("pynetdicom")

    def command(self) -> tuple[list[str], dict[str, str]]:
        out = ["--output-directory", str(self.folder / "out")]
        options = ["--quiet", "--ae-title", self.ae_title, "--max-pdu", "131072"]
        app = [sys.executable, "-m", "pynetdicom", "storescp"]
        return [*app, *options, *out, str(self.dimse_port)], {}
