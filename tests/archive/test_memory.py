"""What arriving objects hold in memory, and that it stays under the cap."""

import pytest

from vna.archive import Archive, ArchiveSettings, Outcome
from vna.errors import Busy, Invalid
from vna.testing.large import large_object

CAP = 1 << 20
SPILL_LEAST = 256 << 10


@pytest.fixture
def tight(data):
    opened = Archive.open(ArchiveSettings(data=data, memory_in_flight_bytes=CAP))
    yield opened
    opened.close()


def files(shape, size, count):
    return [
        (made.path.split("/")[2::2], list(made.file()))
        for made in (large_object(shape, size, number) for number in range(1, count + 1))
    ]


async def test_many_objects_at_once_stay_near_the_cap_and_none_waits(tight):
    arriving = files("native", 2 << 20, 12)
    ingests = [tight.ingest(form="part10", source="test") for _ in arriving]
    most = 0
    for step in range(max(len(pieces) for _, pieces in arriving)):
        for ingest, (_, pieces) in zip(ingests, arriving, strict=True):
            if step < len(pieces):
                for at in range(0, len(pieces[step]), 1 << 16):
                    await ingest.write(pieces[step][at : at + (1 << 16)])
                    most = max(most, tight._room.memory.held)
    assert most <= CAP + len(ingests) * SPILL_LEAST
    assert len(tight._store.packs()) > 1, "some have moved to packs of their own"
    for ingest, (names, pieces) in zip(ingests, arriving, strict=True):
        stored = await ingest.commit()
        assert stored.outcome is Outcome.STORED
        (found,) = tight.objects(*names)
        assert b"".join(tight.dataset(found)) == b"".join(pieces[1:])
    assert tight._room.memory.held == 0


async def test_nothing_streams_while_memory_is_plenty(archive):
    ((_, pieces),) = files("native", 2 << 20, 1)
    await archive.store(b"".join(pieces), source="test")
    assert len(archive._store.packs()) == 1


async def test_a_long_header_is_refused_while_memory_is_scarce(tight):
    ((_, pieces),) = files("header", 4 << 20, 1)
    with pytest.raises(Busy, match="held in memory"):
        await tight.store(b"".join(pieces), source="test")
    assert tight._room.memory.held == 0


async def test_what_is_refused_or_left_is_given_back(tight, ct):
    with pytest.raises(Invalid):
        await tight.store(b"no object" * 1000, source="test")
    with pytest.raises(Invalid):
        await tight.store(ct(StudyInstanceUID=None), source="test")
    ingest = tight.ingest(form="part10", source="test")
    for piece in files("native", 3 << 20, 1)[0][1]:
        await ingest.write(piece)
    ingest.abort()
    ingest.abort()
    assert tight._room.memory.held == 0
    assert not tight._store.packs()
