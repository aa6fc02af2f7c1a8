"""A whole pack for a lower tier: composed, put in one go, and read back before it is believed.

A tier takes it whole or not at all, so that each record can say that all before it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vna._native import Blake3
from vna.errors import Corrupt
from vna.storage.encode import SEAL_RECORD
from vna.storage.format import PACK_HEADER, RecordHeader, pack_header, pack_name
from vna.types import BlobPlace, PackId

if TYPE_CHECKING:
    from vna._native import Buffer, EncodedBlob
    from vna.storage.tier import Tier

__all__ = ["LargeBlob", "WholePack"]

_PIECE: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class LargeBlob:
    """A record that is too large for memory; `rest` yields what follows its header, again and again."""

    header: RecordHeader
    rest: Callable[[], Iterator[Buffer]]

    def placed(self, pack: PackId, offset: int, synced: int) -> Iterator[Buffer]:
        """Yield the bytes of the record for its place."""
        yield self.header.placed(pack, offset, synced)
        yield from self.rest()

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of the blob."""
        return self.header.digest

    @property
    def length(self) -> int:
        """Bytes of the blob."""
        return self.header.length

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return self.header.size


class WholePack:
    """Records one after the other, and the seal; held in memory but for large ones."""

    def __init__(self, created: int) -> None:
        """`created` is the stamp for its header."""
        self.size: int = PACK_HEADER.size
        self._created = created
        self._records: list[tuple[int, EncodedBlob | LargeBlob]] = []

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: EncodedBlob | LargeBlob) -> None:
        """Have a record at the end."""
        self._records.append((self.size, record))
        self.size += record.size

    def places(self, pack: PackId) -> list[BlobPlace]:
        """Return where the records are when the pack has this name, as they were added."""
        return [
            BlobPlace(pack, offset, record.size, record.length) for offset, record in self._records
        ]

    def put(self, tier: Tier, pack: PackId) -> int:
        """Put the pack on a tier under this name, and read it back; return its size.

        Raises what the tier raises, and Corrupt where it gives back other bytes: then the pack is
        removed again.
        """
        sent = Blake3()

        def pieces() -> Iterator[Buffer]:
            for piece in self._pieces(pack):
                sent.update(piece)
                yield piece

        size = tier.put(pack, pieces())
        back = Blake3()
        reader = tier.open(pack)
        try:
            for piece in reader.stream(0, size):
                back.update(piece)
        finally:
            reader.close()
        if back.digest() != sent.digest():
            tier.remove(pack)
            raise Corrupt(f"pack {pack_name(pack)} comes back from its tier other than it was put")
        return size

    def _pieces(self, pack: PackId) -> Iterator[Buffer]:
        """Yield the bytes of the pack, small ones run together."""
        run = bytearray(pack_header(pack, self._created))
        for offset, record in [*self._records, (self.size, SEAL_RECORD)]:
            for part in record.placed(pack, offset, offset):
                if len(part) >= _PIECE:
                    yield bytes(run)
                    yield part
                    run = bytearray()
                    continue
                run += part
                if len(run) >= _PIECE:
                    yield bytes(run)
                    run = bytearray()
        yield bytes(run)
