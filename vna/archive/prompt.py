"""An archive for who must not wait: what is in memory at once, and WouldWait for all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

from vna.archive.access import AccessKind, AccessLog
from vna.archive.flow import Flow, Run
from vna.archive.lookup import Lookup, StoredObject
from vna.archive.retrieve import Blobs, Retrieval
from vna.archive.spans import Item
from vna.errors import WouldWait

__all__ = ["PromptArchive"]

P = ParamSpec("P")
T = TypeVar("T")


class PromptArchive:
    """What `Archive` has for answers to reads, by the same names; belongs to the event loop.

    Its coroutines never give way: they return, or raise WouldWait. Reads are noted and counted once
    `settle` says that they were answered; who turned to the archive instead calls `forget`.
    """

    keeps_zstd = False

    def __init__(self, blobs: Blobs, lookup: Lookup, access: AccessLog, flow: Flow) -> None:
        self._retrieval = _Held(blobs, lookup, access)
        self._flow = flow

    async def soon(
        self,
        work: Callable[Concatenate[Retrieval, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what a method of `Retrieval` returns."""
        return work(self._retrieval, *args, **kwargs)

    async def read(self, items: Sequence[Item]) -> Run:
        """Return the bytes of a few small items."""
        run = self._flow.at_hand(items)
        if run is None:
            raise WouldWait
        return run

    def runs(self, batches: object) -> NoReturn:  # noqa: ARG002  # as `Archive.runs`
        """Not here: long answers wait for who takes them."""
        raise WouldWait

    def settle(self) -> None:
        """Note what was read since the last call."""
        self._retrieval.settle()

    def forget(self) -> None:
        """Do not note it: nobody got it."""
        self._retrieval.held.clear()


class _Held(Retrieval):
    """A retrieval whose notes are held back."""

    def __init__(self, blobs: Blobs, lookup: Lookup, access: AccessLog) -> None:
        super().__init__(blobs, lookup, access)
        self.held: list[tuple[AccessKind, StoredObject, int, int]] = []

    def settle(self) -> None:
        for kind, stored, tier, size in self.held:
            super()._served(kind, stored, tier, size)
        self.held.clear()

    def _served(self, kind: AccessKind, stored: StoredObject, tier: int, size: int) -> None:
        self.held.append((kind, stored, tier, size))
