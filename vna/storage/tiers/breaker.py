"""A tier that is away is not asked again and again: who wants something of it is told so at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vna.storage.faults import TierAway
from vna.storage.tiers.wrapping import WrappedTier

if TYPE_CHECKING:
    from vna.clock import Clock
    from vna.storage.tier import Tier

__all__ = ["BreakerTier"]

log = logging.getLogger(__name__)

FAILURES: Final = 3
"""A tier that could not be reached so often, without an answer between, is away; after one time-out
it is at once: that has cost enough."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 15.0
PROBE_S: Final = 60.0
"""A probe that has not come back by then is given up."""


class BreakerTier(WrappedTier):
    """Lets nothing through while the tier is away, but a probe after 1, 2, 4 ... 15 seconds.

    ConnectionError and TimeoutError of `inner` become TierAway, which has the tier's name.
    """

    def __init__(self, inner: Tier, name: str, clock: Clock) -> None:
        super().__init__(inner)
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._away = ""
        self._pause = FIRST_PAUSE_S
        self._again_at = 0.0

    @property
    def away(self) -> str:
        """Why the tier is away; empty while it is not."""
        return self._away

    def probe(self) -> None:
        """Ask whether a tier that is away is back, if it is time for that."""
        if self._away and self._clock.monotonic() >= self._again_at:
            try:
                self.list()
            except OSError:
                return  # it is not; `around` has noted it

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """Refuse, or hear how it went. Opening asks nothing of a far tier, and tells nothing."""
        probing = self._enter(verb)
        try:
            yield
        except (ConnectionError, TimeoutError) as error:
            self._failed(error, probing=probing)
            raise TierAway(f"tier {self._name} is away: {error}") from error
        except OSError:
            self._answered()
            raise
        except BaseException:  # a stream that is left amid it, say: the next one may ask
            if probing:
                self._again_at = self._clock.monotonic()
            raise
        if verb != "open":
            self._answered()

    def _enter(self, verb: str) -> bool:
        """Return whether this is a probe. Raises TierAway."""
        if not self._away:
            return False
        with self._lock:
            now = self._clock.monotonic()
            if not self._away:
                return False
            if now < self._again_at:
                raise TierAway(f"tier {self._name} is away: {self._away}")
            if verb == "open":
                return False
            self._again_at = now + PROBE_S  # meanwhile nobody else asks
            return True

    def _failed(self, error: OSError, *, probing: bool) -> None:
        with self._lock:
            self._failures += 1
            if self._away and not probing:
                return  # begun before it was known to be away
            if not (self._away or isinstance(error, TimeoutError) or self._failures >= FAILURES):
                return
            if not self._away:
                log.error("tier %s is away: %s", self._name, error)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S) if self._away else FIRST_PAUSE_S
            self._away = str(error)
            self._again_at = self._clock.monotonic() + self._pause

    def _answered(self) -> None:
        if not self._failures:
            return
        with self._lock:
            self._failures = 0
            if self._away:
                self._away = ""
                log.warning("tier %s is back", self._name)
