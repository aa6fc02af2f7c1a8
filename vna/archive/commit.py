"""The commit protocol: how a mutation becomes durable, visible and acknowledged.

    1  blobs, then the commit record, are appended to this process's pack; they are written while
       more may come
    2  the pack is synced (fdatasync): from here on the mutation survives anything
    3  one index transaction applies the record, and with it the pack's *mark*: the offset up to
       which its records are in the index. It is made while the pack is synced, and ends after that
    4  the caller is told

docs/design/commit.md draws it, and says what a crash leaves at each step and what recovery makes of
that. Mutations that wait while a group is being synced form the next group and share its sync, with
those of other senders that come within a moment.

After any failure past step 1 the outcome of the group is unknown here, so the committer breaks:
it refuses everything until it has let its pack go, recovery has settled what is true, and a new
pack takes writes. It tries that again and again, at growing intervals, while reading goes on.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import msgspec

from vna.archive.recover import recover
from vna.archive.turnstile import Turnstile
from vna.clock import Clock
from vna.errors import Busy, Full, Invalid, Unavailable, VnaError
from vna.index import REFUSED, Applied, Index, Mutation, Outcome, Reader, content_id
from vna.storage import BlobStore, EncodedBlob, PackWriter
from vna.types import BlobPlace, Commit, PackId, StoreCommit, VoidCommit

__all__ = ["Committer", "Outdated", "Promise", "Proposal", "encode_commit"]

log = logging.getLogger(__name__)

GROUP_MUTATIONS = 256
GROUP_BYTES = 64 << 20
GATHER_S = 0.001
"""How long a group waits for more, so that what a group costs is spent once."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0

encode_commit = msgspec.msgpack.Encoder().encode


class Outdated(Busy):
    """A blob that a proposal counts on is being let go of; with its bytes it can be made again."""


class Promise(Protocol):
    """What takes a proposal's answer, given in the committer's thread: a Future, or less."""

    def set_result(self, applied: Applied, /) -> None:
        """Take how the index took it."""

    def set_exception(self, refusal: Exception, /) -> None:
        """Take why it was refused."""

    def done(self) -> bool:
        """Say whether the answer has been given."""


@dataclass(slots=True)
class Proposal:
    """A mutation on its way: `record` makes the commit for the stamp it is given.

    `blobs` are to be appended; `placed` are in packs already (streamed ones), and durable. `shared`
    names the others that it needs: those that the archive has for other versions. `judge` sees the
    index as it is when the committer has taken the proposal: it returns the blobs that the archive
    does not have, or what stands without writing anything, or raises a VnaError to refuse.
    """

    record: Callable[[int], Commit]
    blobs: Sequence[EncodedBlob] = ()
    placed: Sequence[tuple[bytes, BlobPlace]] = ()
    shared: Collection[bytes] = ()
    judge: Callable[[Reader, Sequence[EncodedBlob]], Outcome | Sequence[EncodedBlob]] | None = None
    done: Promise = field(init=False)

    @property
    def size(self) -> int:
        """Bytes that the blobs add to the pack."""
        return sum(blob.size for blob in self.blobs)


@dataclass(slots=True)
class _Group:
    """What was appended, and is to be synced together."""

    proposals: list[Proposal] = field(default_factory=list)
    mutations: list[Mutation] = field(default_factory=list)
    marks: dict[PackId, int] = field(default_factory=dict)


class Committer:
    """The one writer of a process: a thread that commits proposals in groups."""

    def __init__(self, store: BlobStore, index: Index, clock: Clock, turnstile: Turnstile) -> None:
        self._store = store
        self._turnstile = turnstile
        self._index = index
        self._clock = clock
        self._waiting: queue.SimpleQueue[Proposal | None] = queue.SimpleQueue()
        self._writer: PackWriter | None = None
        self._broken: str = ""
        self._last_stamp = 0
        self._stopping = False
        self._refusal: type[VnaError] = Unavailable
        self._retry_s = FIRST_RETRY_S
        self._retry_at = 0.0
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> str:
        """Empty, or why this committer refuses everything."""
        return self._broken

    @property
    def waiting(self) -> int:
        """How many proposals wait for the next group."""
        return self._waiting.qsize()

    def check(self) -> None:
        """Raise Full or Unavailable while this committer refuses everything."""
        if self._broken:
            raise self._refusal(self._broken)

    def submit(self, proposal: Proposal) -> Future[Applied]:
        """Queue a proposal; the future gives how the index took it, or raises a VnaError."""
        done: Future[Applied] = Future()
        self.enqueue(proposal, done)
        return done

    def enqueue(self, proposal: Proposal, done: Promise) -> None:
        """Queue a proposal whose answer `done` takes."""
        proposal.done = done
        self._waiting.put(proposal)

    def close(self) -> None:
        """Commit what waits, then stop and seal the pack."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        senders = 0
        while not self._stopping:
            count = self._settle(senders)
            if count:
                senders = count + self._waiting.qsize()
            if self._patience() == 0 and not self._stopping:
                self._mend()
        if self._writer is not None:
            try:
                self._writer.close()
            except VnaError as error:  # all that was acknowledged is durable; recovery seals
                log.error("the pack was left unsealed: %s", error)  # noqa: TRY400
        self._turnstile.close()

    def _arriving(self, group: list[Proposal], senders: int) -> Iterator[Proposal]:
        """Yield the proposals of the next group, and add them to it: what waits, or comes in a moment.

        As many have been sending as `senders`. Those that the last group answered are likely to
        send again at once; without the moment, two halves of them would form groups in turns.
        """
        size = 0
        until = 0.0
        while len(group) < GROUP_MUTATIONS and size < GROUP_BYTES:
            if not group:
                patience = self._patience()
            else:
                patience = max(until - self._clock.monotonic(), 0) if len(group) < senders else 0
            try:
                proposal = self._waiting.get(timeout=patience)
            except queue.Empty:
                return
            if proposal is None:
                self._stopping = True
                return
            if not group:
                until = self._clock.monotonic() + GATHER_S
            group.append(proposal)
            size += proposal.size
            yield proposal

    def _patience(self) -> float | None:
        """Return the seconds until the next try to mend; None while nothing is broken."""
        if not self._broken:
            return None
        return max(self._retry_at - self._clock.monotonic(), 0)

    def _settle(self, senders: int) -> int:
        """Commit the next group, and answer for it; return how many are in it."""
        group: list[Proposal] = []
        try:
            self._commit(self._arriving(group, senders), senders)
        except Exception as error:  # noqa: BLE001  # loop boundary: every caller waits for an answer
            if not self._broken:
                self._break(error)
            for proposal in group:
                if not proposal.done.done():
                    proposal.done.set_exception(self._refusal(self._broken))
        if not self._broken:
            self._turnstile.leave()
        return len(group)

    def _break(self, error: Exception) -> None:
        """Refuse everything from here on, because of `error`."""
        unexpected = not isinstance(error, VnaError)
        log.error(
            "the archive takes no changes, next try in %g s: %s",
            self._retry_s,
            error,
            exc_info=unexpected,
        )
        self._retry_at = self._clock.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        self._refusal = Full if isinstance(error, Full) else Unavailable
        self._broken = f"the archive takes no changes now: {error or type(error).__name__}"

    def _mend(self) -> None:
        """Find out by recovery what became of the last groups, and begin anew in another pack."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                with suppress(VnaError):  # it is let go of in any case
                    writer.close()
            # What of it is durable, and not applied yet, recovery finds in a pack without a writer.
            self._turnstile.leave()
            recover(self._store, self._index)
            self._writer = self._store.writer()
            self._writer.open()
        except Exception as error:  # noqa: BLE001  # loop boundary: the next try may succeed
            self._break(error)
        else:
            log.warning("the archive takes changes again")
            self._broken = ""

    def _commit(self, arriving: Iterator[Proposal], senders: int) -> None:
        first = next(arriving, None)
        if first is None:
            return
        self._turnstile.enter()
        self.check()
        writer = self._writer = self._writer or self._store.writer()
        group = _Group()
        for proposal in chain([first], arriving):
            if not self._stands(proposal):
                continue
            self._append(writer, proposal, group)
            if len(group.proposals) < senders:
                writer.begin_write()
        if not group.proposals:
            return
        writer.begin_sync()
        results = self._index.apply(group.mutations, group.marks, durable=writer.sync)
        self._void_refused(group.mutations, results, group.marks)
        writer.let_go()
        for proposal, result in zip(group.proposals, results, strict=True):
            proposal.done.set_result(result)
        self._retry_s = FIRST_RETRY_S

    def _stands(self, proposal: Proposal) -> bool:
        """Say whether a proposal is to be written; one that is not, or not as it is, is answered here.

        It is judged by the index as it is now: what was answered before it came, by any process, is
        there, and its stamp will be above all of that.
        """
        try:
            with self._index.read() as reader:
                self._last_stamp = max(self._last_stamp, reader.last_stamp())
                for digest in proposal.shared:
                    if not reader.reliable(digest):
                        why = f"blob {digest.hex()} is being let go of: the object must come again"
                        raise Outdated(why)
                judged = proposal.judge and proposal.judge(reader, proposal.blobs)
            for digest, place in proposal.placed:
                if not self._store.has(place.pack):
                    why = f"blob {digest.hex()} is gone with its pack: the object must come again"
                    raise Unavailable(why)
        except VnaError as refusal:
            proposal.done.set_exception(refusal)
            return False
        if isinstance(judged, Outcome):
            proposal.done.set_result(Applied(judged, 0))
            return False
        if judged is not None:
            proposal.blobs = judged
        return True

    def _append(self, writer: PackWriter, proposal: Proposal, group: _Group) -> None:
        """Append a proposal's records, and take it into the group; or refuse it."""
        commit = proposal.record(self._stamp())
        try:
            places, mark = writer.append(proposal.blobs, encode_commit(commit))
        except (Full, Invalid) as refusal:
            proposal.done.set_exception(refusal)
            return
        blobs = [(blob.digest, place) for blob, place in zip(proposal.blobs, places, strict=True)]
        group.proposals.append(proposal)
        group.mutations.append(Mutation(commit, [*blobs, *proposal.placed]))
        group.marks |= {place.pack: place.offset + place.size for _, place in proposal.placed}
        group.marks[mark.pack] = mark.end

    def _void_refused(
        self, mutations: list[Mutation], results: list[Applied], marks: dict[PackId, int]
    ) -> None:
        """Make durable that replay must skip the stores that apply refused."""
        assert self._writer is not None
        voids: list[Mutation] = []
        for mutation, result in zip(mutations, results, strict=True):
            if result.outcome not in REFUSED:
                continue
            refused = mutation.commit
            assert isinstance(refused, StoreCommit)
            content = content_id(refused.version)
            void = VoidCommit(self._stamp(), refused.stamp, refused.sop_uid, content)
            _, mark = self._writer.append((), encode_commit(void))
            marks[mark.pack] = mark.end
            voids.append(Mutation(void, []))
        if voids:
            self._writer.sync()
            self._index.apply(voids, marks)

    def _stamp(self) -> int:
        """Return a stamp above all that the index has seen: the clock may have been set back."""
        self._last_stamp = max(self._clock.stamp(), self._last_stamp + 1)
        return self._last_stamp
