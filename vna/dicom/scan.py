"""One object, parted and understood: the native scan with this project's types and errors."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from vna import _native
from vna.dicom.attributes import (
    INTEREST,
    ISSUER_OF_PATIENT_ID,
    LEVELS,
    MAX_TEXT,
    MAX_VALUES,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    patient_key,
)
from vna.dicom.paths import tag_name
from vna.dicom.uids import MEDIA_STORAGE_DIRECTORY
from vna.errors import Invalid
from vna.types import Attributes, Frames, Hole

if TYPE_CHECKING:
    from vna._native import Buffer  # a name of the stub, not of the extension

__all__ = ["ObjectScan", "Scanned", "header_json", "inflated"]

MEDIA_STORAGE_SOP_CLASS_UID = 0x0002_0002
INFLATED_PIECE = 1 << 20

_INTEREST = _native.Interest(INTEREST)
_IDENTITY = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}
_FILING = _native.Filing(
    [*_IDENTITY],
    LEVELS,
    max_text=MAX_TEXT,
    max_values=MAX_VALUES,
    hole=Hole,
    frames=Frames,
)
_PATIENT = [PATIENT_ID, ISSUER_OF_PATIENT_ID]


class Scanned(msgspec.Struct, frozen=True, gc=False):
    """What a whole object turned out to be.

    `refusal` is empty, or why it cannot be filed, naming the element; UIDs that are missing or
    unusable are empty then. `frames` carries all its offsets inline (`table` is None). `problem` is
    empty, or where and why reading the data set stopped: such an object is whole, byte for byte,
    and may be stored.
    """

    sop_class: str
    sop_uid: str
    study_uid: str
    series_uid: str
    patient: Attributes
    study: Attributes
    series: Attributes
    instance: Attributes
    transfer_syntax: str
    length: int
    digest: bytes
    header: bytes
    prefix: int
    holes: list[Hole]
    frames: Frames | None
    deflated: bool
    problem: str
    meta: dict[int, str]
    patient_key: str
    refusal: str


class ObjectScan:
    """Parts an object that arrives in pieces; see `_native.Splitter` for what each call means."""

    def __init__(
        self,
        form: str,
        transfer_syntax: str | None,
        *,
        bulk_threshold: int = 4096,
        max_header: int = 268_435_456,
    ) -> None:
        self._splitter = _native.Splitter(
            form, transfer_syntax, _INTEREST, bulk_threshold=bulk_threshold, max_header=max_header
        )
        self.feed = self._splitter.feed
        self.hole_plan = self._splitter.hole_plan

    def finish(self) -> Scanned:
        """Say that the object ends here; return what it is. Raises Invalid for what is not DICOM."""
        scan = self._splitter.finish()
        if scan.fatal:
            raise Invalid(scan.problem)
        facts = scan.filed(_FILING)
        patient = scan.pick(_PATIENT)
        if study_uid := facts[2]:
            patient[STUDY_INSTANCE_UID] = [study_uid]
        return Scanned(*facts, patient_key(patient), _refusal(scan, facts[:4], facts[-1]))


def _refusal(scan: _native.Scan, uids: Sequence[str], meta: Mapping[int, str]) -> str:
    """Return why an object cannot be filed, naming the UID that is missing; nothing if it can."""
    if meta.get(MEDIA_STORAGE_SOP_CLASS_UID) == MEDIA_STORAGE_DIRECTORY:
        return "a DICOMDIR is the index of a medium, not an object to store"
    if all(uids):
        return ""
    tag = list(_IDENTITY)[uids.index("")]
    found = str(next(iter(scan.pick([tag]).get(tag, ())), ""))[:80]
    what = f"{found!r} is not a UID" if found.strip(" \0") else "is missing"
    where = f" (reading stopped {scan.problem})" if scan.problem else ""
    return f"{tag_name(tag)} {_IDENTITY[tag]} {what}{where}"


def header_json(
    header: Buffer, start: int, transfer_syntax: str, holes: Iterable[Hole], bulk_uri: str
) -> bytes:
    """Return the DICOM JSON (PS3.18 F.2) of a header whose data set begins at `start`.

    Each hole becomes a BulkDataURI: `bulk_uri`, slash, its path.
    """
    places = [(hole.offset, hole.length) for hole in holes]
    return _native.dataset_json(header, start, transfer_syntax, places, bulk_uri)


def inflated(pieces: Iterable[Buffer], limit: int) -> Iterator[bytes]:
    """Yield a deflated data set inflated, in bounded pieces (PS3.5 A.5).

    Raises ValueError when it is broken, cut short, or over `limit` bytes. What follows its end is
    padding.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    length = 0
    for deflated in pieces:
        rest = deflated
        full = True
        while rest or full:  # a full piece may not be all that there is
            try:
                piece = inflater.decompress(rest, INFLATED_PIECE)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            rest, full = inflater.unconsumed_tail, len(piece) == INFLATED_PIECE
            length += len(piece)
            if length > limit:
                raise ValueError(f"it has more than {limit} bytes")
            if piece:
                yield piece
            if inflater.eof:
                return
    raise ValueError("it is cut short")
