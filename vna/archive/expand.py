"""Deflated data sets (PS3.5 A.5), inflated in memory to reach inside them."""

from __future__ import annotations

from dataclasses import dataclass

from vna.dicom.scan import ObjectScan, inflated
from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from vna.errors import Corrupt
from vna.types import Frames, Hole

__all__ = ["Expanded", "expand"]


@dataclass(frozen=True, slots=True)
class Expanded:
    """An inflated data set, parted like any other; `starts` are its holes' places in `data`."""

    data: bytes
    header: bytes
    holes: list[Hole]
    starts: list[int]
    frames: Frames | None
    transfer_syntax: str = EXPLICIT_VR_LITTLE_ENDIAN

    def value(self, hole: Hole) -> memoryview:
        """Return the bytes of a bulk value."""
        start = self.starts[self.holes.index(hole)]
        return memoryview(self.data)[start : start + hole.length]

    def pixels(self, start: int, stop: int) -> bytes:
        """Return bytes `[start, stop)` of the pixel data value."""
        assert self.frames is not None, "only asked for an object with frames"
        origin = self.starts[self.frames.hole]
        return self.data[origin + start : origin + stop]


def expand(deflated: bytes, limit: int, sop_uid: str) -> Expanded:
    """Inflate and part a data set. Raises Corrupt when it does not inflate within `limit` bytes."""
    try:
        data = inflated(deflated, limit)
    except ValueError as error:
        raise Corrupt(
            f"instance {sop_uid}: its deflated data set does not inflate: {error}"
        ) from error
    scan = ObjectScan("dataset", EXPLICIT_VR_LITTLE_ENDIAN)
    starts: dict[int, int] = {}
    for hole, start, _ in scan.feed(data):
        starts.setdefault(hole, start)
    scanned = scan.finish()
    holes = scanned.holes
    return Expanded(
        data, scanned.header, holes, [starts.get(i, 0) for i in range(len(holes))], scanned.frames
    )
