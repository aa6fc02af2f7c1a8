"""One object, parted and understood: the native scan with this project's types and errors."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
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
from vna.dicom.uids import MEDIA_STORAGE_DIRECTORY, is_uid
from vna.errors import Invalid
from vna.types import Attributes, Frames, Hole, Level, Value

if TYPE_CHECKING:
    from vna._native import Buffer  # a name of the stub, not of the extension

__all__ = ["ObjectScan", "Scanned", "header_json", "inflated"]

MEDIA_STORAGE_SOP_CLASS_UID = 0x0002_0002
INFLATED_PIECE = 1 << 20

_INTEREST = _native.Interest(INTEREST)
_LEVELS = _native.Levels(LEVELS, max_text=MAX_TEXT, max_values=MAX_VALUES)
_IDENTITY = {
    SOP_CLASS_UID: "SOP Class UID",
    SOP_INSTANCE_UID: "SOP Instance UID",
    STUDY_INSTANCE_UID: "Study Instance UID",
    SERIES_INSTANCE_UID: "Series Instance UID",
}
_NAMES = [*_IDENTITY, PATIENT_ID, ISSUER_OF_PATIENT_ID]
"""What files an object under its instance, series, study and patient."""


class Scanned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    patient_key: str
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
        values = scan.pick(_NAMES)
        uids = {tag: _uid(values, tag) for tag in _IDENTITY}
        refusal = _refusal(uids, values, scan.problem)
        if scan.meta.get(MEDIA_STORAGE_SOP_CLASS_UID) == MEDIA_STORAGE_DIRECTORY:
            refusal = "a DICOMDIR is the index of a medium, not an object to store"
        levels = scan.dealt(_LEVELS)
        for tag, uid in uids.items():
            if uid:
                values[tag] = levels[LEVELS[tag]][tag] = [uid]
        return Scanned(
            sop_class=uids[SOP_CLASS_UID],
            sop_uid=uids[SOP_INSTANCE_UID],
            study_uid=uids[STUDY_INSTANCE_UID],
            series_uid=uids[SERIES_INSTANCE_UID],
            patient_key=patient_key(values),
            patient=levels[Level.PATIENT],
            study=levels[Level.STUDY],
            series=levels[Level.SERIES],
            instance=levels[Level.INSTANCE],
            transfer_syntax=scan.transfer_syntax,
            length=scan.length,
            digest=scan.digest,
            header=scan.header,
            prefix=scan.prefix,
            holes=[Hole(*hole) for hole in scan.holes],
            frames=Frames(*scan.frames, None) if scan.frames is not None else None,
            deflated=scan.deflated,
            problem=scan.problem,
            meta=scan.meta,
            refusal=refusal,
        )


def _uid(values: dict[int, list[Value]], tag: int) -> str:
    """Return an identifying UID without its padding, or nothing where it is no use."""
    uid = str(next(iter(values.get(tag, ())), "")).strip(" \0")
    return uid if is_uid(uid) else ""


def _refusal(uids: dict[int, str], values: dict[int, list[Value]], problem: str) -> str:
    """Return which UID keeps an object from being filed, and why; nothing where all are there."""
    for tag, uid in uids.items():
        if not uid:
            found = str(next(iter(values.get(tag, ())), ""))[:80]
            what = f"{found!r} is not a UID" if found.strip(" \0") else "is missing"
            where = f" (reading stopped {problem})" if problem else ""
            return f"{tag_name(tag)} {_IDENTITY[tag]} {what}{where}"
    return ""


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
