"""Crashes of a process that stores, and an index that is lost."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from vna.archive import Archive, ArchiveSettings
from vna.archive.commit import encode_commit
from vna.archive.prepare import IngestRoom
from vna.archive.recover import recover
from vna.index import content_id
from vna.storage import pack_name
from vna.testing.commits import store
from vna.testing.images import ct_image
from vna.types import VoidCommit

WRITER = """
import asyncio, sys, itertools
from pathlib import Path
from vna.archive import Archive, ArchiveSettings

async def main(data, template, prefix):
    archive = Archive.open(ArchiveSettings(data=Path(data), pack_size_bytes=300_000))
    template = Path(template).read_bytes()

    async def sender(lane):
        for number in itertools.count():
            uid = f"{prefix}.{lane}.{number:06}"
            old = b"1.2.3.4.5.6.7.8.9.10.11"
            file = template.replace(old, uid.encode().ljust(len(old), b"\\0")[: len(old)])
            await archive.store(file, source="crash")
            print(uid, flush=True)

    await asyncio.gather(*(sender(lane) for lane in range(4)))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_store_waits_for_the_void_that_a_newer_pack_may_have(tmp_path, monkeypatch):
    """Its writer died between the two, and somebody holds the newer pack already, or it lets go of it last."""
    settings = ArchiveSettings(data=tmp_path / "data", duplicates="keep")
    archive = Archive.open(settings)
    try:
        await archive.store(ct_image(), source="first")
        with archive._index.read() as reader:
            stamp = reader.last_stamp() + 5
        made = []
        monkeypatch.setattr(IngestRoom, "commit", lambda _, proposal: made.append(proposal))
        ingest = archive.ingest(form="part10", source="late")
        await ingest.write(ct_image(SeriesDescription="refused"))
        with pytest.raises(TypeError):  # nothing is there to wait for
            await ingest.commit()
        (proposal,) = made
        refused = proposal.record(stamp)
        void = VoidCommit(stamp + 1, stamp, refused.sop_uid, content_id(refused.version))
        for commit, blobs in ((refused, proposal.blobs), (void, ())):
            writer = archive._store.writer()
            writer.append(blobs, encode_commit(commit))
            writer.sync()
            writer.close()
        *_, newest = archive._store.packs()
        monkeypatch.setattr("vna.archive.recover.DYING_S", 0.05)
        with archive._store.claim(newest.id):
            assert archive.recover().mutations == 0
        assert archive.recover().mutations == 2
        (stored,) = archive.objects("1.2.3")
        assert b"".join(archive.file(stored, "TEST")[1]) == ct_image()
    finally:
        archive.close()


async def test_one_recovers_at_a_time(tmp_path):
    with closing(Archive.open(ArchiveSettings(data=tmp_path / "data"))) as archive:
        await archive.store(ct_image(), source="test")
        archive._committer.close()
        with archive._index.recovering(wait=True):
            assert recover(archive._store, archive._index, wait=False).packs == 0
            waiting = asyncio.create_task(archive.run(archive.recover))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting


def start_writer(data: Path, template: Path, prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data), str(template), prefix],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def template(tmp_path, ct):
    path = tmp_path / "template.dcm"
    path.write_bytes(ct("1.2.3.4.5.6.7.8.9.10.11"))
    return path


def everything(archive: Archive) -> dict[str, bytes]:
    return {o.sop_uid: b"".join(archive.dataset(o)) for o in archive.objects("1.2.3")}


@pytest.mark.crash
def test_killed_writers_lose_nothing_acknowledged(data, template, dataset_of):
    expected = dataset_of(template.read_bytes())
    acknowledged: set[str] = set()
    for round_ in range(5):
        writers = [start_writer(data, template, f"1.2.{round_}{w}") for w in range(2)]
        first = [writer.stdout.readline() for writer in writers]  # both are at work
        time.sleep(0.1 + 0.1 * round_)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        acknowledged.update(first)
        for writer in writers:
            out, _ = writer.communicate()
            acknowledged.update(
                line for line in out.splitlines(keepends=True) if line.endswith("\n")
            )
        archive = Archive.open(ArchiveSettings(data=data))
        try:
            archive.recover()
            assert archive.recover().packs == 0, "what was settled stays settled"
            found = everything(archive)
            assert {uid.strip() for uid in acknowledged} <= found.keys()
            for uid, dataset in found.items():
                old = b"1.2.3.4.5.6.7.8.9.10.11"
                assert dataset == expected.replace(old, uid.encode().ljust(len(old), b"\0")), uid
            assert archive.check().damage == []
        finally:
            archive.close()
    assert len(acknowledged) > 50


async def test_the_index_can_be_lost_and_made_again_from_the_packs(data, ct):
    settings = ArchiveSettings(data=data, pack_size_bytes=20_000, stream_threshold_bytes=50_000)
    one, two = Archive.open(settings), Archive.open(settings)
    pixels = bytes(100_000)
    for number in range(10):
        await one.store(ct(f"1.2.3.{number}"), source="one")
        await two.store(ct(f"1.2.3.{number}", Modality="MR"), source="two")
        large = ct(f"1.2.4.{number}", Rows=250, Columns=200, PixelData=pixels + bytes([number]) * 2)
        await two.store(large, source="two")
    from vna.types import Level

    await one.delete(Level.INSTANCE, "1.2.3.3", "test")
    before, stats = everything(one), one.stats()
    dump = list(one._index.dump())
    one.close()
    two.close()

    shutil.rmtree(data / "index")
    again = Archive.open(settings)
    try:
        again.recover()
        assert everything(again) == before
        assert list(again._index.dump()) == dump
        assert again.stats().counts == stats.counts
        assert again.check().damage == []
    finally:
        again.close()


async def test_a_commit_that_no_index_takes_is_damage_of_its_pack_and_stops_nothing(data, ct):
    settings = ArchiveSettings(data=data)
    archive = Archive.open(settings)
    await archive.store(ct("1.2.3.1"), source="test")
    writer = archive._store.writer()
    commit = store(10, 10).commit
    mark = writer.append((), encode_commit(msgspec.structs.replace(commit, stamp=11)))[1]
    writer.sync()
    writer.close()
    archive.close()
    shutil.rmtree(data / "index")
    with closing(Archive.open(settings)) as again:
        (damage,) = again.recover().damage
        assert damage.startswith(
            f"pack {pack_name(mark.pack)}: a commit cannot be applied: store of"
        )
        assert everything(again).keys() == {"1.2.3.1"}
        assert again.recover().damage == [damage], "it is not passed over"
