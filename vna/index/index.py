"""The index of a process."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from vna.errors import Full, Unavailable
from vna.folders import exclusive
from vna.index.apply import apply_group, forget, load_state
from vna.index.dump import Line, dump_lines
from vna.index.environment import Environment
from vna.index.glance import Glance
from vna.index.mutation import Applied, Mutation
from vna.index.reader import Reader
from vna.index.secondary import SecondaryKeys
from vna.index.settings import IndexSettings, Keyer
from vna.observe import metrics
from vna.types import PackId

__all__ = ["Index"]


class Index:
    """What the archive holds; safe from all threads, beside other processes.

    Open it after any fork. Openers of one path in one process share the environment.
    """

    def __init__(self, environment: Environment, keyer: Keyer) -> None:
        self._environment = environment
        self._keyer = keyer
        self._closed = False

    @classmethod
    def open(cls, settings: IndexSettings, keyer: Keyer) -> Self:
        """Open the index at `settings.path`, made when there is none.

        Raises Unavailable, naming file, found and expected, for an index of another schema version
        or archive, and for a file that LMDB does not open.
        """
        return cls(Environment.shared(settings), keyer)

    @property
    def usable(self) -> bool:
        """False once it has failed in a way that only a new process gets over: this one, or another.

        A checkpoint that fails is such a failure for all who have the index open.
        """
        return not (self._environment.panicked or self._environment.data.condemned)

    def close(self) -> None:
        """Let go of the index; all readers must have ended."""
        if not self._closed:
            self._closed = True
            self._environment.release()

    @contextmanager
    def recovering(self, *, wait: bool) -> Iterator[bool]:
        """Be the one recovery of this index, over all processes; false if another is, without `wait`.

        Raises Full or Unavailable.
        """
        path = self._environment.settings.path / "recover.lock"
        with ExitStack() as stack:
            try:
                alone = stack.enter_context(exclusive(path, wait=wait))
            except OSError as error:
                kind = Full if error.errno in {errno.ENOSPC, errno.EDQUOT} else Unavailable
                raise kind(f"{path} cannot be used: {error.strerror}") from error
            yield alone

    def apply(
        self,
        mutations: Sequence[Mutation],
        marks: Mapping[PackId, int],
        *,
        replay: bool = False,
        durable: Callable[[], object] | None = None,
    ) -> list[Applied]:
        """Fold a group of mutations into the index, all or none; return what became of each.

        The only way its content changes. Idempotent; with `replay` the result depends on the set of
        mutations alone, not on order or grouping: policies were judged when the commits were made,
        so stores are taken unless a void (applied before, or in this group) refuses them. `marks`
        are the offsets up to which each pack's commit records are applied with this group; they
        stay as they are when a store of it was refused, until its void is applied with them.
        `durable` is called before the commit, maybe more than once: it returns when the packs have
        the mutations for good. What it raises ends the group without effect. Committed on return;
        durable with the next checkpoint (docs/format/index.md says why that is enough). Must not
        be called by a thread that holds a `Reader`.

        Raises Full, Busy, Unavailable, or Invalid for a commit that no index can take; then
        nothing of the group was applied.
        """
        begun = time.monotonic()
        results = self._environment.write(
            lambda txn: apply_group(txn, self._keyer, mutations, marks, replay=replay), durable
        )
        if not replay:
            metrics.INDEX_SECONDS.observe(time.monotonic() - begun)
            metrics.GROUP_MUTATIONS.observe(len(mutations))
        return results

    def forget(
        self, pack: PackId, digests: Sequence[bytes], there: Callable[[PackId], bool]
    ) -> int:
        """Drop the places of blobs in a pack that is to vanish; return how many must stay there.

        Those are needed and in no other pack that is `there`, and stay known there. Changes nothing
        of the logical content. Raises as `apply`.
        """
        return self._environment.write(lambda txn: forget(txn, pack, digests, there))

    def read(self) -> Reader:
        """Return a snapshot to be used in a `with` statement."""
        return Reader(self._environment, self._environment.begin_read)

    def glance(self, spend: Callable[[int], None]) -> Glance:
        """Return snapshots that never wait, and call `spend` with each number of rows they read."""
        return Glance(self._environment, spend)

    @property
    def generation(self) -> int | None:
        """A number that every change of the index raises; read without waiting.

        None for a moment while the map grows. What a `Reader` of this generation found still holds.
        """
        return self._environment.generation()

    def populate(self) -> bool:
        """Have a next part of the index at hand: read in and held as `memory_bytes` says, or mapped.

        Later looks are no page faults then. In a thread: some 20 ms, longer where a disk is read.
        Returns whether there is more to do: there is again once the index has grown.
        """
        return self._environment.populate()

    def sync(self) -> None:
        """Make everything applied durable: what is removed from packs next is not needed again."""
        self._environment.sync()

    def dump(self) -> Iterator[Line]:
        """Yield the logical content, from one snapshot; equal for indexes of the same commits."""
        txn = self._environment.begin_read()
        try:
            yield from dump_lines(txn, SecondaryKeys(txn, self._keyer), load_state(txn).counts)
        finally:
            self._environment.end_read(txn)

    @property
    def archive_uuid(self) -> str:
        """The archive that this index belongs to."""
        return self._environment.settings.archive_uuid

    @property
    def map_size(self) -> int:
        """Bytes that the index may fill before its map grows."""
        return self._environment.map_size
