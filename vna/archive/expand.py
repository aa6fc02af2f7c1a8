"""Deflated data sets (PS3.5 A.5), inflated as they are read to reach inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from vna.dicom.scan import ObjectScan, inflated
from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from vna.errors import Corrupt, Invalid
from vna.types import Frames, Hole

__all__ = ["Expanded"]

MAX_HEADER_BYTES: Final = 32 << 20
"""What is held of an inflated data set at most; longer headers are stored and returned, not read into."""

Piece: TypeAlias = bytes | memoryview


class Expanded:
    """A deflated data set, parted like any other.

    Holds its header. Each reading of a bulk value inflates the data set anew up to the value's
    end: that costs time, but memory for a piece alone, whatever the data set inflates to. Pixels
    that are read one after the other are inflated once.
    """

    transfer_syntax = EXPLICIT_VR_LITTLE_ENDIAN

    def __init__(self, deflated: Callable[[], Iterator[Piece]], limit: int, sop_uid: str) -> None:
        """Part the data set that `deflated` gives the pieces of.

        Raises Corrupt when it does not inflate within `limit` bytes, or its header would not fit
        in `MAX_HEADER_BYTES`: a few hundred kilobytes may inflate to anything.
        """
        self._deflated = deflated
        self._limit = limit
        self._sop_uid = sop_uid
        self._starts: dict[int, int] = {}
        self._ahead: Iterator[Piece] = iter(())
        self._left: Piece = b""
        self._at = 0  # of `_left` in the pixel data
        scan = ObjectScan("dataset", EXPLICIT_VR_LITTLE_ENDIAN, max_header=MAX_HEADER_BYTES)
        at = 0
        for piece in self._inflated():
            for hole, start, _ in scan.feed(piece):
                self._starts.setdefault(hole, at + start)
            at += len(piece)
        try:
            scanned = scan.finish()
        except Invalid as error:
            raise Corrupt(
                f"instance {sop_uid}: its deflated data set cannot be read into: {error}"
            ) from error
        self.header = scanned.header
        self.holes: list[Hole] = scanned.holes
        self.frames: Frames | None = scanned.frames

    def value(self, hole: Hole, start: int, stop: int) -> Iterator[Piece]:
        """Yield bytes `[start, stop)` of a bulk value."""
        origin = self._starts.get(self.holes.index(hole), 0)
        start, stop = origin + start, origin + min(stop, hole.length)
        at = 0
        for piece in self._inflated():
            if at >= stop:
                return
            if at + len(piece) > start:
                yield memoryview(piece)[max(start - at, 0) : stop - at]
            at += len(piece)

    def pixels(self, start: int, stop: int) -> bytes:
        """Return bytes `[start, stop)` of the pixel data value."""
        assert self.frames is not None, "only asked for an object with frames"
        hole = self.holes[self.frames.hole]
        if start < self._at or not self._at:
            self._ahead, self._left, self._at = self.value(hole, start, hole.length), b"", start
        found: list[Piece] = []
        while self._at < stop:
            if not self._left:
                self._left = next(self._ahead, b"")
                if not self._left:
                    break
            skipped = max(start - self._at, 0)
            taken = self._left[skipped : stop - self._at]
            found.append(taken)
            self._at += min(skipped, len(self._left)) + len(taken)
            self._left = self._left[skipped + len(taken) :]
        return b"".join(found)

    def _inflated(self) -> Iterator[bytes]:
        try:
            yield from inflated(self._deflated(), self._limit)
        except ValueError as error:
            raise Corrupt(
                f"instance {self._sop_uid}: its deflated data set does not inflate: {error}"
            ) from error
