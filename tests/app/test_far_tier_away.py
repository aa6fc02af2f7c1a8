"""The S3 store of a running daemon goes away for a while: stores and what is hot go on, and all comes
back by itself."""

import asyncio
import json
import random
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.testing.faultproxy import Hang
from vna.testing.images import ct_image
from vna.testing.objectstore import bucket_tier

COLD, HOT = "1.2.1", "1.2.2"
COUNT = 12
SIZE = 20_000
DEADLINE_S = 90
TIMEOUT_S = 1.0
CONFIG = """
[archive]
data = "{data}"
threads = 2
[[tier]]
name = "hot"
path = "packs"
[[tier]]
name = "cold"
kind = "s3"
endpoint = "{cold.endpoint}"
bucket = "{cold.bucket}"
prefix = "{cold.prefix}"
access_key_file = "{cold.access_key_file}"
secret_key_file = "{cold.secret_key_file}"
allow_http = true
timeout_s = {cold.timeout_s}
"""


def image(number, study):
    pixels = random.Random(f"{study} {number}").randbytes(SIZE)
    return ct_image(
        f"{study}.9.{number}",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        Rows=1,
        Columns=SIZE // 2,
        PixelData=pixels,
    )


class Site:
    """A daemon with a study in a bucket alone and a hot one, asked over HTTP."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.stored = 0

    def ask(self, url, data=None, **headers):
        """Return status, headers and body of an answer."""
        request = urllib.request.Request(url, data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def frame(self, study, number):
        path = f"/studies/{study}/series/{study}.1/instances/{study}.9.{number}/frames/1"
        headers = {"Accept": 'multipart/related; type="application/octet-stream"'}
        return self.ask(self.daemon.dicomweb + path, **headers)

    def store(self):
        """Store one object more by STOW-RS."""
        self.stored += 1
        part = b"--x\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--x--\r\n"
        kind = 'multipart/related; type="application/dicom"; boundary=x'
        body = part % image(self.stored, HOT)
        return self.ask(f"{self.daemon.dicomweb}/studies", body, **{"Content-Type": kind})[0]

    def ready(self):
        status, _, body = self.ask(f"{self.daemon.http}/readyz")
        assert status == 200, body
        return json.loads(body)

    def goes_on(self):
        """See that stores are taken, and what is hot is served."""
        assert self.store() == 200
        assert random.Random(f"{HOT} 0").randbytes(SIZE) in self.frame(HOT, 0)[2]
        assert self.ready()["state"] == "ready"

    def refuses(self, number):
        """See that something cold is refused as it should be."""
        status, headers, body = self.frame(COLD, number)
        assert status == 503
        assert int(headers["Retry-After"]) > 0
        assert headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["detail"].startswith("tier cold is away")

    def is_back(self):
        """Wait until the tier is there for all that is on it; nobody has to ask for it."""
        eventually(lambda: "tiers_away" not in self.ready())
        for number in range(COUNT):
            pixels = random.Random(f"{COLD} {number}").randbytes(SIZE)
            assert pixels in self.frame(COLD, number)[2]


def eventually(condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def site(start_daemon, tmp_path, proxied):
    cold = bucket_tier(proxied, tmp_path, timeout_s=TIMEOUT_S)
    settings = ArchiveSettings(data=tmp_path / "data", tiers=(TierSettings("hot"), cold))
    archive = Archive.open(settings)
    for name in [(number, COLD) for number in range(COUNT)] + [(0, HOT)]:
        asyncio.run(archive.store(image(*name), source="test"))
    archive.move("cold", COLD)
    archive.close()
    archive = Archive.open(settings)
    assert archive.compact(1).packs
    archive.close()
    config = tmp_path / "vna.toml"
    config.write_text(CONFIG.format(data=tmp_path / "data", cold=cold))
    daemon = start_daemon(tmp_path / "data", "--config", str(config), workers=1)
    yield Site(daemon)
    assert daemon.stop() == 0


def be_away(site, proxy, seconds):
    """Have the store gone, then silent, for a while each."""
    proxy.refuse()
    end = time.monotonic() + seconds
    site.refuses(0)
    while time.monotonic() < end or "tiers_away" not in site.ready():
        site.goes_on()
        site.refuses(1)
    assert list(site.ready()["tiers_away"]) == ["cold"]
    eventually(lambda: b"} 1\n" in away_gauge(site))
    proxy.heal()
    site.is_back()
    for extent in (site.daemon.data / "cache").glob("*/*"):
        extent.unlink()
    proxy.fail(Hang(), times=None)
    with ThreadPoolExecutor(COUNT) as threads:
        asked = [threads.submit(site.refuses, number) for number in range(COUNT)]
        site.goes_on()
        for each in asked:
            each.result()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        site.goes_on()
        site.refuses(1)
    proxy.heal()
    site.is_back()


def away_gauge(site):
    lines = site.ask(f"{site.daemon.http}/metrics")[2].splitlines(keepends=True)
    return b"".join(line for line in lines if line.startswith(b"vna_tiers_away"))


def test_a_store_that_is_away(site, proxy):
    be_away(site, proxy, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_store_that_is_away_for_ten_minutes(site, proxy):
    be_away(site, proxy, 600)
