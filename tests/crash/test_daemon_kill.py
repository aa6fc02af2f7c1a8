"""kill -9 of workers, and of the whole daemon, under the load of clients that outlive it.

DCMTK and STOW-RS clients send without end, and keep the ledger: an object is in it once its answer
said success. After each kill every object of the ledger is found and reads back identical, and
whatever else is visible is whole too.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from sender import make

from vna.testing.large import STUDY_UID

pytestmark = [pytest.mark.crash, pytest.mark.interop]

CLIENTS = ["storescu", "dcmsend", "stow", "stow"]
SENDER = Path(__file__).with_name("sender.py")
VNA = Path(sys.executable).with_name("vna")
WORKERS = 2
DEADLINE_S = 60
SETTINGS = """
[archive]
pack_size_bytes = 4194304
stream_threshold_bytes = 262144
[scrub]
rate_bytes_s = 0
"""


class Clients:
    """Senders at work, and their ledger."""

    def __init__(self, ports, folder):
        self.files = {}
        self._running = []
        for number, kind in enumerate(CLIENTS, 1):
            port = ports["http" if kind == "stow" else "dimse"]
            lane = folder / f"lane{number}"
            lane.mkdir()
            ledger = lane / "ledger"
            with ledger.open("w") as out:
                sender = subprocess.Popen(
                    [sys.executable, SENDER, kind, str(port), str(number * 1_000_000 + 1), lane],
                    stdout=out,
                    start_new_session=True,  # so that it can be ended with what it runs
                )
            self._running.append(sender)
            self.files[number] = ledger

    def ledgers(self):
        """Return the numbers that were acknowledged by now, for each client."""
        return {
            client: [int(line) for line in file.read_text().splitlines(True) if line[-1:] == "\n"]
            for client, file in self.files.items()
        }

    def ledger(self):
        return {number for numbers in self.ledgers().values() for number in numbers}

    def advance(self):
        """Return when every client had something acknowledged from now on."""
        before = {client: len(numbers) for client, numbers in self.ledgers().items()}
        end = time.monotonic() + DEADLINE_S
        while any(len(now) == before[client] for client, now in self.ledgers().items()):
            assert all(sender.poll() is None for sender in self._running), "a client gave up"
            assert time.monotonic() < end, f"a client waits in vain: {before}"
            time.sleep(0.05)

    @contextmanager
    def resting(self):
        """Send nothing meanwhile: more would arrive than can be looked at."""
        self._signal(signal.SIGSTOP)
        yield
        self._signal(signal.SIGCONT)

    def end(self):
        self._signal(signal.SIGKILL)
        for sender in self._running:
            sender.wait()

    def _signal(self, number):
        for sender in self._running:
            os.killpg(sender.pid, number)


@pytest.fixture
def ports(free_port):
    return {"dimse": free_port(), "http": free_port()}


@pytest.fixture
def start(start_daemon, tmp_path, ports):
    """Start the daemon, always on the same ports, as clients would find it again."""
    settings = tmp_path / "vna.toml"
    settings.write_text(SETTINGS)
    where = ["--dimse-port", str(ports["dimse"]), "--http-port", str(ports["http"])]

    def run():
        options = ["--config", str(settings), *where]
        return start_daemon(tmp_path / "data", *options, workers=WORKERS)

    return run


@contextmanager
def clients_of(ports, folder):
    clients = Clients(ports, folder)
    try:
        yield clients
    finally:
        clients.end()


def kill_tree(daemon):
    """Kill workers and supervisor at once, as a machine that fails would stop them."""
    for process in [daemon.process, *psutil.Process(daemon.process.pid).children()]:
        os.kill(process.pid, signal.SIGKILL)
    daemon.process.communicate()


def kill_workers(daemon, chance):
    """Kill some worker, a few times; now and then before it accepts anything."""
    for _ in range(chance.randint(1, 3)):
        time.sleep(chance.uniform(0.05, 0.5))
        if workers := daemon.workers:
            chance.choice(workers).kill()


def get(to, path, accept):
    to.request("GET", f"/dicom-web{path}", headers={"Accept": accept})
    response = to.getresponse()
    body = response.read()
    assert response.status == 200, f"{path}: {response.status} {body[:200]!r}"
    return body


def visible(to):
    """Return the numbers of all instances that QIDO-RS lists."""
    found = set()
    while True:
        page = f"/instances?StudyInstanceUID={STUDY_UID}&limit=1000&offset={len(found)}"
        rows = json.loads(get(to, page, "application/dicom+json"))
        found.update(int(row["00080018"]["Value"][0].rpartition(".")[2]) for row in rows)
        if len(rows) < 1000:
            return found


def look(daemon, acknowledged, read_back):
    """See that what was acknowledged is there; read what is not in `read_back`. Return all seen."""
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=60)) as to:
        seen = visible(to)
        assert acknowledged <= seen, f"lost {sorted(acknowledged - seen)}"
        for number in seen - read_back:
            made = make(number)
            file = get(to, made.path, "application/dicom; transfer-syntax=*")
            # What STOW-RS takes has file meta information of its own, C-STORE sends none.
            assert file.endswith(b"".join(made.pieces())), f"object {number}"
    return seen


@pytest.mark.parametrize(
    "rounds", [10, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_nothing_acknowledged_is_lost_and_nothing_half_stored_is_seen(
    start, ports, tmp_path, rounds
):
    chance = random.Random(7)
    read_back = set()
    daemon = start()
    with clients_of(ports, tmp_path) as clients:
        for number in range(rounds):
            clients.advance()
            if number % 2:
                time.sleep(chance.uniform(0.1, 0.8))
                kill_tree(daemon)
                ledger = clients.ledger()
                assert "Traceback" not in daemon.log.read_text(), daemon.log.read_text()
                daemon = start()
            else:
                kill_workers(daemon, chance)
                ledger = clients.ledger()
                clients.advance()
                assert daemon.process.poll() is None, "the supervisor lives on"
            with clients.resting():
                read_back = look(daemon, ledger, read_back)
        clients.advance()
    ledger = clients.ledger()
    look(daemon, ledger, set())
    assert len(daemon.workers) == WORKERS
    assert daemon.stop() == 0, daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text(), daemon.log.read_text()
    subprocess.run([VNA, "check", "--data", tmp_path / "data"], check=True)
    assert len(ledger) > 20 * rounds
