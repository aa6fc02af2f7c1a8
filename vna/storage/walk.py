"""Walking a pack, record by record, and telling damage from a torn tail (docs/format/pack.md)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from vna.errors import Corrupt
from vna.storage.faults import reading
from vna.storage.format import (
    COMMIT,
    PACK_HEADER,
    RECORD_HEADER,
    RECORD_MAGIC,
    SEAL,
    check_pack_header,
    pack_name,
    parse_record_header,
)
from vna.storage.read import StoredRecord
from vna.types import BlobKind, BlobPlace, PackId

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from vna.storage.tier import PackReader

_SEARCH: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A blob is stored at `place`."""

    digest: bytes
    kind: BlobKind
    place: BlobPlace

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.place.offset + self.place.size


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit is stored at bytes `[offset, end)` of its pack."""

    payload: bytes
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """Bytes `[offset, end)` of a pack were durable records once, and are no more."""

    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class _Seal:
    end: int


Record: TypeAlias = BlobRecord | CommitRecord | DamagedRecord


def ends_in_seal(source: PackReader, pack: PackId) -> bool:
    """Say whether a pack is complete."""
    at = source.size() - RECORD_HEADER.size
    if at < PACK_HEADER.size:
        return False
    header = parse_record_header(source.read(at, RECORD_HEADER.size), pack, at)
    return header is not None and header.kind == SEAL


class RecordWalk:
    """An iterator over the records of a pack from `start` on, to its end or torn tail.

    `valid_end` is the end of the last record so far; once `finished`, what lies beyond it is the
    torn tail. `sealed` says that the last record was the seal. With `check`, a blob counts only
    if its chunks are undamaged, not just its header. Corrupt when the pack is shorter than `start`,
    or when neither its header nor a record says that it is this pack.
    """

    def __init__(
        self,
        pin: AbstractContextManager[PackReader],
        pack: PackId,
        start: int = 0,
        *,
        check: bool = False,
    ) -> None:
        self.valid_end = start
        self.finished = False
        self.sealed = False
        self._pack = pack
        self._check = check
        self._records = self._walk(pin, start)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        return next(self._records)

    def close(self) -> None:
        """Let the pack go before the walk has ended."""
        self._records.close()

    def _walk(
        self, pin: AbstractContextManager[PackReader], start: int
    ) -> Generator[Record, None, None]:
        with reading(self._pack), pin as source:
            size = source.size()
            offset = start
            if offset > size:
                raise Corrupt(f"pack {pack_name(self._pack)} ends at {size}, before {offset}")
            if offset == 0 and size > PACK_HEADER.size and self._header_is_damaged(source, size):
                yield DamagedRecord(0, PACK_HEADER.size)
            if offset < PACK_HEADER.size:
                # A pack of up to 64 bytes holds nothing, whether its header was completed or not.
                offset = PACK_HEADER.size
                self.valid_end = min(offset, size)
            while offset < size and not self.sealed:
                found = self._record(source, offset, size) or self._damage(source, offset, size)
                if found is None:
                    break
                offset = self.valid_end = found.end
                if isinstance(found, _Seal):
                    self.sealed = True
                else:
                    yield found
        self.finished = True

    def _header_is_damaged(self, source: PackReader, size: int) -> bool:
        """Check the pack header. Corrupt when no record behind it says whose pack this is."""
        try:
            check_pack_header(source.read(0, PACK_HEADER.size), self._pack)
        except Corrupt:
            if next(self._valid_headers(source, PACK_HEADER.size, size), None) is None:
                raise
            return True
        return False

    def _record(self, source: PackReader, offset: int, size: int) -> Record | _Seal | None:
        """Return what is at `offset`, or None where nothing is that counts."""
        stored = StoredRecord.at(source, self._pack, offset, size - offset)
        if stored is None:
            return None
        header = stored.header
        end = offset + header.size
        if header.kind == SEAL:
            return _Seal(end)
        if header.kind == COMMIT:
            try:
                return CommitRecord(stored.read(0, header.length), offset, end)
            except Corrupt:
                return None
        if self._check and not stored.check():
            return None
        place = BlobPlace(self._pack, offset, header.size, header.length)
        return BlobRecord(header.digest, BlobKind(header.kind), place)

    def _damage(self, source: PackReader, offset: int, size: int) -> Record | _Seal | None:
        """Return the damaged span at `offset`, None if it is a torn tail.

        It is damage if a record behind it says that it was durable once. The span ends at the
        first record behind it, whether or not that is the one which says so.
        """
        broken = StoredRecord.at(source, self._pack, offset, size - offset)
        end = None
        for at, synced in self._valid_headers(
            source, offset + (broken.header.size if broken else 8), size
        ):
            end = end or at
            if synced > offset:
                # A live writer may have completed the record while we searched.
                return self._record(source, offset, size) or DamagedRecord(offset, end)
        return None

    def _valid_headers(
        self, source: PackReader, start: int, size: int
    ) -> Iterator[tuple[int, int]]:
        """Yield `(offset, synced)` of all records that are valid at their place, from `start` on."""
        overlap = RECORD_HEADER.size - 1
        for base in range(start, size, _SEARCH):
            window = bytes(source.read(base, _SEARCH + overlap))
            at = window.find(RECORD_MAGIC)
            while 0 <= at < _SEARCH:
                if (base + at) % 8 == 0:
                    header = parse_record_header(
                        window[at : at + RECORD_HEADER.size], self._pack, base + at
                    )
                    if header is not None:
                        yield base + at, header.synced
                at = window.find(RECORD_MAGIC, at + 1)
