"""Orthanc with its DICOMweb plugin, configured for a fair run: durable, no compression, no Nagle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

from peers.server import SINK, Server, first_line

PLUGINS = Path("/usr/share/orthanc/plugins")


class Orthanc(Server):
    name = "orthanc"
    what = "Orthanc with DICOMweb and SQLite, durable, TCP_NODELAY"
    nodelay: ClassVar[bool] = True
    ae_title = "ORTHANC"
    ready = "/system"

    @staticmethod
    def installed() -> bool:
        return shutil.which("Orthanc") is not None and any(PLUGINS.glob("libOrthancDicomWeb*"))

    @staticmethod
    def version() -> str:
        return first_line("Orthanc", "--version")

    def command(self) -> tuple[list[str], dict[str, str]]:
        settings = {
            "StorageDirectory": str(self.folder / "db"),
            "IndexDirectory": str(self.folder / "db"),
            "DicomAet": self.ae_title,
            "DicomPort": self.dimse_port,
            "HttpPort": self.http_port,
            "Plugins": [str(path) for path in PLUGINS.glob("libOrthancDicomWeb*")],
            "StorageCompression": False,
            "HttpCompressionEnabled": False,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "SyncStorageArea": True,
            "StorageAccessOnFind": "Never",
            "SaveJobs": False,
            "OverwriteInstances": False,
            "DicomThreadsCount": 8,
            "HttpThreadsCount": 50,
            "MaximumPduLength": 131072,
            "MaximumStorageCacheSize": 1024,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "SynchronousCMove": True,
            "DicomModalities": {"sink": [SINK, "127.0.0.1", self.sink_port]},
            "DicomWeb": {"Enable": True, "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
        }
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return ["Orthanc", str(path)], {"TCP_NODELAY": "1"} if self.nodelay else {}


class OrthancStock(Orthanc):
    """As Debian starts it: nothing in its environment."""

    name = "orthanc-stock"
    what = "the same without TCP_NODELAY in its environment"
    nodelay = False
