"""What every tier must do, run by each implementation and wrapper."""

import pytest

from vna.storage.extents import ExtentCache
from vna.storage.tier import write_all
from vna.storage.tiers.cached import CachedTier
from vna.storage.tiers.directory import DirectoryTier
from vna.storage.tiers.s3 import S3Tier
from vna.storage.tiers.wrapping import MarkedTier, MeteredTier, QueuedTier
from vna.testing.faultproxy import Answer, EachOnce, Reset, Unheard
from vna.testing.faulty import FaultyTier

NEAR = {
    "directory": DirectoryTier,
    "direct": lambda path: DirectoryTier(path, direct=True),
    "faulty": lambda path: FaultyTier(DirectoryTier(path)),
    "metered": lambda path: MeteredTier(DirectoryTier(path)),
    "queued": lambda path: QueuedTier(DirectoryTier(path), 1),
    "marked": lambda path: MarkedTier(lambda: DirectoryTier(path), "", lambda _: None),
    "cached": lambda path: CachedTier(DirectoryTier(path), ExtentCache(path / "cache", 1 << 20)),
}
HOT = ("directory", "direct", "faulty")


@pytest.fixture(params=HOT)
def make(request, tmp_path):
    """Open the hot tier at one place, as a process does."""
    return lambda: NEAR[request.param](tmp_path / "tier")


@pytest.fixture
def tier(make):
    return make()


FAULTS = {
    "s3 busy": Answer(503, "SlowDown"),
    "s3 resetting": Reset(),
    "s3 unheard": Unheard(),
}
"""That pass by themselves, and are not noticed."""
MADE_AGAIN = "GET|HEAD|POST|PUT"
"""Requests that the client makes again when their answer does not come; a removal is not."""


@pytest.fixture(params=[*NEAR, "s3", "cached s3", *FAULTS])
def make_any(request, tmp_path):
    """Open a tier of any kind at one place, as a process does."""
    if request.param in FAULTS:
        proxied = request.getfixturevalue("proxied")
        assert S3Tier(proxied).identity  # given once, and that is not tried again
        fault = EachOnce(FAULTS[request.param])
        request.getfixturevalue("proxy").fail(fault, method=MADE_AGAIN, times=None)
        return lambda: S3Tier(proxied)
    return opener(request, tmp_path)


@pytest.fixture(params=[*NEAR, "s3", "cached s3"])
def make_healthy(request, tmp_path):
    """As `make_any`, but for faults: they take long with much data."""
    return opener(request, tmp_path)


def opener(request, tmp_path):
    if request.param in NEAR:
        return lambda: NEAR[request.param](tmp_path / "tier")
    bucket = request.getfixturevalue("bucket")
    if request.param == "s3":
        return lambda: S3Tier(bucket)
    return lambda: CachedTier(S3Tier(bucket), ExtentCache(tmp_path / "cache", 1 << 20))


PACK = 3 << 56 | 1 << 32 | 7


def test_any_tier_keeps_its_identity(make_any):
    assert make_any().identity == make_any().identity
    assert len(make_any().identity) == 36


def test_any_tier_gives_back_what_was_put(make_any):
    tier = make_any()
    assert tier.put(PACK, [b"abc", memoryview(b"defg"), b""]) == 7
    assert tier.list() == make_any().list() == [(PACK, 7)]
    reader = make_any().open(PACK)
    assert reader.read(1, 3) == b"bcd"
    assert reader.read(5, 100) == b"fg"
    assert reader.read(7, 1) == reader.read(99, 1) == b""
    assert b"".join(reader.stream(2, 4)) == b"cdef"
    assert b"".join(reader.stream(2, 0)) == b"".join(reader.stream(99, 4)) == b""
    assert reader.size() == 7
    reader.close()


def test_any_tier_takes_a_name_once(make_any):
    make_any().put(PACK, [b"first"])
    with pytest.raises(FileExistsError):
        make_any().put(PACK, [b"second"])
    assert make_any().open(PACK).read(0, 100) == b"first"


def test_any_tier_says_that_a_pack_is_missing(make_any):
    tier = make_any()
    with pytest.raises(FileNotFoundError):
        tier.open(PACK).read(0, 1)
    tier.remove(PACK)
    tier.put(PACK, [b"there"])
    tier.remove(PACK)
    tier.remove(PACK)
    assert tier.list() == []
    with pytest.raises(FileNotFoundError):
        tier.open(PACK).read(0, 1)


def test_any_tier_has_nothing_of_a_put_that_failed(make_healthy):
    def pieces():
        yield bytes(20 << 20)
        raise ValueError("the source broke")

    tier = make_healthy()
    with pytest.raises(ValueError, match="the source broke"):
        tier.put(PACK, pieces())
    assert tier.list() == []
    tier.put(PACK, [b"now"])
    assert tier.open(PACK).read(0, 10) == b"now"


def test_any_tier_lists_by_id(make_any):
    tier = make_any()
    packs = [5 << 32 | 2, PACK, 1 << 32 | 9, 1 << 32 | 1]
    for pack in packs:
        tier.put(pack, [b"1234"])
    assert tier.list() == [(pack, 4) for pack in sorted(packs)]


def test_any_tier_keeps_large_packs(make_healthy):
    pieces = [bytes([number]) * (1 << 20) for number in range(40)]
    tier = make_healthy()
    assert tier.put(PACK, iter(pieces)) == 40 << 20
    assert tier.open(PACK).read((39 << 20) - 1, 2) == b"\x26\x27"
    assert b"".join(tier.open(PACK).stream(0, 40 << 20)) == b"".join(pieces)


def test_identity_stays(make):
    assert make().identity == make().identity
    assert len(make().identity) == 36


def test_reserved_names_are_new_and_ascend(make):
    first, second = make(), make()
    names = [tier.reserve(3) for tier in (first, second, first, second)]
    assert names == sorted(set(names))
    assert all(name >> 32 == 3 for name in names)
    assert first.reserve(4) >> 32 == 4


def test_a_name_is_not_reserved_again_after_removal(tier):
    pack = tier.reserve(1)
    tier.create(pack).close()
    tier.remove(pack)
    assert tier.reserve(1) > pack


def test_what_is_written_is_read(tier):
    pack = tier.reserve(1)
    file = tier.create(pack)
    end = write_all(file, [b"abc", b"", memoryview(b"defg")], 0)
    assert end == 7
    assert write_all(file, [b"XY"], 10) == 12
    assert file.read(0, 12) == b"abcdefg\0\0\0XY"
    file.sync()
    reader = tier.open(pack)
    assert reader.size() == 12
    assert reader.read(1, 3) == b"bcd"
    assert reader.read(10, 100) == b"XY"
    assert reader.read(12, 1) == reader.read(99, 1) == b""
    file.truncate(4)
    assert reader.read(0, 100) == b"abcd"
    assert tier.list() == [(pack, 4)]
    file.close()
    reader.close()


def test_what_is_appended_is_there_after_the_sync(tier):
    pack = tier.reserve(1)
    file = tier.create(pack)
    write_all(file, [b"front"], 0)
    file.sync()
    reader = tier.open(pack)
    expected = b"front"
    for number in range(9):
        data = bytes([65 + number]) * 1500
        file.append([data[:7], b"", memoryview(data)[7:]], len(expected))
        assert reader.read(0, 99_999).rstrip(b"\0") == expected, "not before it is to be written"
        if number % 3:
            file.begin_write()
        file.append([b"-"], len(expected) + len(data))
        if number % 3 == 2:
            file.begin_write()
        wait = file.begin_sync()
        wait()
        expected += data + b"-"
        # This puts the last block into the page cache, which the next sync must not leave there.
        found = reader.read(0, 99_999)
        assert found[: len(expected)] == expected
        assert found[len(expected) :] == bytes(len(found) - len(expected))
        assert len(found) - len(expected) < 4096
    file.append([b"dropped"], len(expected))
    file.truncate(len(expected))
    file.sync()
    assert reader.read(0, 99_999) == expected
    assert tier.list() == [(pack, len(expected))]
    file.append([b"more"], len(expected))
    file.sync()
    assert reader.read(0, 99_999).rstrip(b"\0") == expected + b"more"
    file.close()
    reader.close()


def test_many_buffers_in_one_write(tier):
    file = tier.create(tier.reserve(1))
    buffers = [b"%04d" % number for number in range(5000)]
    assert write_all(file, buffers, 3) == 20_003
    assert file.read(3, 20_000) == b"".join(buffers)
    file.close()


def test_a_name_is_taken_once(tier):
    pack = tier.reserve(1)
    file = tier.create(pack)
    with pytest.raises(FileExistsError):
        tier.create(pack)
    file.close()
    with pytest.raises(FileExistsError):
        tier.create(pack)


def test_a_missing_pack(tier):
    pack = tier.reserve(1)
    with pytest.raises(FileNotFoundError):
        tier.open(pack)
    assert tier.claim(pack) is None
    tier.remove(pack)
    assert tier.list() == []


def test_a_pack_has_one_owner(make):
    first, second = make(), make()
    pack = first.reserve(1)
    file = first.create(pack)
    assert first.claim(pack) is None
    assert second.claim(pack) is None
    file.close()
    claimed = second.claim(pack)
    assert claimed is not None
    assert first.claim(pack) is None
    write_all(claimed, [b"more"], 0)
    claimed.close()
    assert first.list() == [(pack, 4)]


def test_packs_are_listed_by_id(tier):
    packs = [tier.reserve(node) for node in (2, 1, 1, 3)]
    for pack in packs:
        tier.create(pack).close()
    assert tier.list() == [(pack, 0) for pack in sorted(packs)]


def test_a_removed_pack_reads_on(tier):
    pack = tier.reserve(1)
    file = tier.create(pack)
    write_all(file, [b"still there"], 0)
    file.close()
    reader = tier.open(pack)
    tier.remove(pack)
    assert reader.read(0, 100) == b"still there"
    reader.close()
    assert tier.list() == []


def test_packs_without_an_identity_are_refused(tmp_path):
    tier = DirectoryTier(tmp_path / "tier")
    tier.create(tier.reserve(1)).close()
    (tmp_path / "tier" / "tier").unlink()
    with pytest.raises(OSError, match="packs without an identity in `tier`"):
        DirectoryTier(tmp_path / "tier")


def test_a_sequence_that_power_loss_left_as_zeros(tmp_path):
    tier = DirectoryTier(tmp_path / "tier")
    (tmp_path / "tier" / "sequence").write_bytes(bytes(16))
    assert tier.reserve(1) == 1 << 32 | 1


def test_other_files_are_no_packs(tmp_path):
    tier = DirectoryTier(tmp_path / "tier")
    for name in ("00000001-00000001.pack.bak", "x.pack", "00000001-0000000G.pack"):
        (tmp_path / "tier" / name).touch()
    assert tier.list() == []
