"""The daemon on a small disk of its own that fills up, empties again, or takes no writes."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from client import DEADLINE_S, c_store, eventually, listening, readyz, stow, whole

from vna.app.worker import HEALTH_INTERVAL_S
from vna.testing.large import large_object

MIB = 1 << 20
DISK = 96 * MIB
VNA = Path(sys.executable).with_name("vna")


@pytest.fixture
def disk(tmp_path):
    """A file system of 96 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "vna-test", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def serve(start_daemon, disk, tmp_path):
    """Start a daemon on the disk with `min_free` bytes in reserve; one worker."""
    running = []

    def start(min_free):
        settings = tmp_path / "vna.toml"
        settings.write_text(
            f"[archive]\nmin_free_bytes = {min_free}\npack_size_bytes = {4 * MIB}\n"
        )
        daemon = start_daemon(disk / "data", "--config", str(settings), workers=1)
        running.append(daemon)
        return daemon

    yield start
    for daemon in running:
        assert daemon.stop() in (0, -signal.SIGKILL), daemon.log.read_text()


def fill(daemon, send, refused):
    """Store objects of 3 MiB until one is refused; return those that were taken, and that one."""
    taken = []
    for number in range(1, 100):
        made = large_object("native", 3 * MIB, number)
        status = send(daemon, made)
        if status == refused:
            return taken, made
        assert status in (0, 200)
        taken.append(made)
    raise AssertionError("the disk does not fill up")


@pytest.mark.parametrize(
    ("send", "refused", "min_free"), [(stow, 507, 24 * MIB), (c_store, 0xA700, 0)]
)
def test_a_full_disk_refuses_serves_on_and_takes_again(serve, disk, send, refused, min_free):
    filler = disk / "filler"
    filler.write_bytes(bytes(40 * MIB))
    daemon = serve(min_free)
    taken, over = fill(daemon, send, refused)
    assert len(taken) > 2
    assert all(whole(daemon, made) for made in taken)
    if min_free:
        assert psutil.disk_usage(str(disk)).free > min_free - 4 * MIB
        status, ready = readyz(daemon)
        assert (status, ready["state"]) == (200, "full")
        eventually(lambda: "new objects are refused" in daemon.log.read_text(), "it is logged")
    else:
        huge = large_object("native", DISK, 200)
        assert send(daemon, huge) == refused
    (worker,) = daemon.workers
    filler.unlink()
    eventually(lambda: send(daemon, over) in (0, 200), "it takes objects again")
    assert whole(daemon, over)
    assert readyz(daemon) == (200, {"state": "ready"})
    assert daemon.workers == [worker], "no worker had to end"


def test_an_archive_on_a_full_disk_starts_and_serves(serve, disk):
    daemon = serve(0)
    taken, over = fill(daemon, stow, 507)
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    eventually(lambda: not listening(daemon), "its worker is gone")
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    again = serve(0)
    assert all(whole(again, made) for made in taken)
    assert stow(again, over) == 507
    (disk / "filler").unlink()
    eventually(
        lambda: stow(again, large_object("native", 64 << 10, 500)) == 200, "it takes objects"
    )


def test_a_read_only_file_system_is_named_at_start(serve, disk):
    assert serve(0).stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for command in (["serve", "--dimse-port", "0", "--http-port", "0"], ["stats"]):
        ended = subprocess.run(
            [VNA, *command, "--data", disk / "data"],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ended.returncode == 3
        assert "Read-only file system" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_worker_may_open_as_many_files_as_the_system_lets_it(start_daemon, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        daemon = start_daemon(tmp_path / "data", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    (worker,) = daemon.workers
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
    assert daemon.stop() == 0


def test_connections_beyond_the_open_files_are_survived(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=1)
    (worker,) = daemon.workers
    hard = os.sysconf("SC_OPEN_MAX")
    worker.rlimit(psutil.RLIMIT_NOFILE, (worker.num_fds() + 20, hard))
    held = [
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        for _ in range(40)
        for port in (daemon.dimse_port, daemon.http_port)
    ]
    eventually(lambda: "Too many open files" in daemon.log.read_text(), "it runs out of them")
    time.sleep(1.5 * HEALTH_INTERVAL_S)  # it has looked after itself meanwhile
    for connection in held:
        connection.close()
    made = large_object("native", 64 << 10, 1)
    eventually(lambda: listening(daemon), "it answers again")
    assert c_store(daemon, made) == 0
    assert worker.is_running()
    assert daemon.stop() == 0
