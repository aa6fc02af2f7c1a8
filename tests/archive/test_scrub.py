"""The scrub finds a flipped bit, goes on where it was, and keeps to its hours."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from pydicom.data import get_testdata_file

from vna.archive import Archive, ArchiveSettings, Outcome, ScrubSettings
from vna.archive import scrub as room
from vna.archive.pace import Background
from vna.archive.scrub import Scrub, ScrubState, read_scrub_state
from vna.clock import SystemClock

FAST = ScrubSettings(rate_bytes_s=1 << 40, every_days=0)


def scrub_of(archive: Archive, data, settings: ScrubSettings = FAST) -> Scrub:
    clock = SystemClock()
    return Scrub(archive._index, archive._quarantine, clock, data / "scrub.json", settings)


async def fill(archive, ct, count: int) -> list[bytes]:
    files = [
        ct(f"1.2.3.{n}", Rows=100, Columns=50, PixelData=random.Random(n).randbytes(10_000))
        for n in range(count)
    ]
    for file in files:
        await archive.store(file, source="test")
    return files


def flip(archive, data, sop_uid: str) -> None:
    (stored,) = archive.objects("1.2.3", None, sop_uid)
    with archive._index.read() as reader:
        place = reader.blob(stored.version.holes[0].blob)
    name = f"{place.pack >> 32:08x}-{place.pack & 0xFFFFFFFF:08x}.pack"
    with (data / "packs" / name).open("r+b") as file:
        at = place.offset + place.size // 2
        byte = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte[0] ^ 1]), at)


async def test_a_flipped_bit_is_found_survives_a_restart_and_ends_with_a_new_copy(data, ct):
    archive = Archive.open(ArchiveSettings(data=data))
    files = await fill(archive, ct, 20)
    flip(archive, data, "1.2.3.7")
    await archive.run(scrub_of(archive, data).step, threading.Event())
    state = archive.scrub_state()
    assert (state.blobs, state.damaged, state.ended > state.begun) == (40, 1, True)
    (lost,) = archive.lost()
    assert "checksum mismatch" in lost.reason
    archive.close()
    archive = Archive.open(ArchiveSettings(data=data))
    try:
        assert archive.lost() == [lost]
        assert archive.scrub_state() == state
        assert [each.sop_uid for each in archive.check().damage] == ["1.2.3.7"]
        assert (await archive.store(files[7], source="test")).outcome is Outcome.REPAIRED
        await archive.run(scrub_of(archive, data).step, threading.Event())
        assert archive.scrub_state().damaged == 0
        assert archive.lost() == []
    finally:
        archive.close()


async def test_a_pass_goes_on_where_its_position_cannot_be_noted(
    archive, data, ct, monkeypatch, caplog
):
    """Had it ended the background process, nothing was compacted on a disk that is full."""

    def full(path, _content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    await fill(archive, ct, 10)
    scrub = scrub_of(archive, data)
    with monkeypatch.context() as patch:
        patch.setattr(room, "BATCH", 8)
        patch.setattr(room, "write_durably", full)
        await archive.run(scrub.step, threading.Event())
    assert f"cannot be noted: {data / 'scrub.json'}: No space left on device" in caplog.text
    await archive.run(scrub.step, threading.Event())
    state = archive.scrub_state()
    assert (state.blobs, bool(state.ended)) == (20, True)


def test_a_pass_that_began_in_the_future_does_not_put_off_the_next(archive, data):
    """The clock was a year ahead, and was set right."""
    settings = ScrubSettings(every_days=30)
    now = SystemClock().stamp()
    for begun, waits in ((now, True), (now + 365 * room.DAY_NS, False)):
        state = ScrubState(begun=begun, ended=begun + 1)
        (data / "scrub.json").write_bytes(msgspec.json.encode(state))
        assert bool(scrub_of(archive, data, settings)._wait_s()) is waits


async def test_a_pass_goes_on_where_it_was(archive, data, ct, monkeypatch):
    monkeypatch.setattr(room, "BATCH", 8)
    await fill(archive, ct, 10)
    for done in (8, 16, 20):
        await archive.run(scrub_of(archive, data).step, threading.Event())
        state = archive.scrub_state()
        assert (state.blobs, bool(state.ended)) == (done, done == 20)
    (data / "scrub.json").write_bytes(b"not JSON")
    await archive.run(scrub_of(archive, data).step, threading.Event())
    assert archive.scrub_state().blobs == 8, "a state that is lost costs a part of a pass"


async def test_it_keeps_to_its_rate_and_ends_when_told(archive, data, ct):
    await fill(archive, ct, 10)
    stop = threading.Event()
    begun = time.monotonic()
    slow = scrub_of(archive, data, ScrubSettings(rate_bytes_s=200_000))
    await archive.run(slow.step, stop)
    assert time.monotonic() - begun >= archive.scrub_state().bytes / 200_000
    stop.set()
    archive.scrub(ScrubSettings(rate_bytes_s=1), stop)


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [(0, 0, range(24)), (22, 6, [*range(6), 22, 23]), (1, 5, range(1, 5))],
)
def test_hours(begin, end, hours):
    day = [datetime(2026, 1, 2, hour, 30).astimezone().timestamp() for hour in range(24)]
    settings = Background(begin_hour=begin, end_hour=end)
    within = [hour for hour, at in enumerate(day) if settings.within_hours(int(at * 1e9))]
    assert within == list(hours)


def test_the_daemon_scrubs_and_says_so(start_daemon, tmp_path):
    vna = Path(sys.executable).with_name("vna")
    data = tmp_path / "data"
    subprocess.run([vna, "import", get_testdata_file("CT_small.dcm"), "--data", data], check=True)
    (pack,) = data.glob("packs/*.pack")
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    daemon = start_daemon(data, workers=1)
    while not read_scrub_state(data / "scrub.json").ended:
        time.sleep(0.1)
    said = subprocess.run(["curl", "-sS", f"{daemon.http}/readyz"], capture_output=True, check=True)
    assert json.loads(said.stdout) == {"state": "ready", "damaged_blobs": 1}
    status = subprocess.run(
        [vna, "check", "--status", "--json", "--data", data], capture_output=True, check=False
    )
    assert status.returncode == 1
    report = json.loads(status.stdout)
    assert report["scrub"]["damaged"] == 1
    assert "checksum mismatch" in report["damaged"][0]["reason"]
    assert daemon.stop() == 0, daemon.log.read_text()
    assert "scrub" in daemon.log.read_text()
