"""What handlers find on the application and the request."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from vna.archive import Archive
from vna.clock import Clock
from vna.web.settings import WebSettings

__all__ = ["ARCHIVE", "CLOCK", "REQUEST_ID", "SETTINGS"]

ARCHIVE: Final = web.AppKey("archive", Archive)
SETTINGS: Final = web.AppKey("settings", WebSettings)
CLOCK: Final = web.AppKey("clock", Clock)
REQUEST_ID: Final = web.RequestKey("request_id", str)
