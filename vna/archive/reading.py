"""The half of the archive's door by which objects come out of it."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import aclosing, suppress
from itertools import takewhile
from typing import Concatenate, ParamSpec, TypeVar

from vna.archive.flow import RUN, Flow, Run
from vna.archive.lookup import StoredObject
from vna.archive.offload import Offload
from vna.archive.retrieve import BlockingRetrieval, Retrieval
from vna.archive.spans import Item, Piece
from vna.errors import VnaError, WouldWait
from vna.types import Hole

__all__ = ["Reading"]

P = ParamSpec("P")
T = TypeVar("T")


class Reading:
    """Returns what objects are made of; `Archive` does. Coroutines belong to the event loop."""

    _offload: Offload
    _far: Offload
    _flow: Flow
    _present: Retrieval
    """Has what is in memory, and raises WouldWait for all else."""
    _near: BlockingRetrieval
    """Has what need not be fetched from far away, and raises WouldWait for all else."""
    _retrieval: BlockingRetrieval

    async def soon(
        self,
        work: Callable[Concatenate[Retrieval, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return what a method of `Retrieval` returns: at once if it need not wait, or in a thread."""
        try:
            return work(self._present, *args, **kwargs)
        except WouldWait:
            pass
        try:
            return await self._offload.run(work, self._near, *args, **kwargs)
        except WouldWait:
            return await self._far.run(work, self._retrieval, *args, **kwargs)

    def objects(
        self, study_uid: str, series_uid: str | None = None, sop_uid: str | None = None
    ) -> list[StoredObject]:
        """Return the instances of a study, a series, or one. Raises NotFound or Deleted."""
        return self._retrieval.objects(study_uid, series_uid, sop_uid)

    def dataset(self, stored: StoredObject) -> Iterator[Piece]:
        """Yield the data set exactly as received, in bounded pieces."""
        items = self._retrieval.dataset(stored)
        self._retrieval.note("dataset", stored, items)
        return self._retrieval.pieces(items)

    def datasets_at_hand(self, objects: Sequence[StoredObject]) -> Generator[Run]:
        """Yield data sets as received, each read when it is asked for.

        Ends before one that is not in memory, or longer than a run: ask for its runs. Belongs to
        the event loop.
        """
        short = list(takewhile(lambda stored: stored.length <= RUN, objects))
        found = self._items_at_hand(short)
        read = noted = 0

        def note() -> None:
            nonlocal noted
            self._present.note_each("dataset", short[noted:read], found[noted:read])
            noted = read

        try:
            for run in self._flow.each_at_hand(found):
                read += 1
                if read == len(found):
                    note()
                yield run
        finally:
            note()

    def _items_at_hand(self, objects: Sequence[StoredObject]) -> list[list[Item]]:
        """Return what data sets are made of: looked up together, one by one where that cannot be."""
        # What is wrong is told to who reads the runs.
        with suppress(WouldWait, VnaError):
            return self._present.datasets(objects)
        found = []
        with suppress(WouldWait, VnaError):
            for stored in objects:
                found.append(self._present.dataset(stored))  # noqa: PERF401  # up to the first that is not
        return found

    async def dataset_runs(self, stored: StoredObject) -> AsyncGenerator[Run, None]:
        """Yield the data set exactly as received, in runs of about 1 MiB, read a run ahead."""

        async def items() -> AsyncIterator[Iterable[Item]]:
            found = await self.soon(Retrieval.dataset, stored)
            self._retrieval.note("dataset", stored, found)
            yield found

        async with aclosing(self._flow.runs(items())) as runs:
            async for run in runs:
                yield run

    def file(self, stored: StoredObject, ae_title: str) -> tuple[int, Iterator[Piece]]:
        """Return length and pieces of the object as a Part 10 file (PS3.10 7.1)."""
        items = self._retrieval.file(stored, ae_title)
        return sum(map(len, items)), self._retrieval.pieces(items)

    async def read(self, items: Sequence[Item]) -> Run:
        """Return the bytes of a few small items."""
        return await self._flow.read(items)

    def runs(self, batches: AsyncIterator[Iterable[Item]]) -> AsyncGenerator[Run, None]:
        """Yield the bytes of all items in order, in runs of about 1 MiB, read a run ahead."""
        return self._flow.runs(batches)

    def zstd_runs(self, batches: AsyncIterator[Iterable[Item]]) -> AsyncGenerator[Run, None]:
        """Yield all items in order as one stream of zstd; what is stored so is not decoded."""
        return self._flow.zstd_runs(batches)

    def frame(self, stored: StoredObject, number: int) -> Piece:
        """Return a frame's bytes, as stored; frames count from 1."""
        return self._retrieval.frame(stored, number)

    def bulk(self, stored: StoredObject, path: tuple[int, ...]) -> Hole:
        """Return what the bulk value at `path` is. Raises NotFound."""
        return self._retrieval.bulk(stored, path)

    def bulk_range(
        self, stored: StoredObject, hole: Hole, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield bytes `[start, stop)` of a bulk value as stored."""
        return self._retrieval.bulk_range(stored, hole, start, stop)

    def metadata(self, stored: StoredObject, bulk_uri: str) -> bytes:
        """Return the object's DICOM JSON; `bulk_uri` is the stem of its BulkDataURIs."""
        return self._retrieval.metadata(stored, bulk_uri)
