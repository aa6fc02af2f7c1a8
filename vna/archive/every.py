"""All instances of an archive, some at a time from one snapshot of the index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from vna.index import Index, Instance, Tombstone

__all__ = ["deleted_instances", "living_instances"]

PAGE = 256


def living_instances(index: Index) -> Iterator[Instance]:
    """Yield all instances, study by study, each study from one snapshot."""
    after = 0
    while True:
        with index.read() as reader:
            study = next(reader.studies(after), None)
            found = list(reader.instances_of(study.id)) if study is not None else []
        if study is None:
            return
        yield from found
        after = study.id


def deleted_instances(index: Index) -> Iterator[Tombstone]:
    """Yield all deleted instances."""
    after = ""
    while True:
        with index.read() as reader:
            found = list(islice(reader.tombstones(after), PAGE))
        if not found:
            return
        yield from found
        after = found[-1].uid
