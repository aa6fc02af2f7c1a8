"""The daemon as a process: start, readiness, failure, replacement of workers, stop."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from vna.app.supervisor import Supervisor
from vna.archive import Archive, ArchiveSettings
from vna.archive.commit import encode_commit
from vna.storage import pack_name
from vna.testing.commits import store
from vna.testing.images import ct_image

VNA = Path(sys.executable).with_name("vna")
DEADLINE_S = 90


def eventually(condition, what):
    """Wait until `condition()` is true."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


def status(daemon, path):
    try:
        with urllib.request.urlopen(daemon.http + path, timeout=DEADLINE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            return error.code


def workers(daemon):
    return daemon.workers


def refused(*options):
    """Run `vna serve`, which must not come up; return its exit code and what it says."""
    ended = subprocess.run(
        [VNA, "serve", *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def test_both_fronts_accept_once_it_says_so(daemon):
    assert status(daemon, "/healthz") == 200
    assert status(daemon, "/readyz") == 200
    subprocess.run(
        ["echoscu", "-aec", daemon.ae_title, "127.0.0.1", str(daemon.dimse_port)], check=True
    )
    assert len(workers(daemon)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_0(start_daemon, tmp_path, number):
    daemon = start_daemon(tmp_path / "data", workers=1)
    serving = workers(daemon)
    daemon.process.send_signal(number)
    assert daemon.stop() == 0
    assert not any(worker.is_running() for worker in serving)
    again = start_daemon(tmp_path / "data", workers=1)
    assert again.stop() == 0


def test_an_open_association_is_waited_for_and_a_second_signal_hurries(start_daemon, tmp_path):
    settings = tmp_path / "vna.toml"
    settings.write_text("[process]\ndrain_s = 3600\n[dimse]\nartim_timeout_s = 3600\n")
    daemon = start_daemon(tmp_path / "data", "--config", str(settings), workers=1)
    with socket.create_connection(("127.0.0.1", daemon.dimse_port)):
        (worker,) = workers(daemon)
        eventually(
            lambda: any(
                link.status == psutil.CONN_ESTABLISHED and link.laddr.port == daemon.dimse_port
                for link in worker.net_connections("tcp")
            ),
            "the worker has accepted",
        )
        daemon.process.send_signal(signal.SIGTERM)
        eventually(lambda: "draining" in daemon.log.read_text(), "it drains")
        eventually(lambda: not listens(worker), "it no longer accepts")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", daemon.http_port))
        assert daemon.process.poll() is None
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(DEADLINE_S) == 0


def listens(worker):
    return any(link.status == psutil.CONN_LISTEN for link in worker.net_connections("tcp"))


def test_second_daemon_on_the_same_folder_is_refused(daemon):
    code, said = refused("--data", daemon.data, "--dimse-port", "0", "--http-port", "0")
    assert code == 3
    assert f"another daemon serves {daemon.data} already (process {daemon.process.pid})" in said
    assert status(daemon, "/readyz") == 200


def test_port_that_is_taken_is_named(daemon, tmp_path):
    code, said = refused("--data", tmp_path, "--dimse-port", str(daemon.dimse_port))
    assert code == 3
    assert f"cannot listen for DIMSE on 127.0.0.1 port {daemon.dimse_port}: Address already" in said


def test_folder_that_is_no_archive_of_ours_is_refused(tmp_path):
    (tmp_path / "archive.toml").write_text("format = 99\n")
    code, said = refused("--data", tmp_path, "--dimse-port", "0", "--http-port", "0")
    assert code == 3
    assert "format 99" in said


def test_a_record_that_cannot_be_applied_is_named_and_all_else_served(start_daemon, tmp_path):
    data = tmp_path / "data"
    with closing(Archive.open(ArchiveSettings(data=data))) as archive:
        asyncio.run(archive.store(ct_image(), source="test"))
        writer = archive._store.writer()
        commit = msgspec.structs.replace(store(10, 10).commit, stamp=11)
        pack = pack_name(writer.append((), encode_commit(commit))[1].pack)
        writer.sync()
        writer.close()
    daemon = start_daemon(data, workers=1)
    assert status(daemon, "/readyz") == 200
    assert f"damage: pack {pack}: a commit cannot be applied: store of" in daemon.log.read_text()
    assert daemon.stop() == 0
    checked = subprocess.run(
        [VNA, "check", "--data", data], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 1
    assert f"damaged  the store: pack {pack}: a commit cannot be applied" in checked.stdout


def test_wrong_settings_are_refused_before_anything_starts(tmp_path):
    settings = tmp_path / "vna.toml"
    settings.write_text("[listen]\nhttp_prot = 1\nbind = 5\n")
    code, said = refused("--config", settings, "--data", tmp_path / "data", "--workers", "-1")
    assert code == 2
    assert [line.split(";")[0] for line in said.splitlines()] == [
        f"{settings}: [listen] http_prot = 1",
        f"{settings}: [listen] bind = 5",
        "command line: --workers = -1",
    ]
    assert not (tmp_path / "data").exists()


@pytest.mark.crash
def test_killed_worker_is_replaced(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=2)
    before = {worker.pid for worker in workers(daemon)}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: "ended with code -9" in daemon.log.read_text(), "the end is noticed")
    eventually(lambda: daemon.log.read_text().count(" accepts, ") == 3, "a third worker accepts")
    after = {worker.pid for worker in workers(daemon)}
    assert len(after) == 2
    assert victim not in after
    assert status(daemon, "/readyz") == 200
    assert daemon.stop() == 0


@pytest.mark.crash
def test_a_worker_that_cannot_be_started_for_now_is_started_later(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=1)
    eventually(lambda: "background process works" in daemon.log.read_text(), "all is up")
    supervisor, (worker,) = psutil.Process(daemon.process.pid), workers(daemon)
    limit = supervisor.rlimit(psutil.RLIMIT_NOFILE)
    supervisor.rlimit(psutil.RLIMIT_NOFILE, (supervisor.num_fds() - 1, limit[1]))
    worker.kill()
    said = "worker 1 cannot be started: [Errno 24] Too many open files; the next starts in"
    eventually(lambda: said in daemon.log.read_text(), "that is said")
    supervisor.rlimit(psutil.RLIMIT_NOFILE, limit)
    eventually(lambda: daemon.log.read_text().count("worker 1 accepts, ") == 2, "it serves again")
    assert status(daemon, "/readyz") == 200
    assert daemon.stop() == 0


@pytest.mark.crash
def test_workers_end_with_a_killed_supervisor(start_daemon, tmp_path):
    daemon = start_daemon(tmp_path / "data", workers=2)
    orphans = workers(daemon)
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()
    _, alive = psutil.wait_procs(orphans, timeout=DEADLINE_S)
    assert not alive
    assert "the supervisor is gone" in daemon.log.read_text()
    again = start_daemon(tmp_path / "data", workers=1)
    assert again.stop() == 0


def test_service_manager_is_told(tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(DEADLINE_S)
        ports = ["--dimse-port", "0", "--http-port", "0", "--workers", "1"]
        process = subprocess.Popen(
            [VNA, "serve", "--json", "--data", tmp_path / "data", *ports],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(address)},
        )
        try:
            assert manager.recv(64) == b"READY=1"
            process.send_signal(signal.SIGTERM)
            assert manager.recv(64) == b"STOPPING=1"
        finally:
            process.send_signal(signal.SIGTERM)
            report, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert json.loads(report)["process"] == process.pid


def test_a_service_manager_that_is_gone_is_no_reason_not_to_serve(tmp_path):
    ports = ["--dimse-port", "0", "--http-port", "0", "--workers", "1"]
    process = subprocess.Popen(
        [VNA, "serve", "--json", "--data", tmp_path / "data", *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "gone")},
    )
    assert json.loads(process.stdout.readline())["process"] == process.pid
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert f"the service manager at {tmp_path / 'gone'} is not told STOPPING=1".encode() in said


def test_a_signal_as_the_last_worker_comes_up_announces_nothing():
    class Late(Supervisor):
        async def _run(self, number, up):
            self._stop()
            up.set_result(True)
            return 0

    def announce(listeners):
        raise AssertionError(f"{listeners} are closed")

    process = SimpleNamespace(worker_count=1, drain_s=1.0)
    config = SimpleNamespace(process=process, works_in_background=False)
    listeners = SimpleNamespace(close=lambda: None)
    asyncio.run(Late(config, listeners, announce, None, settled=True).run())


def test_banner_names_both_fronts_and_three_commands(tmp_path):
    process = subprocess.Popen(
        [VNA, "serve", "--data", tmp_path / "data", "--dimse-port", "0", "--http-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    head = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    with process.stdout:
        banner = head + process.stdout.read()
    assert process.wait(DEADLINE_S) == 0
    assert f"serves {tmp_path / 'data'}" in banner
    assert "DIMSE     VNA on 127.0.0.1 port" in banner
    assert [line.split()[0] for line in banner.splitlines()[-3:]] == ["storescu", "findscu", "curl"]
