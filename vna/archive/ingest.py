"""One object on its way in: parted as it arrives, checked when it ends, committed as a whole.

Bulk values stay in memory until the object passes the stream threshold, or the process its cap;
the value that is arriving then moves to a pack of its own and the rest of it follows from the
socket, so that an object of any size needs bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from vna.archive.commit import Outdated, Proposal
from vna.archive.prepare import Buffer, Bulk, IngestRoom, propose, standing
from vna.archive.space import Space
from vna.dicom.scan import ObjectScan, Scanned
from vna.errors import Busy, Conflict, Invalid, VnaError
from vna.index import Applied, Outcome
from vna.observe import metrics
from vna.storage import BlobStream, CodecName
from vna.types import BlobPlace

__all__ = ["Expected", "Form", "Identified", "Ingest", "Stored", "takes_at_once"]

Form: TypeAlias = Literal["dataset", "part10"]

SMALL_PIECE = 640 << 10
"""Pieces up to this size, which a socket gives at once, are scanned on the event loop: some 0.1 ms."""
SMALL_OBJECT = 2 << 20
"""Bulk values up to this size get their checksums on the event loop: under 0.2 ms."""
STREAM_BATCH = 1 << 20
"""Bytes of a streamed value that are handed to a thread at once."""
SPILL_LEAST = 256 << 10
"""What is less of a value stays in memory though memory is scarce: a pack of its own costs more."""


class Expected(msgspec.Struct, frozen=True):
    """What the sender said of the object; what it did not say is None."""

    sop_class: str | None = None
    sop_uid: str | None = None
    study_uid: str | None = None


class Identified(msgspec.Struct, frozen=True):
    """Who an object is, as far as that is known; empty strings where it is not."""

    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""


class Stored(msgspec.Struct, frozen=True):
    """An acknowledged object. `warning` is empty, or what is wrong with its data set."""

    outcome: Outcome
    identity: Identified
    warning: str


def takes_at_once(room: IngestRoom, length: int) -> bool:
    """Whether an object needs no thread so far, of which so many bytes have come: see `Ingest.take`."""
    return (
        room.settings.codec == "raw"
        and length <= min(SMALL_PIECE, room.settings.stream_threshold_bytes)
        and not room.memory.scarce
    )


class Ingest:
    """Takes one object in pieces: `write` each, then `commit`; or `abort` at any time.

    Not for use by two tasks at once. A VnaError from `write` or `commit` means refused: nothing
    of the object is visible, and what was written for it is cleaned up.
    """

    def __init__(
        self,
        room: IngestRoom,
        form: Form,
        transfer_syntax: str | None,
        source: str,
        expected: Expected,
    ) -> None:
        self._room = room
        self._source = source
        self._expected = expected
        self._scan = ObjectScan(form, transfer_syntax, max_header=room.settings.max_header_bytes)
        self._bulks: list[Bulk] = []
        self._ended_bulks = 0
        self._streamed = False  # some value has a pack of its own
        self._held = 0  # of bulk values
        self._header = 0
        self._ended = False
        self._arrived = 0
        self._fate = "aborted"
        self.identity = Identified(
            expected.sop_class or "", expected.sop_uid or "", expected.study_uid or ""
        )

    async def write(self, piece: Buffer) -> None:
        """Take the next piece. Returns when there is room for more: that is the back-pressure."""
        try:
            self._open()
            self._arrived += len(piece)
            if len(piece) <= SMALL_PIECE:
                runs = self._scan.feed(piece)
            else:
                runs = await self._room.offload.run(self._scan.feed, piece)
            self._part(piece, runs)
            if self._header > STREAM_BATCH and self._room.memory.scarce:
                raise Busy("too much of the objects that are arriving is held in memory")
            if runs and self._crowded:
                await self._end_bulks()
                await self._spill(self._bulks[-1])
        except VnaError as error:
            self._fate = _fate_of(error)
            raise

    def _part(self, piece: Buffer, runs: list[tuple[int, int, int]]) -> None:
        """Take up the runs of a piece that are bulk."""
        view = memoryview(piece)
        taken = 0
        for hole, start, end in runs:
            bulk = self._bulk(hole)
            bulk.parts.append(view[start:end])
            bulk.batch += end - start
            taken += end - start
        self._hold(taken, len(piece) - taken)

    def _hold(self, bulk: int, header: int = 0) -> None:
        """Count what is held more, or less; after the end nothing is."""
        if self._ended:
            return
        self._held += bulk
        self._header += header
        self._room.memory.held += bulk + header

    def _bulk(self, hole: int) -> Bulk:
        while len(self._bulks) <= hole:
            chunk_length, declared = self._scan.hole_plan(len(self._bulks))
            # Of undefined length are encapsulated and deflated values: compressed already.
            codec: CodecName = "raw" if declared < 0 else self._room.settings.codec
            self._bulks.append(Bulk(chunk_length, codec))
        return self._bulks[hole]

    @property
    def _crowded(self) -> bool:
        """Whether values have packs of their own, or the one that is arriving may need one."""
        room = self._room
        return (
            self._streamed
            or self._held > room.settings.stream_threshold_bytes
            or room.memory.scarce
        )

    async def _spill(self, bulk: Bulk) -> None:
        """Move what is held of the arriving value to its own pack once that is due."""
        if bulk.stream is None:
            scarce = self._room.memory.scarce and bulk.batch >= SPILL_LEAST
            if self._held <= self._room.settings.stream_threshold_bytes and not scarce:
                return
            bulk.stream = await self._room.offload.run(
                self._room.store.stream, bulk.chunk_length, codec=bulk.codec
            )
            self._streamed = True
        elif bulk.batch < STREAM_BATCH:
            return
        await self._drain(bulk, bulk.stream)

    async def _end_bulks(self) -> None:
        """Let streams of values that others have followed hold nothing: an object may have many."""
        while self._ended_bulks < len(self._bulks) - 1:
            bulk = self._bulks[self._ended_bulks]
            self._ended_bulks += 1
            if bulk.stream is not None:
                await self._drain(bulk, bulk.stream)
                await self._room.offload.run(bulk.stream.complete)

    async def _drain(self, bulk: Bulk, stream: BlobStream) -> None:
        parts, bulk.parts = bulk.parts, []
        count, bulk.batch = bulk.batch, 0
        try:
            if parts:
                await self._room.offload.run(_write_all, self._room.space, stream, parts)
        finally:
            self._hold(-count)

    async def commit(self) -> Stored:
        """Make the object durable and findable; return only then.

        Raises Invalid (not an object this archive can file), Conflict (not what the sender
        announced, or refused by the duplicate policy), Full, Busy, Unavailable.
        """
        try:
            self._open()
            stored = await self._commit()
        except VnaError as error:
            self._fate = _fate_of(error)
            raise
        else:
            self._fate = stored.outcome.value
            return stored
        finally:
            self.abort()

    async def _commit(self) -> Stored:
        scanned = self._ended_scan()
        return self._stored(scanned, await self._settle(scanned))

    def take(self, piece: Buffer) -> None:
        """Take the next piece, as `write` does; only while the object is what `takes_at_once`.

        After an error, which is a VnaError as of `write`, nothing of the object is held.
        """
        try:
            self._open()
            self._arrived += len(piece)
            self._part(piece, self._scan.feed(piece))
        except Exception as error:
            self._fate = _fate_of(error)
            self.abort()
            raise

    @property
    def concludes_at_once(self) -> bool:
        """Whether what was written may be given to `conclude`, as it needs no thread."""
        return (
            self._room.settings.codec == "raw" and not self._streamed and self._held <= SMALL_OBJECT
        )

    def conclude(self, told: Callable[[Stored | Exception], None]) -> None:
        """End the object that was written, and have it committed; no task waits meanwhile.

        Only for what `concludes_at_once`. `told` is called on the event loop with what `commit`
        would have returned or raised. Raises VnaError as `commit` does, and then tells nobody.
        """
        try:
            self._open()
            scanned = self._ended_scan()
            proposal = propose(self._room, scanned, self._bulks, {}, self._source)
        except Exception as error:
            self._fate = _fate_of(error)
            self.abort()
            raise

        def answered(answer: Applied | Exception) -> None:
            told(self._concluded(scanned, answer))

        self._room.have_committed(proposal, answered)

    def _concluded(self, scanned: Scanned, answer: Applied | Exception) -> Stored | Exception:
        """Return what became of an object, which has ended by that."""
        come: Stored | Exception
        try:
            come = (
                answer if isinstance(answer, Exception) else self._stored(scanned, answer.outcome)
            )
        except Conflict as refusal:
            come = refusal
        self._fate = come.outcome.value if isinstance(come, Stored) else _fate_of(come)
        self.abort()
        return come

    def _ended_scan(self) -> Scanned:
        """Return what the object is, now that all of it has come. Raises Invalid, Conflict."""
        scanned = self._scan.finish()
        self.identity = Identified(
            scanned.sop_class, scanned.sop_uid, scanned.study_uid, scanned.series_uid
        )
        if scanned.refusal:
            raise Invalid(scanned.refusal)
        _check(self._expected, self.identity)
        if scanned.holes:  # a value cut off before its first byte has a hole too
            self._bulk(len(scanned.holes) - 1)
        return scanned

    def _stored(self, scanned: Scanned, outcome: Outcome) -> Stored:
        """Return what is acknowledged. Raises Conflict where the archive keeps what it has."""
        if outcome is Outcome.REJECTED:
            raise Conflict(
                f"SOP Instance UID {scanned.sop_uid} is stored already with other content"
            )
        return Stored(outcome, self.identity, scanned.problem)

    async def _settle(self, scanned: Scanned) -> Outcome:
        placed: dict[bytes, BlobPlace] = {}
        if self._streamed:
            outcome = await self._room.offload.run(self._standing, scanned)
            if outcome is not None:
                return outcome
        while True:
            try:
                return await self._propose(scanned, placed)
            except Outdated:  # what it shared with others is being let go of: bring it too
                continue

    async def _propose(self, scanned: Scanned, placed: dict[bytes, BlobPlace]) -> Outcome:
        """Have the object committed; `placed` are its values that are durable, and may become more."""
        room = self._room
        await self._finish_streams(scanned, placed)
        if room.settings.codec == "raw" and self._held <= SMALL_OBJECT:
            proposal = propose(room, scanned, self._bulks, placed, self._source)
        else:
            made = await room.offload.run(self._judged, scanned, placed)
            if isinstance(made, Outcome):
                return made
            proposal = made
        if not proposal.shared:
            for bulk in self._bulks:
                bulk.parts = []  # encoded; what stays raw the proposal holds
        return (await room.commit(proposal)).outcome

    def _standing(self, scanned: Scanned) -> Outcome | None:
        with self._room.index.read() as reader:
            return standing(self._room, reader, scanned)

    def _judged(self, scanned: Scanned, placed: dict[bytes, BlobPlace]) -> Outcome | Proposal:
        """Return the proposal, unless it is known beforehand that it would be work for nothing."""
        outcome = self._standing(scanned)
        if outcome is not None:
            return outcome
        return propose(self._room, scanned, self._bulks, placed, self._source)

    async def _finish_streams(self, scanned: Scanned, placed: dict[bytes, BlobPlace]) -> None:
        """End the streamed values that the archive does not have; add where they are to `placed`."""
        for bulk, hole in zip(self._bulks, scanned.holes, strict=True):
            if bulk.stream is None or hole.blob in placed or self._room.known(hole.blob):
                continue
            await self._drain(bulk, bulk.stream)
            placed[hole.blob] = await self._room.offload.run(bulk.stream.finish, hole.blob)

    def abort(self) -> None:
        """Forget the object and remove what was streamed for it. Safe at any time."""
        self._hold(-self._held, -self._header)
        if not self._ended:
            metrics.STORES.add(self._fate)
            metrics.RECEIVED_BYTES.add(by=self._arrived)
        self._ended = True
        for bulk in self._bulks:
            if bulk.stream is not None:
                bulk.stream.abort()
                bulk.stream = None
        self._bulks = []

    def _open(self) -> None:
        if self._ended:
            raise Invalid("the object has ended already")
        self._room.committer.check()


def _fate_of(error: Exception) -> str:
    """Return the name by which a refusal is counted."""
    return type(error).__name__.lower()


def _write_all(space: Space, stream: BlobStream, parts: list[Buffer]) -> None:
    space.check()
    for part in parts:
        stream.write(part)


def _check(expected: Expected, found: Identified) -> None:
    """Raise Conflict where the object is not the one that was announced."""
    for name, said, is_ in (
        ("SOP Class UID", expected.sop_class, found.sop_class),
        ("SOP Instance UID", expected.sop_uid, found.sop_uid),
        ("Study Instance UID", expected.study_uid, found.study_uid),
    ):
        if said is not None and said != is_:
            raise Conflict(f"{name} of the data set is {is_}, announced was {said}")
