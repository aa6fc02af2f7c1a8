"""The running daemon on a disk whose writes and syncs fail, and on one that is well again."""

import errno
import http.client
import subprocess
import urllib.request
from pathlib import Path

import pytest
from client import c_store, eventually, readyz, stow, whole
from prometheus_client.parser import text_string_to_metric_families

from vna.testing.large import large_object

SHIM = Path(__file__).with_name("faults.c")
SETTINGS = """
[scrub]
rate_bytes_s = 0
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that makes calls fail, built here."""
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    return library


class Case:
    """A daemon whose disk fails as it is told, and the objects that it has acknowledged."""

    def __init__(self, start_daemon, folder):
        settings = folder / "vna.toml"
        settings.write_text(SETTINGS)
        self._rules = folder / "faults"
        self._rules.touch()
        self._start = lambda: start_daemon(folder / "data", "--config", str(settings), workers=1)
        self.daemon = self._start()
        self.taken = []

    def fail(self, *rules):
        """Let calls fail from now on."""
        draft = self._rules.with_suffix(".draft")
        draft.write_text("".join(f"{rule}\n" for rule in rules))
        draft.replace(self._rules)

    def end(self):
        """End, start again, and see that all is there."""
        log = self.daemon.log
        assert self.daemon.stop() == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
        again = self._start()
        assert all(whole(again, made) for made in self.taken)
        assert again.stop() == 0, again.log.read_text()


@pytest.fixture(scope="module")
def case(start_daemon, tmp_path_factory, shim):
    folder = tmp_path_factory.mktemp("failing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(shim))
        patch.setenv("VNA_TEST_FAULTS", str(folder / "faults"))
        running = Case(start_daemon, folder)
        yield running
        running.end()


def state(daemon):
    """Return the states that the metrics name."""
    with urllib.request.urlopen(f"{daemon.http}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        (found,) = [family for family in families if family.name == "vna_state"]
    return [sample.labels["state"] for sample in found.samples if sample.value]


@pytest.mark.parametrize(
    "rules",
    [
        [f"sync /packs/ {errno.EIO}"],
        [f"sync /packs/ {errno.EIO}", f"truncate /packs/ {errno.EIO}"],
        [f"write /packs/ {errno.EIO}"],
        [f"write /packs/ {errno.EROFS}", f"write /index/ {errno.EROFS}"],
        [f"write /index/ {errno.EIO}"],
    ],
    ids=["sync", "sync-and-cut", "write", "read-only", "index-write"],
)
def test_a_disk_that_fails_is_named_served_on_and_taken_up_again(case, rules):
    daemon = case.daemon
    before, refused, after = (
        large_object("native", 100_000, len(case.taken) + number) for number in (1, 2, 3)
    )
    assert c_store(daemon, before) == 0
    case.fail(*rules)
    assert c_store(daemon, refused) == 0xA700
    for _ in range(2):  # it sticks
        assert stow(daemon, refused) == 503
        status, ready = readyz(daemon)
        assert (status, ready["state"]) == (503, "broken")
        assert "takes no changes" in ready["reason"]
        assert whole(daemon, before)
        eventually(lambda: state(daemon) == ["broken"], "the metrics say so")
    assert "the archive takes no changes" in daemon.log.read_text()
    case.fail()
    eventually(lambda: stow(daemon, after) == 200, "it takes objects again")
    eventually(lambda: readyz(daemon) == (200, {"state": "ready"}), "it says so")
    eventually(lambda: state(daemon) == ["ready"], "the metrics say so")
    assert stow(daemon, refused) == 200
    case.taken += [before, refused, after]


def test_what_is_stored_while_checkpoints_of_the_index_fail_is_kept(case):
    daemon = case.daemon
    made, after = (large_object("native", 100_000, len(case.taken) + number) for number in (1, 2))
    case.fail(f"sync /index/ {errno.EIO}")
    status = c_store(daemon, made)
    assert status in (0, 0xA700), "a checkpoint has not failed yet, or it has"
    eventually(lambda: "the index cannot be synced" in daemon.log.read_text(), "it is logged")
    case.fail()

    def takes():
        try:  # a new process takes over from the one whose checkpoint failed
            return stow(daemon, after) == 200
        except (OSError, http.client.HTTPException):
            return False

    eventually(takes, "it takes objects again")
    case.taken += [made, after] if status == 0 else [after]
    # The index went back: what came since is recovered once nobody has it open as it was before.
    eventually(lambda: all(whole(daemon, each) for each in case.taken), "all is there again")
