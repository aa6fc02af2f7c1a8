"""Disks that fail: no space, errors, short writes, and what a writer makes of them."""

import errno

import pytest

from vna.errors import Full, Unavailable
from vna.storage import CommitRecord, digest_of, encode_blob
from vna.types import BlobKind


@pytest.fixture
def store(open_store, faulty):
    return open_store(faulty)


def commits(store, pack):
    return [r.payload for r in store.records(pack) if isinstance(r, CommitRecord)]


@pytest.mark.parametrize("most", [1, 7, 96, 1000])
def test_short_writes_go_on(store, faulty, blob, noise, most):
    data = noise(5000)
    faulty.short_writes(most)
    writer = store.writer()
    (place,), _ = writer.append([blob(data)], b"c")
    writer.close()
    store.verify(place, digest_of(data))
    stream = store.stream(65536)
    stream.write(data)
    store.verify(stream.finish(digest_of(data)), digest_of(data))


@pytest.mark.parametrize("left", [0, 1, 95, 96, 500, 1090, 1199])
def test_a_full_disk_refuses_and_the_writer_goes_on(store, faulty, noise, left):
    writer = store.writer()
    _, before = writer.append([], b"before")
    refused = encode_blob(BlobKind.BULK, bytes(32), [noise(1000)], 65536)
    faulty.space(left)
    with pytest.raises(Full, match="pack 00000001-00000001 cannot be written: No space left"):
        writer.append([refused], b"refused")
    assert not writer.broken
    faulty.space(None)
    _, mark = writer.append([], b"after")
    assert mark.end - before.end == before.end - 64, "nothing is between them"
    writer.sync()
    writer.close()
    assert commits(store, mark.pack) == [b"before", b"after"]


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS, errno.EBADF])
def test_a_failed_write_breaks_the_writer_until_recovery(store, faulty, blob, error):
    writer = store.writer()
    _, kept = writer.append([blob(b"x")], b"kept")
    writer.sync()
    faulty.fail("write", error)
    with pytest.raises(Unavailable, match="cannot be written"):
        writer.append([blob(b"y")], b"lost")
    for refused in (lambda: writer.append([], b"z"), writer.sync):
        with pytest.raises(Unavailable, match="00000001-00000001 failed to be written"):
            refused()
    with store.claim(kept.pack) as orphan:
        assert orphan is None, "still its owner's"
    writer.close()
    with store.claim(kept.pack) as orphan:
        assert [r.payload for r in orphan.records() if isinstance(r, CommitRecord)] == [b"kept"]
        orphan.truncate_torn_tail()
        orphan.seal()
    again = store.writer()
    _, mark = again.append([], b"again")
    again.sync()
    assert mark.pack != kept.pack
    assert commits(store, kept.pack) == [b"kept"]


@pytest.mark.parametrize(("error", "kind"), [(errno.EIO, Unavailable), (errno.ENOSPC, Full)])
def test_a_failed_sync_is_never_tried_again(store, faulty, blob, error, kind):
    writer = store.writer()
    writer.append([blob(b"x")], b"c")
    faulty.fail("sync", error)
    with pytest.raises(kind, match="cannot be synced"):
        writer.sync()
    syncs = faulty.calls["sync"]
    with pytest.raises(Unavailable, match="cannot be synced"):
        writer.sync()
    with pytest.raises(Unavailable):
        writer.append([], b"d")
    writer.close()
    assert faulty.calls["sync"] == syncs


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        ("reserve", errno.ENOSPC),
        ("create", errno.EMFILE),
        ("write", errno.EDQUOT),
        ("sync", errno.EIO),
    ],
)
def test_a_pack_that_cannot_be_made_leaves_nothing(store, faulty, blob, operation, error):
    kind = Full if error in (errno.ENOSPC, errno.EDQUOT) else Unavailable
    writer = store.writer()
    for refused in (lambda: writer.append([blob(b"x")], b"c"), lambda: store.stream(65536)):
        faulty.fail(operation, error)
        with pytest.raises(kind, match="a new pack cannot be made"):
            refused()
        assert store.packs() == []
    _, mark = writer.append([blob(b"x")], b"c")
    writer.sync()
    assert commits(store, mark.pack) == [b"c"]


def test_an_unsealed_pack_loses_nothing(store, faulty, blob):
    writer = store.writer()
    _, mark = writer.append([blob(b"x")], b"c")
    writer.sync()
    faulty.fail("write", errno.ENOSPC)
    writer.close()
    walk = store.records(mark.pack)
    assert len(list(walk)) == 2
    assert not walk.sealed


@pytest.mark.parametrize(
    ("operation", "error"), [("write", errno.ENOSPC), ("write", errno.EIO), ("sync", errno.EIO)]
)
def test_a_failed_stream_can_only_be_aborted(store, faulty, noise, operation, error):
    stream = store.stream(65536)
    data = noise(65536)
    if operation == "sync":
        stream.write(data)
    faulty.fail(operation, error)
    failing = stream.finish if operation == "sync" else stream.write
    with pytest.raises(
        Full if error == errno.ENOSPC else Unavailable, match="a large blob cannot be written"
    ):
        failing(digest_of(data) if operation == "sync" else data)
    with pytest.raises(Unavailable):
        stream.write(data)
    with pytest.raises(Unavailable):
        stream.finish(digest_of(data))
    stream.abort()
    assert store.packs() == []


def test_read_errors_are_told_from_corruption(store, faulty, blob):
    writer = store.writer()
    (place,), _ = writer.append([blob(b"x")], b"c")
    writer.sync()
    faulty.fail("read", errno.EIO)
    with pytest.raises(Unavailable, match="00000001-00000001 cannot be read: Input/output error"):
        store.read(place)
    assert store.read(place) == b"x"
    faulty.fail("list", errno.EIO)
    with pytest.raises(Unavailable, match="cannot be listed"):
        store.packs()


def test_too_many_open_files(open_store, faulty, blob):
    store = open_store(faulty)
    writer = store.writer()
    (place,), _ = writer.append([blob(b"x")], b"c")
    writer.sync()
    faulty.fail("open", errno.EMFILE)
    with pytest.raises(Unavailable, match="Too many open files"):
        store.read(place)
    assert store.read(place) == b"x"
