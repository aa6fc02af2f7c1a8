"""kill -9 of the whole daemon in the middle of concurrent stores, ten times over one archive.

The senders keep the ledger: an object is in it once its C-STORE or STOW-RS answer said success.
After each kill the daemon is started again: every object of the ledger reads back identical, and
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
from contextlib import closing
from pathlib import Path

import pytest
from sender import SERIES, STUDY, make

pytestmark = [pytest.mark.crash, pytest.mark.interop, pytest.mark.timeout(600)]

ROUNDS = 10
LANES = 2
"""Senders of each kind."""
SENDER = Path(__file__).with_name("sender.py")


def start_senders(daemon, round_: int, template: Path) -> list[subprocess.Popen[str]]:
    ports = {"c-store": daemon.dimse_port, "stow": daemon.http_port}
    return [
        subprocess.Popen(
            [sys.executable, SENDER, kind, str(port), f"{round_}.{number}", template],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number, (kind, port) in enumerate(list(ports.items()) * LANES, 1)
    ]


def kill_tree(daemon) -> None:
    """Kill workers and supervisor at once, as a machine that fails would stop them."""
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text()
    for pid in [daemon.process.pid, *map(int, children.split())]:
        os.kill(pid, signal.SIGKILL)
    daemon.process.communicate()


def get(to: http.client.HTTPConnection, path: str, accept: str) -> bytes:
    to.request("GET", f"/dicom-web{path}", headers={"Accept": accept})
    response = to.getresponse()
    body = response.read()
    assert response.status == 200, f"{path}: {response.status} {body[:200]!r}"
    return body


def visible(to: http.client.HTTPConnection) -> set[str]:
    """Return the UIDs of all instances that QIDO-RS lists."""
    found: set[str] = set()
    while True:
        page = f"/instances?StudyInstanceUID={STUDY}&limit=500&offset={len(found)}"
        rows = json.loads(get(to, page, "application/dicom+json"))
        found.update(row["00080018"]["Value"][0] for row in rows)
        if len(rows) < 500:
            return found


def dataset(file: bytes) -> bytes:
    """Return the data set of a file with preamble: what follows its file meta information."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]


def test_nothing_acknowledged_is_lost_and_nothing_half_stored_is_seen(
    start_daemon, tmp_path, corpus
):
    template = corpus / "pydicom/test_files/CT_small.dcm"
    ledger: set[str] = set()
    read_back: set[str] = set()
    moments = random.Random(7)
    for round_ in range(ROUNDS):
        daemon = start_daemon(tmp_path / "data")
        senders = start_senders(daemon, round_, template)
        firsts = [sender.stdout.readline() for sender in senders]  # all are at work
        time.sleep(moments.uniform(0.1, 0.8))
        kill_tree(daemon)
        lines = [*firsts, *(line for s in senders for line in s.communicate()[0].splitlines(True))]
        ledger |= {line.strip() for line in lines if line.endswith("\n")}

        daemon = start_daemon(tmp_path / "data")
        with closing(http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=60)) as to:
            seen = visible(to)
            assert ledger <= seen, f"round {round_}: lost {ledger - seen}"
            for uid in seen if round_ == ROUNDS - 1 else seen - read_back:
                path = f"/studies/{STUDY}/series/{SERIES}/instances/{uid}"
                file = get(to, path, "application/dicom; transfer-syntax=*")
                assert dataset(file) == dataset(make(template, uid)), f"round {round_}: {uid}"
        read_back |= seen
        assert daemon.stop() == 0, daemon.log.read_text()
    assert len(ledger) > 10 * ROUNDS
