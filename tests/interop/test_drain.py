"""Stop and loss of workers in the middle of stores, as clients see it."""

import http.client
import os
import signal
import subprocess
import time
from contextlib import closing

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.sop_class import CTImageStorage
from relay import Relay

pytestmark = pytest.mark.interop

WAIT_S = 60
PACK_HEADER = 64
HALF = 256 << 10
"""About half of an image of the series."""


@pytest.fixture(scope="module")
def series(corpus):
    paths = sorted((corpus / "dcm_qa_ct/In/Philips/S21610/S3010").glob("I*"))[:8]
    assert len(paths) == 8
    return paths


def eventually(condition, what):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.02)


def begin_to_drain(daemon):
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in daemon.log.read_text(), "it drains")
    assert daemon.process.poll() is None


def test_a_running_c_store_ends_before_the_daemon_does(
    start_daemon, tmp_path, series, fetch, content
):
    daemon = start_daemon(tmp_path / "data", workers=1)
    with Relay(daemon.dimse_port, hold_after=HALF) as relay:
        command = [
            "storescu",
            "-v",
            "-aec",
            daemon.ae_title,
            "127.0.0.1",
            str(relay.port),
            series[0],
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sender:
            assert relay.holding.wait(WAIT_S)
            begin_to_drain(daemon)
            relay.release()
            _, said = sender.communicate(timeout=WAIT_S)
    assert "Received Store Response (Success)" in said
    assert sender.returncode == 0
    assert daemon.process.wait(WAIT_S) == 0, daemon.log.read_text()
    again = start_daemon(tmp_path / "data", workers=1)
    assert content(fetch(again, series[0])) == content(series[0])
    assert again.stop() == 0


def test_a_running_stow_ends_before_the_daemon_does(start_daemon, tmp_path, series, fetch):
    daemon = start_daemon(tmp_path / "data", workers=1)
    parts = [
        b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % path.read_bytes()
        for path in series
    ]
    body = b"".join(parts) + b"--b--\r\n"
    with closing(
        http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=WAIT_S)
    ) as client:
        client.putrequest("POST", f"{daemon.dicomweb}/studies")
        client.putheader("Content-Type", 'multipart/related; type="application/dicom"; boundary=b')
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[: len(body) // 2])
        eventually(lambda: stored(daemon) > 0, "the first instances are stored")
        begin_to_drain(daemon)
        client.send(body[len(body) // 2 :])
        answer = client.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    assert daemon.process.wait(WAIT_S) == 0, daemon.log.read_text()
    again = start_daemon(tmp_path / "data", workers=1)
    for path in series:
        assert fetch(again, path) == path.read_bytes()
    assert again.stop() == 0


def stored(daemon):
    """Return how many bytes there are in packs beyond their headers."""
    return sum(path.stat().st_size - PACK_HEADER for path in (daemon.data / "packs").glob("*.pack"))


def owner(daemon, association):
    """Return the worker that serves an association."""
    port = association.requestor.port
    (worker,) = (
        worker
        for worker in daemon.workers
        if any(link.raddr and link.raddr.port == port for link in worker.net_connections("tcp"))
    )
    return worker


@pytest.mark.crash
def test_service_goes_on_while_a_killed_worker_is_replaced(
    start_daemon, tmp_path, series, fetch, dataset, monkeypatch
):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # a file's own bytes
    daemon = start_daemon(tmp_path / "data", workers=2)
    ae = AE(ae_title="SENDER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)

    def associate():
        association = ae.associate("127.0.0.1", daemon.dimse_port, ae_title=daemon.ae_title)
        assert association.is_established
        return association

    lost = associate()
    assert lost.send_c_store(series[0]).Status == 0
    victim = owner(daemon, lost)
    staying, passing = None, []
    while staying is None:
        passing.append(associate())
        if owner(daemon, passing[-1]) != victim:
            staying = passing.pop()
    for association in passing:
        association.release()

    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: not lost.is_established, "the peer of the dead worker is cut off")
    assert staying.send_c_store(series[1]).Status == 0
    during = associate()
    assert during.send_c_store(series[2]).Status == 0
    eventually(lambda: daemon.log.read_text().count(" accepts, ") == 3, "a third worker accepts")
    assert staying.send_c_store(series[3]).Status == 0
    for association in (staying, during):
        association.release()
    for path in series[:4]:
        assert dataset(fetch(daemon, path)) == dataset(path)
    assert daemon.stop() == 0, daemon.log.read_text()


@pytest.mark.crash
def test_a_worker_killed_in_the_middle_of_a_c_store_leaves_nothing_of_it(
    start_daemon, tmp_path, series, tool, fetch, content
):
    daemon = start_daemon(tmp_path / "data", workers=1)
    with Relay(daemon.dimse_port, hold_after=HALF) as relay:
        command = ["storescu", "-aec", daemon.ae_title, "127.0.0.1", str(relay.port), series[0]]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as sender:
            assert relay.holding.wait(WAIT_S)
            (worker,) = daemon.workers
            os.kill(worker.pid, signal.SIGKILL)
            relay.release()
            assert sender.wait(WAIT_S) != 0
    peer = ("-aec", daemon.ae_title, "127.0.0.1", daemon.dimse_port)
    keys = ("QueryRetrieveLevel=STUDY", "StudyInstanceUID")
    said = tool("findscu", "-S", *(word for key in keys for word in ("-k", key)), *peer)
    assert "Pending" not in said.stderr
    tool("storescu", *peer, series[0])
    assert content(fetch(daemon, series[0])) == content(series[0])
    assert daemon.stop() == 0, daemon.log.read_text()
