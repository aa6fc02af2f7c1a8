"""`vna prefetch`: what is chosen and why, recalled here or left to the daemon."""

from contextlib import closing

import pytest
from command import report_of, vna

from vna.archive import Archive
from vna.config import load
from vna.testing.images import ct_image
from vna.workflow import Orders

OLD, NEW = "1.2.1", "1.2.9"


@pytest.fixture
async def config(tmp_path, bucket):
    """Settings of an archive with one prior, in a bucket, and a study that came after it."""
    (tmp_path / "access").write_text(bucket.access_key)
    (tmp_path / "secret").write_text(bucket.secret_key)
    file = tmp_path / "vna.toml"
    file.write_text(f"""
[archive]
data = "{tmp_path / "data"}"
[[tier]]
name = "hot"
[[tier]]
name = "cold"
kind = "s3"
endpoint = "{bucket.endpoint}"
bucket = "{bucket.bucket}"
prefix = "{bucket.prefix}"
access_key_file = "{tmp_path / "access"}"
secret_key_file = "{tmp_path / "secret"}"
allow_http = true
[[remote]]
ae_title = "NOBODY"
host = "127.0.0.1"
port = 9
[[prefetch]]
name = "chest"
modalities = ["CT"]
""")
    with closing(Archive.open(load(file).archive)) as archive:
        await archive.store(image(OLD, "20240102"), source="test")
        archive.move("cold")
        await archive.store(image(NEW, "20260301"), source="test")
    return file


def image(study, date):
    return ct_image(
        f"{study}.1.1",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        StudyDate=date,
        BodyPartExamined="CHEST",
    )


def test_priors_are_shown_recalled_and_ordered(config, tmp_path):
    asked = ("prefetch", "--patient", "P1", "--study", NEW, "--config", config)
    code, report = report_of(*asked, "--dry-run")
    chosen = {
        "study_uid": OLD,
        "made": "2024-01-02",
        "rule": "chest",
        "reason": "body part CHEST",
        "send_to": [],
        "state": "chosen",
        "bytes": 0,
        "problem": "",
    }
    assert (code, report) == (0, {"priors": [chosen]})
    assert list(Orders(tmp_path / "data").due(0, 0)) == []
    code, report = report_of(*asked, "--wait")
    (recalled,) = report["priors"]
    assert (code, recalled["state"], recalled["bytes"] > 512) == (0, "hot", True)
    code, said, _ = vna("prefetch", "--patient", "P1", "--modality", "CT", "--config", config)
    assert code == 0
    assert said.startswith("ordered 1.2.9")
    ((_, order),) = Orders(tmp_path / "data").due(0, 0)
    assert (order.patient_id, order.modality) == ("P1", "CT")


def test_what_cannot_be(config):
    text = config.read_text()
    config.write_text(text + 'send_to = "NOBODY"\n')
    code, report = report_of("prefetch", "--study", NEW, "--wait", "--config", config)
    assert code == 1
    assert "NOBODY at 127.0.0.1:9" in report["priors"][0]["problem"]
    config.write_text(text.partition("[[prefetch]]")[0])
    assert vna("prefetch", "--study", NEW, "--config", config)[0] == 2
