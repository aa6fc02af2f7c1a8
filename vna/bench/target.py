"""The server under measurement, as an address."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from vna.errors import Invalid

__all__ = ["Target"]

DICOM_PORT = 104
AE_TITLE_LENGTH = 16


class Target(msgspec.Struct, frozen=True):
    """Where a server listens: DIMSE, DICOMweb, or both.

    `sink` is where the bench receives C-MOVE's objects: the server must know that AE title as a
    destination at this machine's address and that port.
    """

    ae_title: str = ""
    host: str = ""
    port: int = 0
    web_host: str = ""
    web_port: int = 0
    prefix: str = ""
    calling: str = "VNABENCH"
    sink: str = "VNASINK"
    sink_port: int = 0

    @classmethod
    def parse(cls, dicom: str | None, web: str | None, sink: str | None = None) -> Target:
        """Read `dicom://AE@host:port`, `http://host:port/prefix` and `AE:port`; else Invalid."""
        found: dict[str, str | int] = {}
        if dicom:
            parts = _split(dicom, "dicom", "dicom://AE@host:port")
            found = {"host": parts[0], "port": parts[1] or DICOM_PORT, "ae_title": parts[2]}
            if not 0 < len(parts[2]) <= AE_TITLE_LENGTH:
                raise Invalid(f"{dicom}: an AE title has 1 to 16 characters")
        if web:
            parts = _split(web, "http", "http://host:port/prefix")
            found |= {"web_host": parts[0], "web_port": parts[1] or 80, "prefix": parts[3]}
        if sink:
            title, _, port = sink.partition(":")
            if not (title and port.isdecimal()):
                raise Invalid(f"{sink}: a sink is AE:port")
            found |= {"sink": title, "sink_port": int(port)}
        return cls(**found)  # type: ignore[arg-type]  # the names above are the fields

    @property
    def address(self) -> tuple[str, int]:
        """Where DIMSE listens."""
        return self.host, self.port

    @property
    def web_address(self) -> tuple[str, int]:
        """Where HTTP listens."""
        return self.web_host, self.web_port


def _split(url: str, scheme: str, shape: str) -> tuple[str, int, str, str]:
    """Return host, port (0: none given), user and path."""
    parts = urlsplit(url)
    try:
        port = parts.port or 0
    except ValueError:
        port = -1
    if parts.scheme != scheme or not parts.hostname or port < 0:
        raise Invalid(f"{url}: not an address of the shape {shape}")
    return parts.hostname, port, parts.username or "", parts.path.rstrip("/")
