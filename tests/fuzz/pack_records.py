"""Pack records: what is damaged is detected or harmless; reads never return other bytes.

The first byte of an input says whether the checksums are made good after the mutation: then
nothing but the bounds and the digests stand between the reader and the bytes.
"""

from __future__ import annotations

import random
import struct
from contextlib import nullcontext
from pathlib import Path

from fuzzing import Target

from vna._native import crc32c
from vna.errors import Corrupt, Unsupported
from vna.storage import BlobRecord, BlobStore, StorageSettings, digest_of, encode_blob
from vna.storage.format import CHUNK_ENTRY, PACK_HEADER, RECORD_HEADER, RECORD_MAGIC, align8
from vna.storage.read import StoredRecord
from vna.storage.walk import CommitRecord, DamagedRecord, RecordWalk, ends_in_seal
from vna.types import BlobKind, BlobPlace, PackId

AS_IT_IS, CHECKSUMS_MADE_GOOD = b"\0", b"\1"
LARGEST_BLOB = 8 << 20


class Held:
    """A pack in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        return self._data[offset : offset + length]

    def close(self) -> None:
        pass


class PackRecords(Target):
    name = "pack-records"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.blobs: dict[PackId, list[tuple[BlobPlace, bytes]]] = {}
        noise = random.Random(0).randbytes
        contents = [
            (BlobKind.HEADER, b"a header", 65536),
            (BlobKind.BULK, noise(300), 65536),
            (BlobKind.BULK, bytes(70_000), 33_000),
            (BlobKind.TABLE, b"\0\1\0\2" * 40, 65536),
            (BlobKind.BULK, b"", 65536),
        ]
        with_codec = [
            *((*content, "zstd") for content in contents),
            *((kind, data[:600] + b"!", length, "raw") for kind, data, length in contents),
        ]
        store = BlobStore(StorageSettings(path=folder))
        writer = store.writer()
        for n, (kind, data, chunk_length, codec) in enumerate(with_codec):
            blob = encode_blob(kind, digest_of(data), [data], chunk_length, codec)
            (place,), _ = writer.append([blob], b"commit %d" % n)
            self.blobs.setdefault(place.pack, []).append((place, data))
            writer.sync()
        writer.close()
        streamed = noise(500) + bytes(66_000)
        stream = store.stream(33_000)
        stream.write(streamed)
        place = stream.finish(digest_of(streamed))
        self.blobs[place.pack] = [(place, streamed)]
        store.close()
        self.packs = {
            int(path.stem.replace("-", ""), 16): path.read_bytes() for path in folder.glob("*.pack")
        }

    def seeds(self) -> list[bytes]:
        return [
            mode + pack for mode in (AS_IT_IS, CHECKSUMS_MADE_GOOD) for pack in self.packs.values()
        ]

    def check(self, data: bytes) -> None:
        made_good = data[:1] == CHECKSUMS_MADE_GOOD
        data = data[1:]
        for pack in self.packs:
            held = Held(_with_checksums(data, pack) if made_good else data)
            ends_in_seal_or_unsupported(held, pack)
            for check in (False, True):
                self._walk(held, pack, check=check)
            for place, blob in self.blobs[pack]:
                self._read(held, place, blob, believed=not made_good)

    def _walk(self, held: Held, pack: PackId, *, check: bool) -> None:
        walk = RecordWalk(nullcontext(held), pack, check=check)
        at = 0
        try:
            for record in walk:
                start = record.place.offset if isinstance(record, BlobRecord) else record.offset
                assert at <= start < record.end <= held.size()
                at = record.end
                if isinstance(record, BlobRecord):
                    self._verify(held, record)
                else:
                    assert isinstance(record, CommitRecord | DamagedRecord)
        except (Corrupt, Unsupported):
            return
        assert walk.finished
        assert walk.valid_end <= held.size()

    def _verify(self, held: Held, record: BlobRecord) -> None:
        """A record that verifies is the blob: however it is read."""
        try:
            stored = StoredRecord.placed(held, record.place)
            stored.verify(record.digest)
        except Corrupt:
            return
        if record.place.length <= LARGEST_BLOB:
            data = stored.read(0, record.place.length)
            assert digest_of(data) == record.digest
            assert b"".join(stored.pieces(0, len(data), 1000)) == data
            middle = slice(len(data) // 3, len(data) // 2)
            assert stored.read(middle.start, middle.stop) == data[middle]

    def _read(self, held: Held, place: BlobPlace, blob: bytes, *, believed: bool) -> None:
        """Read as the archive does, by a place that was right once."""
        for start, stop in ((0, len(blob)), (len(blob) // 3, len(blob) // 2)):
            try:
                data = StoredRecord.placed(held, place).read(start, stop)
            except (Corrupt, Unsupported):
                continue
            assert len(data) == stop - start
            assert data == blob[start:stop] or not believed, "other bytes than were stored"
        try:
            StoredRecord.placed(held, place).verify(digest_of(blob))
        except (Corrupt, Unsupported):
            return
        assert StoredRecord.placed(held, place).read(0, len(blob)) == blob


def ends_in_seal_or_unsupported(held: Held, pack: PackId) -> None:
    try:
        ends_in_seal(held, pack)
    except Unsupported:
        return


def _with_checksums(data: bytes, pack: PackId) -> bytes:
    """Return a pack with the checksums that its headers, tables and chunks now should have."""
    good = bytearray(data)
    if len(good) >= PACK_HEADER.size:
        struct.pack_into("<I", good, PACK_HEADER.size - 4, crc32c(good[: PACK_HEADER.size - 4]))
    at = good.find(RECORD_MAGIC)
    while at >= 0:
        if at % 8 == 0 and at + RECORD_HEADER.size <= len(good):
            _record_with_checksums(good, at, pack)
        at = good.find(RECORD_MAGIC, at + 1)
    return bytes(good)


def _record_with_checksums(pack_data: bytearray, at: int, pack: PackId) -> None:
    _, _, _, flags, _, stored, _, _, chunks, *_ = RECORD_HEADER.struct.unpack_from(pack_data, at)
    table, payload = at + RECORD_HEADER.size, at + RECORD_HEADER.size + CHUNK_ENTRY.size * chunks
    if flags & 1:
        table, payload = at + align8(RECORD_HEADER.size + stored), table
    begin = 0
    for entry in range(table, min(table + chunks * CHUNK_ENTRY.size, len(pack_data) - 15), 16):
        end = int.from_bytes(pack_data[entry : entry + 8], "little")
        chunk = pack_data[payload + begin : payload + end]
        crc = crc32c(chunk, crc32c(pack_data[entry : entry + 12]))
        struct.pack_into("<I", pack_data, entry + 12, crc)
        begin = end
    front = pack_data[at : at + RECORD_HEADER.size - 4]
    crc = crc32c(front, crc32c(struct.pack("<QQ", pack, at)))
    struct.pack_into("<I", pack_data, at + RECORD_HEADER.size - 4, crc)
