"""DCMTK's receivers: storescp, which keeps files, and dcmqrscp, which keeps an index of them."""

from __future__ import annotations

import shutil

from peers.server import SINK, Server, first_line

PDU = "131072"
SYSTEM = "/usr/local/bin:/usr/bin"
"""Not the programs of the same names that pynetdicom puts beside Python."""


def program(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM)


class Storescp(Server):
    name = "storescp"
    what = "DCMTK storescp: a process per association, files, no index, no sync"
    ae_title = "STORESCP"
    offers = frozenset({"dimse"})

    @staticmethod
    def installed() -> bool:
        return program("storescp") is not None

    @staticmethod
    def version() -> str:
        return first_line(program("storescp") or "", "--version")

    def command(self) -> tuple[list[str], dict[str, str]]:
        out = self.folder / "out"
        out.mkdir()
        options = [
            "--quiet",
            "--fork",
            "--accept-all",
            "--max-pdu",
            PDU,
            "--output-directory",
            str(out),
        ]
        title = ["--aetitle", self.ae_title]
        binary = program("storescp") or ""
        return [binary, *options, *title, str(self.dimse_port)], {"TCP_NODELAY": "1"}


class Dcmqrscp(Server):
    name = "dcmqrscp"
    what = "DCMTK dcmqrscp: a process per association, files and a flat index, no sync"
    ae_title = "DCMQRSCP"
    fill_lanes = 1  # its flat index loses entries when several associations store at once
    offers = frozenset({"dimse", "sink"})

    @staticmethod
    def installed() -> bool:
        return program("dcmqrscp") is not None

    @staticmethod
    def version() -> str:
        return first_line(program("dcmqrscp") or "", "--version")

    def command(self) -> tuple[list[str], dict[str, str]]:
        (self.folder / "db").mkdir()
        config = self.folder / "dcmqrscp.cfg"
        config.write_text(
            f"NetworkTCPPort = {self.dimse_port}\n"
            f"MaxPDUSize = {PDU}\n"
            "MaxAssociations = 128\n"
            f"HostTable BEGIN\nsink = ({SINK}, 127.0.0.1, {self.sink_port})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{self.ae_title} {self.folder / 'db'} RW (2000, 1024gb) ANY\n"
            "AETable END\n",
            encoding="utf-8",
        )
        return [program("dcmqrscp") or "", "--quiet", "--config", str(config)], {"TCP_NODELAY": "1"}
