"""`vna bench`: what it prints, what it says when something is wrong, own files, a slow or dead server."""

import contextlib
import json
import socket
import socketserver
import threading

import msgspec
import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from vna.bench import SCENARIOS, Load, Result, Stock, Target, measure, prepare
from vna.cli import app
from vna.errors import Invalid, NotFound, Unavailable


def vna(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def at(daemon):
    return ["--target", f"dicom://VNA@127.0.0.1:{daemon.dimse_port}", "--web", daemon.dicomweb]


def test_list_says_what_each_scenario_does():
    shown = vna("list")
    assert shown.exit_code == 0
    for name in SCENARIOS:
        assert name in shown.stdout
    listed = json.loads(vna("list", "--json").stdout)
    assert listed.keys() == SCENARIOS.keys()
    assert all(len(each["does"]) > 40 for each in listed.values())


def test_run_reports_as_json_and_for_people(daemon):
    quick = ["--seconds", 0.2, "--mix", "TINY", "--server-pid", daemon.process.pid]
    done = vna("run", "store", *at(daemon), *quick, "--run", 1, "--json")
    assert done.exit_code == 0, done.stderr
    result = msgspec.json.decode(done.stdout, type=Result)
    assert (result.scenario, result.load.run, result.load.mix) == ("store", 1, "TINY")
    assert result.main.count > 0
    shown = vna("run", "qido", *at(daemon), *quick, "--run", 2, "--studies", 2, "--instances", 1)
    assert shown.exit_code == 0, shown.stderr
    assert "QIDO-RS" in shown.stdout
    assert "server:" in shown.stdout


def test_files_of_the_user_are_sent_under_new_uids(daemon, tmp_path):
    source = get_testdata_file("CT_small.dcm")
    original = pydicom.dcmread(source)
    original.save_as(tmp_path / "one.dcm")
    (tmp_path / "notes.txt").write_text("not DICOM")
    stock = ["--studies", 1, "--instances", 3, "--run", 3]
    done = vna("run", "instance", *at(daemon), *stock, "--seconds", 0.1, "--folder", tmp_path)
    assert done.exit_code == 0, done.stderr
    (template,) = prepare("CT", tmp_path)
    assert template.sop_class == original.SOPClassUID
    assert original.PixelData[64:] in template.data


def test_of_a_folder_what_can_be_sent_is_taken(corpus):
    """Among these are files that pydicom reads and cannot write, or whose syntax it does not know."""
    found = prepare("CT", corpus / "pydicom")
    assert len(found) > 50
    assert len({(t.sop_class, t.transfer_syntax) for t in found}) < 128


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(Invalid, match="holds no DICOM file"):
        prepare("CT", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "is not one of"),
        (["store"], "needs --target"),
        (["qido", "--target", "dicom://A@h:1"], "needs --web"),
        (["move", "--target", "dicom://A@h:1"], "needs --sink"),
        (["store", "--target", "A@h:1"], "dicom://AE@host:port"),
        (["store", "--target", "dicom://h:1"], "1 to 16 characters"),
        (["store", "--target", "dicom://A@h:99999"], "dicom://AE@host:port"),
        (["store", "--target", "dicom://A@h:1", "--mix", "XY"], "is not a mix"),
        (["store", "--target", "dicom://A@h:1", "--run", 10**8], "less than or equal to"),
        (["find", "--target", "dicom://A@h:1", "--studies", 10**6 + 1], "less than or equal to"),
        (["find", "--target", "dicom://A@h:1", "--filled"], "--filled needs the --run"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments, message):
    done = vna("run", *arguments)
    said = " ".join((done.output + str(done.exception or "")).replace("│", " ").split())
    assert done.exit_code != 0
    assert message in said


def one_store(port, **load):
    target = Target.parse(f"dicom://NOBODY@127.0.0.1:{port}", None)
    quick = Load(**({"lanes": 1, "seconds": 0.2} | load))
    return measure("store", target, quick, Stock(1, "TINY"), prepare("TINY"))


def test_a_server_that_is_not_there_is_named(free_port):
    with pytest.raises(Unavailable, match=r"store cannot start: .*refused"):
        one_store(free_port())


def test_a_server_that_rejects_the_association_is_quoted(daemon):
    with pytest.raises(Unavailable, match=r"NOBODY rejected .* reason 7"):
        one_store(daemon.dimse_port)


def test_a_server_that_says_nothing_is_given_up():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Unavailable, match="nothing from the peer"),
    ):
        one_store(silent.getsockname()[1], silence_s=0.5)


class Breaking(socketserver.BaseRequestHandler):
    """Passes bytes on to `server.beyond` and back, and breaks each connection after a while."""

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.beyond)) as far:
            back = threading.Thread(target=self.copy, args=(far, self.request))
            back.start()
            self.copy(self.request, far, left=60_000)
            back.join()

    @staticmethod
    def copy(source, sink, left=1 << 40):
        with contextlib.suppress(OSError):
            while left > 0 and (data := source.recv(min(left, 65_536))):
                sink.sendall(data)
                left -= len(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def test_a_server_that_breaks_off_amid_a_run_is_counted(daemon):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Breaking) as relay:
        relay.beyond = daemon.dimse_port
        serving = threading.Thread(target=relay.serve_forever)
        serving.start()
        target = Target.parse(f"dicom://VNA@127.0.0.1:{relay.server_address[1]}", None)
        load = Load(lanes=1, seconds=0.5, run=4)
        result = measure("store", target, load, Stock(4, "TINY"), prepare("TINY"))
        relay.shutdown()
        serving.join()
    assert result.main.count > 0
    assert result.error_count > 0
    assert any("closed" in text or "reset" in text for text in result.errors)


def test_a_process_that_is_not_there_is_named(daemon):
    target = Target.parse(f"dicom://VNA@127.0.0.1:{daemon.dimse_port}", None)
    with pytest.raises(NotFound, match="no process 4194304"):
        measure("echo", target, Load(), Stock(1), prepare("TINY"), pid=4_194_304)
