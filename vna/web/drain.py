"""Ending without cutting off what has begun: requests under way are counted, and waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

__all__ = ["REQUESTS", "DrainingRunner", "Requests"]

CLOSING_S: Final = 1.0
"""What a handler gets to end that was cancelled, or that has only its last bytes to send."""


class Requests:
    """The requests under way. Once `ending`, each answer is the last of its connection."""

    def __init__(self) -> None:
        self.ending = False
        self.under_way = 0
        self._none = asyncio.Event()

    def begin(self) -> None:
        """Count a request that begins."""
        self.under_way += 1

    def end(self) -> None:
        """Count it as ended."""
        self.under_way -= 1
        if self.ending and not self.under_way:
            self._none.set()

    async def ended(self) -> None:
        """Return once no request is under way."""
        self.ending = True
        if self.under_way:
            await self._none.wait()


REQUESTS: Final = web.AppKey("requests", Requests)


class DrainingRunner(web.AppRunner):
    """A runner whose `cleanup` stops accepting and lets requests end for up to `drain_s`.

    aiohttp's own shutdown begins by dropping what connections still receive, so that an upload
    under way could never end: it comes after.
    """

    def __init__(
        self,
        app: web.Application,
        drain_s: float,
        served: Callable[[web.Server], web.Server],
        **options: Any,
    ) -> None:
        """`served` returns the server that takes connections, of that which aiohttp made."""
        super().__init__(app, shutdown_timeout=CLOSING_S, **options)
        self._drain_s = drain_s
        self._served = served

    async def _make_server(self) -> web.Server:
        return self._served(await super()._make_server())

    async def cleanup(self) -> None:
        """Drain, then close every connection."""
        for site in self.sites:
            await site.stop()
        await asyncio.sleep(0)  # what has arrived with the last connections gets its handler
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self.app[REQUESTS].ended()
        await super().cleanup()
