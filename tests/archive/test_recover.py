"""Crashes of a process that stores, and an index that is lost."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vna.archive import Archive, ArchiveSettings

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
