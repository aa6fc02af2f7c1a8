"""README.md's first steps, run as they stand, one block after the other as in one terminal."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

PORTS = ("11112", "8080", "11113")
STEP_WAIT_S = 120


def fenced(page: str) -> list[tuple[str, str]]:
    """Return language and text of each block of a page that is marked `first-steps`."""
    return re.findall(r"^```(\w+) first-steps\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def taken(port: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            return True
    return False


class Terminal:
    """Runs blocks in a folder; what one sets the next still has. Every command must exit with 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, str] = dict(os.environ)

    def run(self, block: str) -> subprocess.CompletedProcess[str]:
        kept = self.folder / "variables"
        script = f"set -euo pipefail\nset -a\n{block}\nenv -0 > {kept.name}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=STEP_WAIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        pairs = kept.read_text().rstrip("\0").split("\0")
        self.variables = dict(pair.split("=", 1) for pair in pairs)
        kept.unlink()
        return done


@pytest.fixture
def ports(free_port) -> dict[str, str]:
    """The ports of the page; where one is taken on this machine, another."""
    return {port: str(free_port()) if taken(port) else port for port in PORTS}


@pytest.fixture
def blocks(root, ports) -> list[tuple[str, str]]:
    page = (root / "README.md").read_text()
    for port, instead in ports.items():
        page = re.sub(rf"\b{port}\b", instead, page)
    return fenced(page)


def test_first_steps(start_daemon, tmp_path, blocks, ports, content):
    terminal = Terminal(tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    # what `make serve` says, see there
    serve = ("--dimse-port", ports["11112"], "--http-port", ports["8080"])
    daemon = start_daemon(tmp_path / "data", *serve)
    assert [language for language, _ in blocks] == ["sh", "sh", "toml", "sh", "sh"]
    (_, dimse), (_, web), (_, settings), (_, move), (_, files) = blocks

    said = terminal.run(dimse)
    sample = Path(terminal.variables["SAMPLE"])
    study = terminal.variables["STUDY"]
    assert "Received Echo Response (Success)" in said.stderr
    assert "Received Store Response (Success)" in said.stderr
    assert "* with status SUCCESS  : 1" in said.stderr  # the same object a second time
    assert "PN [CompressedSamples^CT1 ]" in said.stderr
    assert study in said.stderr
    got = tmp_path / "got"
    (by_get,) = got.iterdir()
    assert content(by_get) == content(sample)

    said = terminal.run(web)
    stored, found, metadata = documents(said.stdout)
    assert len(stored["00081199"]["Value"]) == 1
    assert "00081198" not in stored
    assert [match["0020000D"]["Value"] for match in found] == [[study]]
    assert found[0]["00081030"]["Value"] == ["e+1"]
    assert [instance["00100020"]["Value"] for instance in metadata] == [["1CT1"]]
    (part,) = parts((got / "study.multipart").read_bytes())
    assert part == sample.read_bytes()

    assert daemon.stop() == 0
    name = re.match(r"# (\S+)\n", settings)
    assert name is not None
    (tmp_path / name[1]).write_text(settings)
    daemon = start_daemon(tmp_path / "data", *serve, "--config", str(tmp_path / name[1]))
    by_get.unlink()
    said = terminal.run(move)
    assert "Received Final Move Response (Success)" in said.stderr
    (by_move,) = set(got.iterdir()) - {got / "study.multipart"}
    assert content(by_move) == content(sample)

    said = terminal.run(files)
    assert "1 files taken (1 duplicate), 0 not taken" in said.stdout
    assert re.search(r"^ *instances +1 *$", said.stdout, re.MULTILINE)
    assert re.search(r"^1 instances, .* no damage found$", said.stdout, re.MULTILINE)
    assert daemon.stop() == 0


def documents(text: str) -> list[object]:
    """Return the JSON documents that follow each other in a text."""
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def parts(body: bytes) -> list[bytes]:
    """Return the contents of the parts of a multipart body, whose first line is its delimiter."""
    delimiter = body.split(b"\r\n", 1)[0]
    inner = body.split(b"\r\n" + delimiter + b"--")[0].removeprefix(delimiter + b"\r\n")
    return [part.split(b"\r\n\r\n", 1)[1] for part in inner.split(b"\r\n" + delimiter + b"\r\n")]
