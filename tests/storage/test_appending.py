"""What is appended past the page cache is what was asked for, byte for byte, whatever fails."""

import errno
import logging
import os
import random
import resource
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna._native import Appender
from vna.errors import Full, Unavailable
from vna.storage import CommitRecord, digest_of
from vna.storage.tiers import directory
from vna.storage.tiers.directory import DirectoryTier

BLOCK = 4096
REFUSING = Path("/proc/self/oom_score_adj")
"""What answers EINVAL to a write of anything but a number."""


@pytest.fixture(params=[True, False], ids=["direct", "buffered"])
def store(request, open_store, packs):
    return open_store(DirectoryTier(packs, direct=request.param))


sizes = st.one_of(st.integers(0, 300), st.integers(BLOCK - 2, BLOCK + 2), st.integers(0, 40_000))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(sizes, max_size=4)),
        st.sampled_from([("sync", ()), ("begin", ()), ("drop", ()), ("write", ()), ("ahead", ())]),
    ),
    max_size=25,
)


@pytest.mark.parametrize("direct", [True, False])
@given(steps=steps, seed=st.integers(0, 99))
@settings(max_examples=30)
def test_any_work_leaves_what_was_appended(direct, steps, seed):
    """Appends, written ahead or not, syncs, and cuts of what was not synced: as a plain file's bytes."""
    noise = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        tier = DirectoryTier(Path(folder), direct=direct)
        pack = tier.reserve(1)
        file = tier.create(pack)
        expected = synced = bytes(64)
        file.write([expected], 0)
        for step, lengths in [*steps, ("sync", ())]:
            if step == "append":
                parts = [noise.randbytes(length) for length in lengths]
                file.append(parts, len(expected))
                expected += b"".join(parts)
                continue
            if step == "ahead":
                file.begin_write()
                continue
            if step == "drop":
                file.truncate(len(synced))
                expected = synced
            elif step == "begin":
                file.begin_sync()()
            else:
                file.sync()
            if step == "write":
                file.write([b"seal"], len(expected))
                expected += b"seal"
                file.truncate(len(expected))
            synced = expected
            found = file.read(0, 1 << 22)
            assert found[: len(synced)] == synced
            assert not any(found[len(synced) :])
            assert len(found) < len(synced) + BLOCK
        file.truncate(len(expected))
        assert tier.file(pack).read_bytes() == expected
        file.close()


@pytest.mark.parametrize("direct", [True, False])
def test_nothing_to_write_ahead_does_not_move_what_comes_next(packs, noise, direct):
    """The thread is busy, so that the order for nothing and the next one are taken together."""
    tier = DirectoryTier(packs, direct=direct)
    pack = tier.reserve(1)
    file = tier.create(pack)
    parts = [noise(9 << 20), b"next", b"last"]
    file.append([parts[0]], 0)
    file.begin_write()
    while not file.size():
        pass
    file.begin_write()
    file.append([parts[1]], 9 << 20)
    file.begin_write()
    with pytest.raises(ValueError, match=r"^appended at 0, the pack ends at 9437188$"):
        file.append([b"elsewhere"], 0)
    file.append([parts[2]], (9 << 20) + 4)
    file.sync()
    file.truncate((9 << 20) + 8)
    assert tier.file(pack).read_bytes() == b"".join(parts)
    file.close()


def test_more_than_is_written_at_once(store, blob, noise):
    data = noise(11 << 20)
    writer = store.writer()
    (small, large), _ = writer.append([blob(b"small"), blob(data, codec="raw")], b"one")
    (again,), mark = writer.append([blob(data[: 4 << 20], codec="raw")], b"two")
    writer.sync()
    assert (store.read(small), store.read(large)) == (b"small", data)
    assert store.read(again) == data[: 4 << 20]
    writer.close()
    walk = store.records(mark.pack)
    assert [r.payload for r in walk if isinstance(r, CommitRecord)] == [b"one", b"two"]
    assert walk.sealed


def test_a_sealed_pack_holds_no_more_than_its_records(store, blob, packs):
    writer = store.writer()
    _, mark = writer.append([blob(b"x")], b"c")
    writer.sync()
    writer.close()
    status = (packs / "00000001-00000001.pack").stat()
    assert status.st_size == mark.end + 96
    assert status.st_blocks * 512 <= 2 * BLOCK, "no room is kept any more"


def test_recovery_frees_the_room_that_a_dead_writer_kept(store, blob, packs):
    writer = store.writer()
    _, mark = writer.append([blob(bytes(1 << 20), codec="raw")], b"c")
    writer.sync()
    path = packs / "00000001-00000001.pack"
    kept = path.stat().st_blocks
    assert kept * 512 > 2 << 20, "room is kept ahead"
    writer._active.close()
    with store.claim(mark.pack) as orphan:
        assert len(list(orphan.records())) == 2
        orphan.truncate_torn_tail()
        orphan.seal()
    assert path.stat().st_blocks * 512 <= mark.end + 2 * BLOCK


@pytest.mark.parametrize("ahead", [True, False])
def test_a_write_that_fails_breaks_the_writer(store, blob, noise, packs, ahead):
    writer = store.writer()
    (kept,), before = writer.append([blob(b"kept")], b"kept")
    writer.sync()
    writer.append([blob(noise(6 << 20), codec="raw")], b"lost")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, hard))
    try:
        if ahead:
            writer.begin_write()
            writer.append([blob(b"more")], b"lost too")
        with pytest.raises(Unavailable, match=r"cannot be synced: File too large$") as raised:
            writer.sync()
        assert raised.value.__cause__.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(Unavailable, match="cannot be synced"):
        writer.append([], b"after")
    assert (packs / "00000001-00000001.pack").stat().st_size == before.end
    assert store.read(kept) == b"kept"
    writer.close()


def test_a_thread_that_dies_leaves_nothing_believed(store, blob, monkeypatch):
    """What was not handed over counts as lost: closing does not seal the pack over a hole."""
    writer = store.writer()
    (kept,), before = writer.append([blob(b"kept")], b"kept")
    writer.sync()
    writer.append([blob(b"lost")], b"lost")
    appender = SimpleNamespace(write=None, settle=lambda: None)  # as of another type
    monkeypatch.setattr(writer._active._file, "_appender", appender)
    with pytest.raises(TypeError):
        writer.begin_write()
    assert writer.broken == "pack 00000001-00000001 cannot be synced"
    writer.close()
    walk = store.records(before.pack)
    assert [r.payload for r in walk if isinstance(r, CommitRecord)] == [b"kept"]
    assert not walk.sealed
    assert store.read(kept) == b"kept"


def test_a_sync_waits_for_what_came_after_one_was_begun(store, blob):
    writer = store.writer()
    writer.append([blob(b"one")], b"one")
    writer.begin_sync()
    (place,), _ = writer.append([blob(b"two")], b"two")
    writer.sync()
    assert store.read(place) == b"two"
    writer.close()


def test_a_disk_with_little_space_keeps_room_for_what_is_taken_alone(store, blob, monkeypatch):
    asked = []

    def keep_room(_fd, offset, length):
        asked.append(offset + length)
        if offset + length > 10_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory, "keep_room", keep_room)
    monkeypatch.setattr(directory, "_PLENTY", 1 << 60)
    writer = store.writer()
    (place,), before = writer.append([blob(bytes(6000), codec="raw")], b"fits")
    assert asked == [before.end]
    with pytest.raises(Full, match="pack 00000001-00000001 cannot be written: No space left"):
        writer.append([blob(bytes(6000), codec="raw")], b"refused")
    _, mark = writer.append([], b"small")
    writer.close()
    store.verify(place, digest_of(bytes(6000)))
    commits = [r.payload for r in store.records(mark.pack) if isinstance(r, CommitRecord)]
    assert commits == [b"fits", b"small"]


def test_a_file_system_without_direct_writes(packs, open_store, blob, monkeypatch, caplog):
    monkeypatch.setattr(directory, "_DIRECT", os.O_DIRECTORY)  # refused, as O_DIRECT is there
    with caplog.at_level(logging.INFO, "vna.storage"):
        store = open_store(DirectoryTier(packs, direct=True), pack_size_bytes=300)
        writer = store.writer()
        places = [writer.append([blob(b"%d" % number)], b"c")[0][0] for number in range(5)]
        writer.close()
    (line,) = caplog.messages
    assert line.startswith(f"packs are written through the page cache: {packs}")
    assert [store.read(place) for place in places] == [b"%d" % number for number in range(5)]


def test_a_file_system_that_refuses_a_direct_write(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"front")
    with path.open("r+b") as file, REFUSING.open("wb") as refusing:
        appender = Appender(file.fileno(), refusing.fileno(), 5)
        appender.sync([b"abc", b"d"])
        assert not appender.wait()
        appender.sync([b"efg"])
        assert not appender.wait()
    assert path.read_bytes() == b"frontabcdefg" + bytes(BLOCK - 12)
