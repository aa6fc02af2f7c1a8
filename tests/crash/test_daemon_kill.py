"""kill -9 of the whole daemon in the middle of concurrent stores, ten times over one archive.

The senders keep the ledger: an object is in it once its C-STORE or STOW-RS answer said success.
After each kill the daemon is started again: every object of the ledger reads back identical, and
whatever else is visible is whole too.
"""

import http.client
import io
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

pytestmark = [pytest.mark.crash, pytest.mark.interop, pytest.mark.timeout(600)]

ROUNDS = 10
STUDY, SERIES = "1.2.826.0.1.3680043.10.99.1", "1.2.826.0.1.3680043.10.99.1.1"
STOW = 'multipart/related; type="application/dicom"; boundary=b'

Lane = Callable[[object, Callable[[], tuple[str, bytes]], dict[str, bytes]], None]


class Objects:
    """CT images of the corpus under UIDs of their own, each with pixels that no other has."""

    def __init__(self, corpus: Path) -> None:
        self._base = dcmread(corpus / "pydicom/test_files/CT_small.dcm")
        self._base.StudyInstanceUID, self._base.SeriesInstanceUID = STUDY, SERIES
        self._random = random.Random(20260102)
        self._number = 0
        self._lock = threading.Lock()

    def make(self) -> tuple[str, bytes]:
        """Return the SOP Instance UID and the Part 10 file of a new object."""
        with self._lock:
            self._number += 1
            uid = f"{SERIES}.{self._number}"
            ds = self._base
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
            ds.Rows = ds.Columns = 128
            ds.PixelData = self._random.randbytes(128 * 128 * 2)
            out = io.BytesIO()
            ds.save_as(out, enforce_file_format=True)
            return uid, out.getvalue()


def send_by_c_store(daemon, make, ledger: dict[str, bytes]) -> None:
    ae = AE(ae_title="SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", daemon.dimse_port, ae_title=daemon.ae_title)
    while association.is_established:
        uid, file = make()
        status = association.send_c_store(dcmread(io.BytesIO(file)))
        if "Status" in status and status.Status == 0:
            ledger[uid] = file
    association.abort()


def send_by_stow(daemon, make, ledger: dict[str, bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=10)
    while True:
        batch = dict(make() for _ in range(3))
        parts = b"".join(
            b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % file
            for file in batch.values()
        )
        connection.request(
            "POST", f"{daemon.dicomweb}/studies", parts + b"--b--", {"Content-Type": STOW}
        )
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            ledger.update(batch)


@contextmanager
def senders(daemon, make, ledger: dict[str, bytes]) -> Iterator[None]:
    """Run three lanes of each kind until the daemon is gone."""

    def lane(send: Lane) -> None:
        # the daemon is killed under it
        with suppress(OSError, http.client.HTTPException, RuntimeError):
            send(daemon, make, ledger)

    lanes = [
        threading.Thread(target=lane, args=(send,))
        for send in (send_by_c_store, send_by_stow)
        for _ in range(3)
    ]
    for thread in lanes:
        thread.start()
    yield
    for thread in lanes:
        thread.join(60)
        assert not thread.is_alive(), "a sender still waits for a daemon that is gone"


def kill_tree(daemon) -> None:
    """Kill workers and supervisor at once, as a machine that fails would stop them."""
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text()
    for pid in [daemon.process.pid, *map(int, children.split())]:
        os.kill(pid, signal.SIGKILL)
    daemon.process.wait()


def get(daemon, path: str, accept: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=60)
    try:
        connection.request("GET", f"{daemon.dicomweb}{path}", headers={"Accept": accept})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, f"{path}: {response.status} {body[:200]!r}"
        return body
    finally:
        connection.close()


def test_nothing_acknowledged_is_lost_and_nothing_half_stored_is_seen(
    start_daemon, tmp_path, corpus
):
    objects = Objects(corpus)
    made: dict[str, bytes] = {}
    ledger: dict[str, bytes] = {}
    moments = random.Random(7)

    def make() -> tuple[str, bytes]:
        uid, file = objects.make()
        made[uid] = file
        return uid, file

    for round_ in range(ROUNDS):
        daemon = start_daemon(tmp_path / "data")
        before = len(ledger)
        with senders(daemon, make, ledger):
            time.sleep(moments.uniform(0.6, 1.6))
            kill_tree(daemon)
        assert len(ledger) > before, f"round {round_}: nothing was stored"

        daemon = start_daemon(tmp_path / "data")
        seen = visible(daemon)
        assert ledger.keys() <= seen, f"round {round_}: lost {ledger.keys() - seen}"
        for uid in seen:
            path = f"/studies/{STUDY}/series/{SERIES}/instances/{uid}"
            file = get(daemon, path, "application/dicom; transfer-syntax=*")
            assert dataset(file) == dataset(made[uid]), f"round {round_}: {uid}"
        assert daemon.stop() == 0, daemon.log.read_text()
    assert len(ledger) > 10 * ROUNDS


def visible(daemon) -> set[str]:
    """Return the UIDs of all instances that QIDO-RS lists."""
    found: set[str] = set()
    while True:
        page = f"/instances?StudyInstanceUID={STUDY}&limit=500&offset={len(found)}"
        rows = json.loads(get(daemon, page, "application/dicom+json"))
        found.update(row["00080018"]["Value"][0] for row in rows)
        if len(rows) < 500:
            return found


def dataset(file: bytes) -> bytes:
    """Return the data set of a file with preamble: what follows its file meta information."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]
