"""What handlers find on the application and the request."""

from __future__ import annotations

from itertools import count
from typing import Final

from aiohttp import web

from vna.archive import Archive
from vna.clock import Clock
from vna.web.prepared import Prepared
from vna.web.settings import WebSettings

__all__ = ["ARCHIVE", "CLOCK", "PREPARED", "REQUEST_ID", "REQUEST_IDS", "SETTINGS", "RequestIds"]


class RequestIds:
    """Ids that no other process or run gives: a random front and a count."""

    def __init__(self, clock: Clock) -> None:
        self._front = clock.token(6).hex()
        self._count = count(1)

    def new(self) -> str:
        """Return an id."""
        return f"{self._front}-{next(self._count):x}"


ARCHIVE: Final = web.AppKey("archive", Archive)
SETTINGS: Final = web.AppKey("settings", WebSettings)
CLOCK: Final = web.AppKey("clock", Clock)
PREPARED: Final = web.AppKey("prepared", Prepared)
REQUEST_IDS: Final = web.AppKey("request_ids", RequestIds)
REQUEST_ID: Final = web.RequestKey("request_id", str)
