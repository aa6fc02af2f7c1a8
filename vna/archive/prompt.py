"""An archive for who must not wait: what is in memory at once, and WouldWait for all else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Concatenate, NoReturn, ParamSpec, TypeAlias, TypeVar

from vna.archive.access import AccessKind, AccessLog
from vna.archive.flow import Flow, Run
from vna.archive.glances import Glances
from vna.archive.lookup import Lookup, StoredObject
from vna.archive.query import PlannedQuery
from vna.archive.retrieve import Blobs, Retrieval
from vna.archive.spans import Item
from vna.errors import WouldWait
from vna.index import Index
from vna.types import Match, Query

__all__ = ["Held", "PromptArchive", "Read"]

P = ParamSpec("P")
T = TypeVar("T")

Read: TypeAlias = tuple[AccessKind, StoredObject, int, int, int]
"""What was read of an object: the tier, how many bytes, in how many reads."""


class PromptArchive:
    """What `Archive` has for answers to reads, by the same names; belongs to the event loop.

    Its coroutines never give way: they return, or raise WouldWait. Reads are noted and counted once
    `settle` says that they were answered; who turned to the archive instead calls `forget`.
    """

    keeps_zstd = False

    def __init__(
        self,
        retrieval: Held,
        flow: Flow,
        plan: Callable[[Query], PlannedQuery],
        glances: Glances,
        index: Index,
    ) -> None:
        self._retrieval = retrieval
        self._flow = flow
        self._plan = plan
        self._glances = glances
        self._index = index
        self._planned: list[PlannedQuery] = []

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
        run = self.at_hand(items)
        if run is None:
            raise WouldWait
        return run

    @property
    def retrieval(self) -> Retrieval:
        """Finds what is at hand, and raises WouldWait for all else."""
        return self._retrieval

    @property
    def generation(self) -> int | None:
        """A number that every change of the index raises; None for a moment while it is remapped."""
        return self._index.generation

    @property
    def held(self) -> tuple[Read, ...]:
        """The reads that are to be noted."""
        return tuple(self._retrieval.held)

    def hold(self, reads: Sequence[Read]) -> None:
        """Have reads noted that were made before, and are made again."""
        self._retrieval.held += reads

    def at_hand(self, items: Sequence[Item]) -> Run | None:
        """Return the bytes of a few small items; None where that has to wait."""
        return self._flow.at_hand(items)

    def runs(self, batches: object) -> NoReturn:  # noqa: ARG002  # as `Archive.runs`
        """Not here: long answers wait for who takes them."""
        raise WouldWait

    def planned(self, query: Query) -> PlannedQuery:
        """Return a query ready to be asked. Raises Invalid for a key that cannot be matched."""
        planned = self._plan(query)
        self._planned.append(planned)
        return planned

    def at_once(self, planned: PlannedQuery) -> list[Match]:
        """Return all that matches."""
        return planned.glanced(self._glances)

    def run(self, work: object, *args: object) -> NoReturn:  # noqa: ARG002  # as `Archive.run`
        """Not here: there is no thread."""
        raise WouldWait

    def settle(self) -> None:
        """Note what was read and asked since the last call."""
        self._retrieval.settle()
        for planned in self._planned:
            planned.count()
        self._planned.clear()

    def forget(self) -> None:
        """Do not note it: nobody got it."""
        self._retrieval.held.clear()
        self._planned.clear()


class Held(Retrieval):
    """A retrieval whose notes are held back."""

    def __init__(self, blobs: Blobs, lookup: Lookup, access: AccessLog) -> None:
        super().__init__(blobs, lookup, access)
        self.held: list[Read] = []

    def settle(self) -> None:
        """Note what is held."""
        for kind, stored, tier, size, reads in self.held:
            super()._served(kind, stored, tier, size, reads)
        self.held.clear()

    def _served(
        self, kind: AccessKind, stored: StoredObject, tier: int, size: int, reads: int = 1
    ) -> None:
        self.held.append((kind, stored, tier, size, reads))
