"""Movement between tiers: what is moved stays readable, byte for byte, and a rebuild from the packs of
the hot tier alone gives the same index."""

import errno
import shutil
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from tiered import SIZE, Life, image

from vna.archive import (
    Archive,
    Background,
    Pace,
    Stopped,
    TierSettings,
    restore_backup,
)
from vna.archive.alone import Alone
from vna.archive.commit import encode_commit
from vna.errors import Busy, Full, Invalid, NotFound, Unavailable
from vna.index import Mutation
from vna.storage import commit_record, pack_name, tier_of
from vna.storage.lift import codec_of
from vna.testing.clocks import SetClock
from vna.testing.objectstore import bucket_tier
from vna.types import Key, Level, MoveCommit, Query

AVAILABILITY = 0x00080056


@pytest.fixture
def life(folder):
    opened = Life(folder)
    yield opened
    opened.archive.close()


async def test_a_study_moves_down_and_its_hot_bytes_are_freed(life):
    await life.fill()
    archive = life.again()
    moved = archive.move("cold", "1.2.0")
    assert (moved.series, moved.instances, moved.blobs, moved.packs) == (2, 6, 6, 1)
    assert moved.bytes_stored < moved.bytes_raw * 0.7
    assert life.objects() == {"hot": 6, "warm": 0, "cold": 6}
    life.must_be_whole()
    assert archive.compact(25).packs > 0
    hot = archive.tier_states()["hot"].bytes_packs
    assert hot < 6 * SIZE + 12 * 4000
    life.must_be_whole()
    archive = life.again()
    life.must_be_whole()
    assert archive.move("cold", "1.2.0").blobs == 0


async def test_moving_all_down_step_by_step_and_up_again(life):
    await life.fill()
    archive = life.again()
    for name in ("warm", "cold", "hot", "cold", "warm", "hot"):
        archive.move(name)
        assert {tier: count for tier, count in life.objects().items() if count} == {name: 12}
        life.must_be_whole()
        archive.compact(10)
        life.must_be_whole()
    # what was recalled was not removed below, so that going down again copies nothing
    assert archive.move("cold").blobs == 0
    life.must_be_whole()


async def test_the_bulk_of_a_series_is_contiguous_in_viewing_order(life):
    await life.fill(range(0, 40, 4))
    life.archive.move("cold", None, "1.2.0.0")
    with life.archive._index.read() as reader:
        stored = life.archive.objects("1.2.0")
        places = {each.sop_uid: reader.blob(each.version.holes[0].blob) for each in stored}
    ordered = [places[f"1.2.3.{number}"] for number in range(36, -1, -4)]
    assert {tier_of(place.pack) for place in ordered} == {2}
    ends = [place.offset + place.size for place in ordered]
    assert [place.offset for place in ordered[1:]] == ends[:-1]


async def test_a_bulk_value_that_is_a_header_too(life):
    comments = {"ImageComments": "x" * 4000, "PatientComments": "y" * 4000}
    life.files = {0: image(0, **comments), 2: image(2)}
    for file in life.files.values():
        await life.archive.store(file, source="test")
    with life.archive._index.read() as reader:
        header = reader.instance("1.2.3.0").version.header
        value = bytes(life.archive._store.read(reader.blob(header)))
    life.files[4] = image(4, Columns=len(value) // 2, PixelData=value)
    await life.archive.store(life.files[4], source="test")
    life.archive.move("cold")
    with life.archive._index.read() as reader:
        assert reader.instance("1.2.3.4").version.holes[0].blob == header
        known = [
            (digest, place) for digest, _, places in reader.known(b"", 100) for place in places
        ]
    for digest, place in known:
        life.archive._store.verify(place, digest)
    life.must_be_whole()


async def test_packs_that_are_not_needed_are_removed(life):
    await life.fill()
    archive = life.archive
    archive.move("warm")
    archive.move("cold", "1.2.0")
    assert archive.reclaim() == 0, "the other study is in the same pack"
    archive.move("cold", "1.2.1")
    assert len(life.packs("warm")) == 1
    assert archive.reclaim() == 1
    assert life.packs("warm") == []
    life.must_be_whole()
    archive.move("hot", "1.2.0")
    assert archive.reclaim() == 0, "copies of what was recalled stay"
    for number in list(life.files):
        if number % 2 == 0:
            await archive.delete(Level.INSTANCE, f"1.2.3.{number}", "test")
            await archive.purge(f"1.2.3.{number}", "test")
            del life.files[number]
    assert archive.reclaim() == 1
    assert len(life.packs("cold")) == 1
    archive.compact(1)
    life.must_be_whole()


async def test_a_pack_stays_while_a_record_is_not_applied(life):
    await life.fill()
    archive = life.archive
    archive.move("warm")
    archive.move("cold")
    writer = archive._store.writer()
    move = MoveCommit(10**18, 0, 0, [])
    _, mark = writer.append_records([commit_record(encode_commit(move))])
    writer.sync()
    assert archive.reclaim() == 0, "it may count on any pack"
    archive._index.apply([Mutation(move)], {mark.pack: mark.end})
    assert archive.reclaim() == 1
    assert life.packs("warm") == []
    writer.close()
    life.must_be_whole()


async def test_what_comes_again_is_not_stored_again(life):
    await life.fill()
    life.archive.move("cold")
    for file in life.files.values():
        assert (await life.archive.store(file, source="test")).outcome.value == "duplicate"
    assert life.objects()["cold"] == 12


async def test_availability_says_where_the_bulk_is(life):
    await life.fill()
    life.archive.move("warm", None, "1.2.0.0")
    found = {}
    for level, key in (
        (Level.STUDY, 0x0020000D),
        (Level.SERIES, 0x0020000E),
        (Level.INSTANCE, 0x00080018),
    ):
        for match in life.archive.query(Query(level, (Key(0x0020000D, ""),))):
            uid = match.attributes[key][0]
            found[uid] = match.attributes[AVAILABILITY][0]
    assert found["1.2.0"] == found["1.2.0.0"] == found["1.2.3.0"] == "NEARLINE"
    assert found["1.2.1"] == found["1.2.0.1"] == found["1.2.3.2"] == "ONLINE"


async def test_one_moves_at_a_time(life):
    await life.fill()
    other = Alone(life.settings.data)
    other.take()
    with pytest.raises(Busy):
        life.archive.move("cold")
    threading.Timer(0.5, other.leave).start()
    assert life.archive.move("cold", stop=threading.Event()).blobs == 12


async def test_a_long_move_lets_in_who_waits(life):
    await life.fill()
    archive = life.again()
    archive.move("cold", "1.2.0")
    end = threading.Event()

    def move_all_the_time():
        mover = Alone(life.settings.data)
        while not end.is_set():
            mover.take(threading.Event())
            end.wait(0.05)
            mover.leave()

    moving = threading.Thread(target=move_all_the_time)
    moving.start()
    stop = threading.Event()
    giving_up = threading.Timer(20, stop.set)
    giving_up.start()
    pace = Pace(archive.clock, stop)
    with closing(archive._compaction()) as compaction:
        compacted = compaction.run(1, pace, stop=stop)
    assert compacted.packs > 0
    assert archive.reclaim(stop=stop) == 0
    assert archive.move("warm", "1.2.1", stop=stop).blobs == 6
    giving_up.cancel()
    end.set()
    moving.join()


def test_hours_end_between_two_series_and_not_amid_one():
    clock = SetClock(int(time.mktime((2026, 1, 1, 12, 0, 0, 0, 0, -1))) * 10**9)
    stop = threading.Event()
    pace = Pace(clock, stop, Background(1 << 40, begin_hour=20, end_hour=6))
    pace(1000)

    def rest():
        with pytest.raises(Stopped):
            pace(0)

    resting = threading.Thread(target=rest)
    resting.start()
    resting.join(0.3)
    assert resting.is_alive()
    stop.set()
    resting.join()


def test_names_that_are_not_there(life):
    with pytest.raises(Invalid, match="there is no tier icy; there are hot, warm, cold"):
        life.archive.move("icy")
    with pytest.raises(NotFound):
        life.archive.move("cold", "1.2.77")


def test_a_new_tier_comes_below_those_that_were_there(life):
    hot, warm, cold = life.settings.tiers
    life.archive.close()
    new = TierSettings("new", path=life.folder / "new")
    with pytest.raises(Invalid, match="cold was there before new: it must come first"):
        Archive.open(replace(life.settings, tiers=(hot, warm, new, cold)))
    life.archive = Archive.open(replace(life.settings, tiers=(hot, warm, cold, new)))
    assert life.archive.tier_names == ["hot", "warm", "cold", "new"]


async def test_a_tier_that_is_away_postpones_and_is_taken_up_again(life):
    await life.fill()
    archive = life.archive
    archive.move("cold", "1.2.0")
    archive.compact(1)
    (life.folder / "cold").rename(life.folder / "unplugged")
    archive = life.again()
    archive.compact(1)
    with pytest.raises(Unavailable):
        archive.move("cold", "1.2.1")
    with pytest.raises(Unavailable):
        life.content(0)
    assert archive.tier_states()["cold"].state == "away"
    await life.fill(range(12, 14))
    assert life.content(1) == life.files[1]
    (life.folder / "unplugged").rename(life.folder / "cold")
    archive.move("cold", "1.2.1")
    assert life.objects() == {"hot": 1, "warm": 0, "cold": 13}
    life.must_be_whole()


async def test_what_comes_up_leaves_the_space_that_is_kept_free(life):
    await life.fill()
    life.archive.move("cold")
    life.archive.close()
    life.archive = Archive.open(replace(life.settings, min_free_bytes=1 << 60))
    with pytest.raises(Full, match="MiB are kept"):
        life.archive.move("hot")
    assert life.objects()["cold"] == 12
    assert life.archive.move("warm", "1.2.0").blobs == 6, "below there is room"
    life.must_be_whole()


async def test_a_tier_that_cannot_be_written_says_why(life, monkeypatch):
    await life.fill()

    def full(path, *, new):
        assert (path.parent, new) == (life.folder / "cold", True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vna.storage.tiers.directory.open_private", full)
    with pytest.raises(Full, match="cannot be put on its tier: No space left"):
        life.archive.move("cold")


async def test_damage_stays_where_it_is_and_is_named(life):
    await life.fill()
    archive = life.again()
    with archive._index.read() as reader:
        (stored,) = archive.objects("1.2.0", None, "1.2.3.4")
        place = reader.blob(stored.version.holes[0].blob)
    for path in (life.settings.data / "packs").glob(f"*{place.pack & 0xFFFFFFFF:08x}.pack"):
        with path.open("r+b") as file:
            file.seek(place.offset + 1000)
            file.write(b"damage")
    moved = archive.move("cold")
    assert len(moved.damaged) == 1
    assert moved.blobs == 11
    for number, file in life.files.items():
        if number != 4:
            assert life.content(number) == file


async def test_a_backup_names_what_is_on_lower_tiers(life):
    await life.fill()
    archive = life.again()
    archive.move("cold", "1.2.0")
    archive.compact(1)
    report = archive.backup(life.folder / "backup")
    assert report.damage == []
    assert report.bytes_elsewhere > 6 * SIZE // 2
    archive.close()
    shutil.rmtree(life.settings.data)
    assert restore_backup(life.folder / "backup", life.settings.data).damage == []
    life.archive = Archive.open(life.settings)
    life.archive.recover()
    assert life.objects() == {"hot": 6, "warm": 0, "cold": 6}
    life.must_be_whole()


async def test_a_backup_with_its_tiers_is_all_there_is_when_the_bucket_is_gone(
    folder, proxied, proxy
):
    life = Life(folder, bucket_tier(proxied, folder, retries=0))
    backup = folder / "backup"
    try:
        await life.fill()
        archive = life.again()
        archive.move("cold", "1.2.0")
        archive.compact(1)
        first = archive.backup(backup, include_tiers=True)
        assert (first.damage, first.bytes_elsewhere) == ([], 0)
        await life.fill(range(12, 14))
        proxy.refuse()
        second = life.again().backup(backup, include_tiers=True)
        assert ["cannot be listed" in each for each in second.damage] == [True]
        assert (second.packs, second.bytes_elsewhere) == (first.packs + 1, 0)
    finally:
        life.archive.close()
    shutil.rmtree(life.settings.data)
    restored = restore_backup(backup, life.settings.data, include_tiers=True)
    assert (restored.damage, restored.tiers) == ([], {"cold": "tiers/cold"})
    cold = TierSettings("cold", path=life.settings.data / "tiers/cold")
    life.settings = replace(life.settings, tiers=(*life.settings.tiers[:2], cold))
    life.archive = Archive.open(life.settings)
    try:
        life.archive.recover()
        assert life.objects() == {"hot": 8, "warm": 0, "cold": 6}
        life.must_be_whole()
        life.archive.move("cold")
        life.must_be_whole()
    finally:
        life.archive.close()


async def test_a_backup_without_its_tiers_reads_them_where_they_are(folder, bucket):
    life = Life(folder, bucket_tier(bucket, folder))
    try:
        await life.fill()
        archive = life.again()
        archive.move("cold")
        archive.compact(1)
        first = archive.backup(folder / "backup", include_tiers=True)
        again = archive.backup(folder / "backup", include_tiers=True)
        assert again.bytes_copied < first.bytes_copied - 12 * SIZE // 2, "they never change"
        archive.close()
        shutil.rmtree(life.settings.data)
        restored = restore_backup(folder / "backup", life.settings.data)
        assert (restored.damage, restored.tiers) == ([], {})
        life.archive = Archive.open(life.settings)
        life.archive.recover()
        assert life.objects() == {"hot": 0, "warm": 0, "cold": 12}
        life.must_be_whole()
        assert life.archive.backup(folder / "backup").bytes_elsewhere > 0
    finally:
        life.archive.close()


async def test_what_has_patient_data_is_for_owner_and_group_alone(life):
    await life.fill()
    archive = life.again()
    archive.move("cold", "1.2.0")
    archive.backup(life.folder / "backup", include_tiers=True)
    restore_backup(life.folder / "backup", life.folder / "new", include_tiers=True)
    files = [*life.folder.rglob("*.pack"), *life.folder.rglob("*.mdb")]
    where = {path.relative_to(life.folder).parts[0] for path in files}
    assert where == {"data", "cold", "backup", "new"}
    assert [path for path in files if path.stat().st_mode & 0o007] == []


async def test_a_pack_that_was_made_anew_below_is_backed_up_anew(life):
    await life.fill()
    archive = life.again()
    archive.backup(life.folder / "before")
    archive.move("warm", "1.2.0")
    archive.backup(life.folder / "backup", include_tiers=True)
    archive.close()
    (first,) = life.packs("warm")
    size = first.stat().st_size
    first.unlink()
    shutil.rmtree(life.settings.data)
    restore_backup(life.folder / "before", life.settings.data)
    life.archive = Archive.open(life.settings)
    life.archive.recover()
    life.archive.move("warm", "1.2.1")
    (second,) = life.packs("warm")
    assert (second, second.stat().st_size) == (first, size)
    assert life.archive.backup(life.folder / "backup", include_tiers=True).damage == []
    assert (life.folder / "backup/packs" / first.name).read_bytes() == second.read_bytes()


async def test_an_s3_store_as_the_cold_tier(folder, bucket):
    life = Life(folder, bucket_tier(bucket, folder, codec="zstd"))
    try:
        await life.fill()
        life.archive.move("cold")
        assert life.archive.compact(1).packs > 0
        life.must_be_whole()
        life.archive.move("hot", "1.2.0")
        assert life.objects() == {"hot": 6, "warm": 0, "cold": 6}
        life.must_be_whole()
    finally:
        life.archive.close()


@pytest.mark.parametrize(("codec", "down", "across"), [("fast", 3, 5), ("strong", 2, 1)])
async def test_pixels_are_stored_as_pixels_where_the_tier_says_so(folder, codec, down, across):
    life = Life(folder, TierSettings("cold", path=folder / "cold", codec=codec))
    rows, columns = 96, 64
    try:
        for number in range(2):
            ramp = [
                row * down + column * across for row in range(rows) for column in range(columns)
            ]
            pixels = b"".join(value.to_bytes(2, "little") for value in ramp)
            life.files[number] = image(number, Rows=rows, Columns=columns, PixelData=pixels)
            await life.archive.store(life.files[number], source="test")
        life.archive.move("cold")
        with life.archive._index.read() as reader:
            pixel_data = reader.instance("1.2.3.0").version.holes[0].blob
            place = reader.blob(pixel_data)
        with life.archive._store._packs.pin(place.pack) as source:
            assert codec_of(source, place) == codec
            assert place.size < place.length / 4
        life.must_be_whole()
    finally:
        life.archive.close()


async def test_a_damaged_hot_copy_is_mended_from_the_tier_below(life):
    await life.fill()
    life.archive.move("cold")
    life.archive.compact(1)
    life.archive.move("hot")
    assert life.objects() == {"hot": 12, "warm": 0, "cold": 0}
    with life.archive._index.read() as reader:
        pixels = reader.instance("1.2.3.3").version.holes[0].blob
        hot, cold = reader.places(pixels)
    assert (tier_of(hot.pack), tier_of(cold.pack)) == (0, 2)
    with (life.folder / "data/packs" / f"{pack_name(hot.pack)}.pack").open("r+b") as file:
        file.seek(hot.offset + hot.size - 100)
        file.write(b"damaged")
    life.again()
    assert life.content(3) == life.files[3]  # by the copy below
    life.archive.check()  # the damage is recorded: by this, if not before by the read
    assert life.archive.lost() == []
    with life.archive._index.read() as reader:
        assert reader.places(pixels) == [cold]
    life.archive.move("hot", "1.2.1")  # and up again
    with life.archive._index.read() as reader:
        assert tier_of(reader.blob(pixels).pack) == 0
    for number, file in life.files.items():
        assert life.content(number) == file
