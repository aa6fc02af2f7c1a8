"""Index values: what does not decode is Corrupt, by name; what decodes is one value, both ways.

An input is the place of an entry (two bytes: table and row) and the value that stands there
instead. The archive is then asked everything, as the fronts ask it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from fuzzing import Target

from vna.archive import Archive, ArchiveSettings
from vna.errors import VnaError
from vna.index import entities
from vna.index.layout import Table
from vna.index.transaction import Transaction
from vna.testing.images import ct_image
from vna.types import Level, Query

STUDY, SERIES = "1.2.3", "1.2.3.1"
DECODERS: dict[Table, tuple[Callable[[bytes], Any], ...]] = {
    Table.PATIENTS: (entities.decode_patient,),
    Table.STUDIES: (entities.decode_study,),
    Table.SERIES: (entities.decode_series,),
    Table.INSTANCES: (entities.decode_instance,),
    Table.GONE: (entities.decode_tombstone,),
    Table.BARRIERS: (entities.decode_barrier, entities.decode_purge),
    Table.BLOBS: (entities.decode_blob,),
    Table.DAMAGED: (entities.decode_damaged,),
    Table.PACKS: (entities.decode_pack,),
    Table.FEED: (entities.decode_change,),
    Table.META: (entities.decode_state,),
}


class IndexValues(Target):
    name = "index-values"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.archive = Archive.open(ArchiveSettings(data=folder / "data"))
        asyncio.run(self._fill())
        self.environment = self.archive._index._environment
        # Copies that fail are looked at in a thread, which must not meet a snapshot that stands in.
        self.archive._suspects.report = lambda *_: None  # type: ignore[method-assign]
        with self._snapshot() as txn:
            self.rows = [
                (table, key, value)
                for table in Table
                if table is not Table.META
                for key, value in txn.scan(table)
                if value
            ]
            state = txn.get(Table.META, b"state")
        assert state is not None
        self.rows.append((Table.META, b"state", state))

    async def _fill(self) -> None:
        for n in range(4):
            await self.archive.store(ct_image(f"{SERIES}.{n}"), source="fuzz")
        await self.archive.store(ct_image(f"{SERIES}.1", PatientName="B"), source="fuzz")
        encapsulated = ct_image(f"{SERIES}.9", PixelData=bytes(9000), Rows=45, Columns=100)
        await self.archive.store(encapsulated, source="fuzz")
        await self.archive.delete(Level.INSTANCE, f"{SERIES}.3", "fuzz")

    def seeds(self) -> list[bytes]:
        return [bytes([n]) + value for n, (_, _, value) in enumerate(self.rows[:255])]

    def check(self, data: bytes) -> None:
        if not data:
            return
        table, key, _ = self.rows[data[0] % len(self.rows)]
        value = data[1:]
        for decode in DECODERS.get(table, ()):
            try:
                decoded = decode(value)
            except VnaError:
                continue
            assert decode(entities.encode(decoded)) == decoded
        with self._standing(table, key, value):
            for ask in self._questions():
                try:
                    ask()
                except VnaError as error:
                    assert str(error)

    def _questions(self) -> Iterator[Callable[[], object]]:
        archive = self.archive
        for level in Level:
            yield lambda level=level: list(archive.query(Query(level=level)))
        for uid in (STUDY, SERIES, f"{SERIES}.1", f"{SERIES}.3"):
            yield lambda uid=uid: list(archive.histories(uid))
        yield lambda: archive.changes(0, 100)
        yield archive.stats
        yield archive.lost
        yield lambda: list(archive._index.dump())
        yield lambda: archive.objects(STUDY, SERIES)
        for n in (0, 1, 9):
            yield lambda n=n: self._retrieve(f"{SERIES}.{n}")

    def _retrieve(self, uid: str) -> None:
        (stored,) = self.archive.objects(STUDY, None, uid)
        for ask in (
            lambda: b"".join(islice(self.archive.dataset(stored), 100)),
            lambda: self.archive.file(stored, "FUZZ"),
            lambda: self.archive.metadata(stored, "uri"),
            lambda: self.archive.frame(stored, 1),
            lambda: [self.archive.bulk(stored, hole.path) for hole in stored.version.holes[:3]],
        ):
            try:
                ask()
            except VnaError as error:
                assert str(error)

    @contextmanager
    def _snapshot(self) -> Iterator[Transaction]:
        txn = self.environment.begin_read()
        try:
            yield txn
        finally:
            self.environment.end_read(txn)

    @contextmanager
    def _standing(self, table: Table, key: bytes, value: bytes) -> Iterator[None]:
        """Let readers see `value` at `key` until the block ends."""
        environment = self.environment
        with environment._env.begin(write=True) as txn:
            seen = Transaction(txn, environment._tables)
            seen.put(table, key, value)
            begin, end = environment.begin_read, environment.end_read
            environment.begin_read = lambda: seen  # type: ignore[method-assign]
            environment.end_read = lambda txn: None  # type: ignore[method-assign]
            try:
                yield
            finally:
                environment.begin_read = begin  # type: ignore[method-assign]
                environment.end_read = end  # type: ignore[method-assign]
                txn.abort()

    def close(self) -> None:
        self.archive.close()
