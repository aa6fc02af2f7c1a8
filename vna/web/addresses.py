"""The URLs that answers give out: absolute, as the client sees this archive (PS3.18 8.2)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import quote

from aiohttp import web

from vna.archive import StoredObject
from vna.errors import Invalid
from vna.web.settings import WebSettings

__all__ = ["Addresses"]

_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FORWARDED = re.compile(r"(proto|host)=\"?([^\";,\s]+)\"?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes the URLs of resources; `root` is that of the DICOMweb service."""

    root: str

    @classmethod
    def of(cls, request: web.BaseRequest, settings: WebSettings) -> Self:
        """Return the addresses to give to the sender of `request`. Raises Invalid for a bad Host."""
        return cls.seen(request.scheme, request.host, request.headers, request.transport, settings)

    @classmethod
    def seen(
        cls,
        scheme: str,
        host: str,
        headers: Mapping[str, str],
        transport: asyncio.BaseTransport | None,
        settings: WebSettings,
    ) -> Self:
        """Return the addresses to give to who asked for `host`. Raises Invalid for a bad one."""
        if settings.base_url:
            return cls(settings.base_url + settings.prefix)
        host = _with_port(scheme, host, transport)
        if settings.trust_proxy:
            scheme = headers.get("X-Forwarded-Proto", scheme).split(",")[0].strip()
            host = headers.get("X-Forwarded-Host", host).split(",")[0].strip()
            nearest = headers.get("Forwarded", "").split(",")[0]
            for name, value in _FORWARDED.findall(nearest):
                if name.lower() == "proto":
                    scheme = value
                else:
                    host = value
        return cls(_root(scheme, host, settings.prefix))

    def study(self, study_uid: str) -> str:
        """Return the URL of a study."""
        return _study(self.root, study_uid)

    def series(self, study_uid: str, series_uid: str) -> str:
        """Return the URL of a series."""
        return _series(self.root, study_uid, series_uid)

    def instance(self, study_uid: str, series_uid: str, sop_uid: str) -> str:
        """Return the URL of an instance."""
        return f"{self.series(study_uid, series_uid)}/instances/{_quoted(sop_uid)}"

    def stored(self, stored: StoredObject) -> str:
        """Return the URL of a stored object."""
        return self.instance(stored.study_uid, stored.series_uid, stored.sop_uid)

    def bulk(self, stored: StoredObject) -> str:
        """Return the stem of a stored object's BulkDataURIs."""
        return f"{self.stored(stored)}/bulkdata"


@lru_cache(maxsize=256)  # a client sends the same ones each time
def _root(scheme: str, host: str, prefix: str) -> str:
    if scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise Invalid("the request's Host (or the proxy's forwarding header) is malformed")
    return f"{scheme}://{host}{prefix}"


def _study(root: str, uid: str) -> str:
    return f"{root}/studies/{_quoted(uid)}"


@lru_cache(maxsize=256)  # its instances follow one another
def _series(root: str, study_uid: str, uid: str) -> str:
    return f"{_study(root, study_uid)}/series/{_quoted(uid)}"


def _quoted(uid: str) -> str:
    """Return a UID as it stands in a path. Nearly all are digits and dots, which stay."""
    return uid if uid.isascii() and uid.replace(".", "").isdigit() else quote(uid, safe="")


def _with_port(scheme: str, host: str, transport: asyncio.BaseTransport | None) -> str:
    """Return the Host of a request, with the port that this machine's own clients may leave out.

    dicomweb-client sends Host without the port. On a loopback name only this socket can be meant,
    so its port is put back; elsewhere the name may be a proxy's, and stays as it is.
    """
    if host in _LOOPBACK and transport is not None:
        address = transport.get_extra_info("sockname")
        if isinstance(address, tuple) and address[1] != (443 if scheme == "https" else 80):
            return f"{host}:{address[1]}"
    return host
