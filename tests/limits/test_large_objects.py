"""Objects that are larger than what a worker may hold in memory, in and out through every door.

`make large` runs this with objects of 5 GiB and prints what it measured.
"""

import asyncio
import http.client
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from vna._native import Blake3
from vna.dimse import DimseSettings, Scu
from vna.testing.large import LargeObject, large_object, stored_object
from vna.types import Remote

pytestmark = pytest.mark.timeout(1800)

MIB = 1 << 20
PEAK = 300 * MIB
OBJECT_BYTES = int(os.environ.get("VNA_OBJECT_BYTES", 600 * MIB))
SETTINGS = DimseSettings(ae_title="SENDER", dimse_timeout_s=600)


@pytest.fixture
def serving(start_daemon, tmp_path):
    """One worker with the settings that everybody has, once it has its share of fresh memory."""
    daemon = start_daemon(tmp_path / "data", workers=1)
    before, shared = -1, 0
    while shared != before:
        time.sleep(0.5)
        before, shared = shared, status(daemon, "RssShmem")
    yield daemon
    assert daemon.stop() == 0, daemon.log.read_text()


def status(daemon, name):
    """Return bytes that /proc tells of the worker."""
    (worker,) = daemon.workers
    (line,) = (
        line
        for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        if line.startswith(f"{name}:")
    )
    return int(line.split()[1]) << 10


def peak(daemon):
    """Return the most memory that the worker ever had beside what workers share, in bytes."""
    return status(daemon, "VmHWM") - status(daemon, "RssShmem")


def digest(pieces):
    hasher, length = Blake3(), 0
    for piece in pieces:
        hasher.update(piece)
        length += len(piece)
    return hasher.digest(), length


async def c_store(daemon, made: LargeObject):
    """Send an object as it is made; return the status of the answer."""
    remote = Remote(daemon.ae_title, "127.0.0.1", daemon.dimse_port)

    async def runs():
        for piece in made.pieces():
            yield [piece]

    async with Scu(remote, SETTINGS, [(made.sop_class, [made.transfer_syntax])]) as scu:
        return await scu.c_store(stored_object(made), runs())


def stow(daemon, made: LargeObject):
    """Send an object as the body of a STOW-RS request; return the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=600)
    headers = {"Content-Type": "application/dicom", "Accept": "application/dicom+json"}
    connection.request("POST", f"{daemon.dicomweb}/studies", made.file(), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def wado(daemon, made: LargeObject):
    """Return digest and length of the data set that a WADO-RS request is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=600)
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    connection.request("GET", daemon.dicomweb + made.path, headers=accept)
    answer = connection.getresponse()
    assert answer.status == 200
    head = answer.read(144)
    answer.read(int.from_bytes(head[140:], "little"))
    found = digest(iter(lambda: answer.read(MIB), b""))
    connection.close()
    return found


def test_a_large_object_through_every_door(serving, capsys):
    by = {
        "C-STORE": large_object("frames", OBJECT_BYTES, 1),
        "STOW-RS": large_object("frames", OBJECT_BYTES, 2),
    }

    @contextmanager
    def measured(door):
        begun = time.monotonic()
        yield
        seconds = time.monotonic() - begun
        with capsys.disabled():
            sys.stdout.write(
                f"\n{door}: {OBJECT_BYTES / 1e9:.2f} GB, {OBJECT_BYTES / seconds / 1e6:.0f} MB/s; "
                f"peak of the worker {peak(serving) / MIB:.0f} MiB "
            )

    with measured("C-STORE"):
        assert asyncio.run(c_store(serving, by["C-STORE"])) == 0x0000
    with measured("STOW-RS"):
        assert stow(serving, by["STOW-RS"]) == 200
    for door, made in by.items():
        with measured(f"WADO-RS of what {door} brought"):
            found = wado(serving, made)
        assert found == digest(made.pieces())
    assert peak(serving) < PEAK


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("native", 100 * MIB),
        ("fragment", 200 * MIB),
        ("deflated", 200 * MIB),
        ("holes", 200 * MIB),
        ("header", 60 * MIB),
        ("crumbs", 160 * MIB),
    ],
)
def test_no_shape_of_object_needs_more_memory(serving, shape, size):
    made = large_object(shape, size, 3)
    assert asyncio.run(c_store(serving, made)) == 0x0000
    assert wado(serving, made) == digest(made.pieces())
    assert peak(serving) < PEAK


def test_a_deflated_object_is_looked_into_in_bounded_memory(serving):
    made = large_object("deflated", 200 * MIB, 4)
    assert asyncio.run(c_store(serving, made)) == 0x0000
    metadata = get(serving, f"{made.path}/metadata", "application/dicom+json")
    assert b"BulkDataURI" in metadata
    frame = get(serving, f"{made.path}/frames/199", "application/octet-stream; transfer-syntax=*")
    *_, last, _ = large_object("native", 200 * MIB, 4).pieces()
    assert last in frame
    assert peak(serving) < PEAK


def get(daemon, path, accept):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=600)
    connection.request("GET", daemon.dicomweb + path, headers={"Accept": accept})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body
