"""Tiers around a tier: each adds one thing, and passes everything else on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vna.observe import metrics

if TYPE_CHECKING:
    from vna._native import Buffer
    from vna.storage.tier import PackReader, Tier
    from vna.types import PackId

__all__ = ["MarkedTier", "MeteredTier", "QueuedTier", "WrappedReader", "WrappedTier"]

_SHOWN_ANEW: Final = frozenset({"put", "list", "remove"})
"""Before these a tier shows itself anew; to read a pack it must be there anyway."""


class WrappedTier:
    """Passes all operations on to `inner`, each within `around`."""

    def __init__(self, inner: Tier) -> None:
        self._wrapped = inner

    @property
    def inner(self) -> Tier:
        """The tier that is wrapped."""
        return self._wrapped

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:  # noqa: ARG002  # for those who wrap
        """Surround one operation, named by its verb."""
        yield

    def took(self, verb: str, count: int) -> None:
        """Hear how many bytes a `put` or a `read` moved."""

    @property
    def identity(self) -> str:
        """The identity of the inner tier."""
        with self.around("identity"):
            return self.inner.identity

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Pass on."""
        with self.around("put"):
            size = self.inner.put(pack, pieces)
        self.took("put", size)
        return size

    def open(self, pack: PackId) -> PackReader:
        """Pass on."""
        with self.around("open"):
            return WrappedReader(self, self.inner.open(pack))

    def list(self) -> list[tuple[PackId, int]]:
        """Pass on."""
        with self.around("list"):
            return self.inner.list()

    def remove(self, pack: PackId) -> None:
        """Pass on."""
        with self.around("remove"):
            self.inner.remove(pack)


class WrappedReader:
    """A pack opened through a wrapper: its reads are within `around` too."""

    def __init__(self, tier: WrappedTier, inner: PackReader) -> None:
        self._tier = tier
        self._inner = inner

    def size(self) -> int:
        """Pass on."""
        with self._tier.around("size"):
            return self._inner.size()

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Pass on."""
        with self._tier.around("read"):
            data = self._inner.read(offset, length)
        self._tier.took("read", len(data))
        return data

    def read_present(self, offset: int, length: int) -> bytes | memoryview | None:
        """Pass on: nothing is waited for that `around` could be about."""
        return self._inner.read_present(offset, length)

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        """Pass on."""
        with self._tier.around("read"):
            for piece in self._inner.stream(offset, length):
                self._tier.took("read", len(piece))
                yield piece

    def close(self) -> None:
        """Pass on."""
        self._inner.close()


class MarkedTier(WrappedTier):
    """Lets nothing through until the tier has shown the identity it is remembered by.

    `opened` gives the tier, or raises OSError while it is away. `known` is its identity, or empty
    before the first use; then `remember` is told it. After an error, and before packs are put,
    listed or removed, the tier is opened anew and must show itself again: a disk may have been
    unmounted, and the folder on which it was mounted takes packs without an error.
    """

    def __init__(
        self, opened: Callable[[], Tier], known: str, remember: Callable[[str], None]
    ) -> None:
        self._opened = opened
        self._known = known
        self._remember = remember
        self._shown: Tier | None = None
        self._failures = 0
        self._failure: OSError | None = None
        self._lock = threading.Lock()

    @property
    def inner(self) -> Tier:
        """The tier itself, once it has shown who it is; who waits meanwhile fails as that does."""
        failures = self._failures
        with self._lock:
            if self._shown is None:
                if self._failure is not None and self._failures != failures:
                    raise self._failure
                try:
                    self._shown = self._opened_as_known()
                except OSError as error:
                    self._failure = error
                    self._failures += 1
                    raise
            return self._shown

    def _opened_as_known(self) -> Tier:
        inner = self._opened()
        identity = inner.identity
        if not self._known:
            self._remember(identity)
            self._known = identity
        if identity != self._known:
            raise ConnectionError(f"tier {self._known} is away: tier {identity} is in its place")
        return inner

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """Look again after an error, and before what succeeds on a mount point without its disk."""
        if verb in _SHOWN_ANEW:
            self._shown = None
        try:
            yield
        except OSError:
            self._shown = None
            raise


class QueuedTier(WrappedTier):
    """Lets at most `depth` operations through at once; a hard disk is fastest with few."""

    def __init__(self, inner: Tier, depth: int) -> None:
        super().__init__(inner)
        self._places = threading.BoundedSemaphore(depth)

    def open(self, pack: PackId) -> PackReader:
        """Pass on, without a place: opening is cheap."""
        return _QueuedReader(self, self.inner.open(pack))

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:  # noqa: ARG002
        """Wait for a place."""
        with self._places:
            yield


class _QueuedReader(WrappedReader):
    """A pack of a tier with few places: a stream has one while it waits for a piece, not between.

    Who takes his time with a piece, by a set rate say, keeps nobody else from reading.
    """

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        """Pass on."""
        pieces = iter(self._inner.stream(offset, length))
        while True:
            with self._tier.around("read"):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece


class MeteredTier(WrappedTier):
    """Counts what goes through in the metrics of tiers, for all processes."""

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """Count one operation. A pack that is not there is an answer, not a failure."""
        end = "answered"
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError:
            end = "failed"
            raise
        finally:
            metrics.TIER_OPERATIONS.add(verb, end)

    def took(self, verb: str, count: int) -> None:
        """Count bytes."""
        metrics.TIER_BYTES.add(verb, by=count)
