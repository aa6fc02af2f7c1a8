"""A prior that is sent to a workstation before anybody asks: DCMTK's storescp takes it."""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from vna.testing.images import ct_image

pytestmark = pytest.mark.interop

SETTINGS = """
[[tier]]
name = "hot"
[[tier]]
name = "disk"
path = "{disk}"
cached = true
[[remote]]
ae_title = "READING"
host = "127.0.0.1"
port = {port}
[[prefetch]]
name = "same-part"
send_to = "READING"
"""
WAIT_S = 60
VNA = Path(sys.executable).with_name("vna")


def image(study, date, part, number=1):
    return ct_image(
        f"{study}.1.{number}",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        InstanceNumber=number,
        StudyDate=date,
        BodyPartExamined=part,
    )


def test_priors_come_to_a_workstation(
    start_daemon, start_tool, take, tool, tmp_path, free_port, dataset
):
    config, received, port = tmp_path / "vna.toml", tmp_path / "received", free_port()
    received.mkdir()
    config.write_text(SETTINGS.format(disk=tmp_path / "disk", port=port))
    daemon = start_daemon(tmp_path / "data", "--config", str(config), workers=1)
    today = f"{datetime.now(UTC):%Y%m%d}"
    chest = {number: image("1.2.1", "20240102", "CHEST", number) for number in (1, 2, 3)}
    priors = [*chest.values(), image("1.2.2", "20250102", "BRAIN")]
    files = []
    for number, content in enumerate([*priors, image("1.2.9", today, "THORAX")]):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(content)
    take(daemon, *files[:-1])
    tool(VNA, "tier", "move", "--to", "disk", "--all", "--data", daemon.data, "--config", config)
    start_tool("storescp", "-aet", "READING", "-od", received, "+B", port)
    take(daemon, files[-1])
    end = time.monotonic() + WAIT_S
    while len(list(received.iterdir())) < len(chest):
        assert time.monotonic() < end, daemon.log.read_text()
        time.sleep(0.05)
    assert daemon.stop() == 0, daemon.log.read_text()
    came = {dcmread(path).InstanceNumber: path for path in received.iterdir()}
    assert {number: dataset(path) for number, path in came.items()} == {
        number: dataset(content) for number, content in chest.items()
    }
