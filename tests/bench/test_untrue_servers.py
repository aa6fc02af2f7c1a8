"""Servers that refuse, cut short, claim or die: what they do not do counts as no success."""

import itertools
import json
import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification

from vna.bench import Load, Probe, Stock, Target, fill, measure, prepare
from vna.bench import upper_layer as ul
from vna.bench.scenarios.store import new_place
from vna.bench.stage import Stage
from vna.bench.stock import values
from vna.bench.tally import Tally
from vna.errors import Unavailable

STOCK = Stock(1, "TINY", 1, 4)


@pytest.fixture(scope="module")
def templates():
    return prepare("TINY")


@contextmanager
def listening(handle):
    """Run `handle(request handler)` for each connection."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            handle(self)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def answering(status, body, media="application/dicom+json"):
    """Answer every request the same."""

    def handle(peer):
        while line := peer.rfile.readline():
            size = 0
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
                line = peer.rfile.readline()
            peer.rfile.read(size)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {len(body)}"
            peer.wfile.write(head.encode() + b"\r\n\r\n" + body)

    return handle


def web_result(scenario, handle, templates, **load):
    with listening(handle) as port:
        target = Target.parse(None, f"http://127.0.0.1:{port}/dicom-web")
        return measure(
            scenario, target, Load(**({"lanes": 1, "seconds": 0.2} | load)), STOCK, templates
        )


def stored(taken, refused):
    """Return the answer to a STOW-RS request (PS3.18 Annex I)."""
    one = {"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081197": {"vr": "US", "Value": [272]}}
    return json.dumps(
        {
            "00081199": {"vr": "SQ", "Value": [one] * taken},
            "00081198": {"vr": "SQ", "Value": [one] * refused},
        }
    ).encode()


def test_instances_that_stow_refuses_are_errors(templates):
    result = web_result("stow", answering(202, stored(1, 1)), templates, batch=2)
    assert result.main is None
    assert "1 of 2 instances" in next(iter(result.errors))
    assert not web_result("stow", answering(200, stored(2, 0)), templates, batch=2).errors


@pytest.mark.parametrize(
    ("scenario", "body", "status"),
    [
        ("frame", b"\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n" + bytes(100), 200),
        ("instance", bytes(600), 200),
        ("study", bytes(3000), 200),
        ("metadata-warm", b"[{}]", 200),
        ("metadata-cold", b"[]", 200),
        ("metadata-cold", b"", 204),
        ("frame", bytes(4000), 206),
        ("viewer", b"[]\n", 200),
        ("qido-patient", b"", 204),
    ],
)
def test_what_is_cut_short_or_empty_is_an_error(scenario, body, status, templates):
    try:
        result = web_result(scenario, answering(status, body), templates)
    except Unavailable:
        assert scenario == "metadata-warm"  # which looks before it measures
    else:
        assert result.main is None, result.operations
        assert result.error_count


class Receiver:
    """A C-STORE SCP that remembers UIDs, and answers as it is told."""

    def __init__(self, status):
        self.uids, self._status = [], status
        self._server = None

    def __enter__(self):
        ae = AE("RECEIVER")
        ae.add_supported_context(CTImageStorage, "1.2.840.10008.1.2.1")
        handlers = [(evt.EVT_C_STORE, self._take)]
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        port = self._server.socket.getsockname()[1]
        self.target = Target.parse(f"dicom://RECEIVER@127.0.0.1:{port}", None)
        return self

    def __exit__(self, *_):
        self._server.shutdown()

    def _take(self, event):
        self.uids.append(event.request.AffectedSOPInstanceUID)
        return self._status(len(self.uids))


def test_no_object_is_sent_twice_after_errors(templates):
    with Receiver(lambda n: 0xA700 if n % 3 == 0 else 0) as receiver:
        load = Load(lanes=1, seconds=1.0, instances=2)
        result = measure("store", receiver.target, load, STOCK, templates)
    assert result.error_count > 2
    assert len(set(receiver.uids)) == len(receiver.uids)


def test_no_two_lanes_send_the_same_object(templates):
    """Of one instance to a study a lane sends more than a thousand, and in an hour a million."""
    load = Load(lanes=2, instances=1)
    stage = Stage(Target(), load, STOCK, templates, range(2))
    places = [
        new_place(stage, lane, tally)
        for lane in range(2)
        for tally in [Tally()]
        for _ in range(500_001)
    ]
    assert len(set(places)) == len(places)
    assert max(places) == (1, 1, 0)


def test_pixels_of_any_two_runs_differ():
    stamps = {values(run, 0, 0)["stamp"] for run in range(2_000)}
    assert len(stamps) == 2_000


def test_a_server_that_soon_fails_has_the_rate_of_the_whole_time(templates):
    with Receiver(lambda n: 0xA700 if n > 5 else 0) as receiver:
        load = Load(lanes=1, seconds=1.0)
        result = measure("store", receiver.target, load, STOCK, templates)
    assert result.main.count == 5
    assert result.main.per_s == pytest.approx(5, rel=0.3)


def test_a_stock_that_is_not_stored_ends_the_run(templates):
    with Receiver(lambda n: 0xA700 if n > 2 else 0) as receiver:
        load = Load(lanes=1, seconds=0.3)
        with pytest.raises(Unavailable, match="2 of 4"):
            fill(receiver.target, load, STOCK, templates)


def test_a_stock_is_stored_whole_after_an_error(templates):
    with Receiver(lambda n: 0xA700 if n == 2 else 0) as receiver:
        result = fill(receiver.target, Load(lanes=1), STOCK, templates)
    assert result.main.count == 4
    assert len(set(receiver.uids)) == 4


def test_another_protocol_is_named_at_once(templates):
    """Read as a PDU, "HTTP/1.1 400" has a length of 1.4 GB."""
    with listening(lambda peer: peer.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        target = Target.parse(f"dicom://X@127.0.0.1:{port}", None)
        with pytest.raises(Unavailable, match="no DICOM peer"):
            measure("echo", target, Load(lanes=1, seconds=0.1), STOCK, templates)
    result = web_result("qido", lambda peer: peer.wfile.write(b"220 mail\r\n\r\n"), templates)
    assert any("no HTTP answer" in text for text in result.errors)


def test_headers_are_read_as_headers(templates):
    """Another header's name may end in that of Content-Length, and nothing need follow a colon."""
    match = json.dumps([{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}]).encode()
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(match), match)
    head = b"HTTP/1.1 200 OK\r\nX-Content-Length: 7\r\nTransfer-Encoding:chunked\r\n\r\n"

    def handle(peer):
        while peer.rfile.readline():
            while peer.rfile.readline().strip():
                pass
            peer.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" + head + chunks)

    result = web_result("qido", handle, templates, silence_s=0.5)
    assert not result.errors
    assert result.main.octets == result.main.count * len(match)


class Claims(socketserver.BaseRequestHandler):
    """Accepts an association, and answers its C-GET or C-MOVE with success for all, sending none."""

    def handle(self):
        def take(size):
            return self.request.recv(size, socket.MSG_WAITALL)

        body = take(int.from_bytes(take(6)[2:]))
        choice = {number: syntaxes[0] for number, syntaxes in ul.proposed(body)[0].items()}
        self.request.sendall(ul.accept(body, choice, 16_384))
        while head := take(6):
            if head[0] == ul.RELEASE:
                self.request.sendall(ul.RELEASE_RP)
                return
            if take(int.from_bytes(head[2:]))[5] == ul.LAST:  # the data set's
                values = {0x0100: 0x8010, 0x0800: ul.NO_DATA_SET, 0x0900: 0, 0x1021: 4}
                command = ul.command_set(values)
                self.request.sendall(ul.data_pdus(1, command, 4096, command=True))


@pytest.mark.parametrize("scenario", ["get", "move"])
def test_what_was_claimed_and_did_not_come_is_an_error(scenario, templates, free_port):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Claims) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"dicom://X@127.0.0.1:{server.server_address[1]}"
        target = Target.parse(address, None, f"S:{free_port()}")
        result = measure(scenario, target, Load(lanes=1, seconds=0.2), STOCK, templates)
        server.shutdown()
        thread.join()
    assert result.main is None
    assert any(re.search("0 instances of 4|and 0 came", text) for text in result.errors), (
        result.errors
    )


def test_a_get_that_is_not_accepted_cannot_start(templates):
    with (
        Receiver(lambda n: 0) as receiver,
        pytest.raises(Unavailable, match="does not accept C-GET"),
    ):
        measure("get", receiver.target, Load(lanes=1, seconds=0.1), STOCK, templates)


def test_of_a_server_that_ended_no_processor_time_is_told():
    with subprocess.Popen([sys.executable, "-c", "sum(range(10**7)); input()"], stdin=-1) as server:
        time.sleep(1)
        probe = Probe(server.pid)
        probe.begin()
        server.kill()
        server.wait()
        assert probe.end() is None


def test_a_stall_is_as_long_for_all_that_were_due_in_it(templates):
    """Asked a hundred times a second, a server that stands still for 0.4 s of 1 answers late to 40."""
    ae = AE("STALLS")
    ae.add_supported_context(Verification)
    count = itertools.count()

    def echo(_event):
        if next(count) == 20:
            time.sleep(0.4)
        return 0

    handlers = [(evt.EVT_C_ECHO, echo)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    port = server.socket.getsockname()[1]
    target = Target.parse(f"dicom://STALLS@127.0.0.1:{port}", None)
    load = Load(lanes=1, seconds=1.0, idle_associations=0, idle_connections=0)
    result = measure("idle", target, load, STOCK, templates)
    server.shutdown()
    assert not result.errors
    assert result.main.p90_ms > 200
