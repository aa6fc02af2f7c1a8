"""A tier that is away is left alone, and looked for again."""

from contextlib import suppress

import pytest

from vna.clock import SystemClock
from vna.storage import BreakerTier, DirectoryTier, WrappedTier
from vna.storage.faults import TierAway

PACK = 1 << 56 | 1 << 32 | 1


class StandingClock(SystemClock):
    """A clock whose seconds a test counts."""

    now = 100.0

    def monotonic(self):
        return self.now


class FailingTier(WrappedTier):
    """Fails as long as `error` is set; `asked` counts what came through."""

    error = None
    asked = 0

    def list(self):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.inner.list()


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def inner(tmp_path):
    return FailingTier(DirectoryTier(tmp_path / "tier"))


@pytest.fixture
def tier(inner, clock):
    return BreakerTier(inner, "cold", clock)


def ask(tier):
    with suppress(TierAway):
        tier.list()


def test_after_a_time_out_nobody_else_waits(tier, inner):
    inner.error = TimeoutError("no answer in time")
    for _ in range(5):
        with pytest.raises(TierAway, match=r"^tier cold is away: no answer in time$"):
            tier.list()
    with pytest.raises(TierAway):
        tier.open(PACK)
    assert inner.asked == 1
    assert tier.away == "no answer in time"


def test_failures_that_come_one_after_the_other(tier, inner):
    inner.error = ConnectionError("reset")
    for _ in range(2):
        ask(tier)
    inner.error = None
    tier.list()  # an answer between: it is not away
    inner.error = ConnectionError("reset")
    for _ in range(10):
        ask(tier)
    assert inner.asked == 3 + 3


def test_it_is_looked_for_after_growing_pauses_and_found(tier, inner, clock):
    inner.error = TimeoutError("no answer in time")
    asked_at = []
    for _ in range(120):
        before = inner.asked
        ask(tier)
        if inner.asked > before:
            asked_at.append(clock.now - 100)
        clock.now += 0.5
    assert asked_at == [0, 1, 3, 7, 15, 30, 45]
    inner.error = None
    clock.now += 15
    assert tier.list() == []
    assert tier.away == ""
    tier.put(PACK, [b"abc"])
    assert tier.open(PACK).read(0, 3) == b"abc"


def test_who_looks_for_it_needs_no_reader(tier, inner, clock):
    inner.error = TimeoutError("no answer in time")
    ask(tier)
    inner.error = None
    tier.probe()
    assert tier.away, "it is not time yet"
    clock.now += 1
    tier.probe()
    assert tier.away == ""


def test_other_errors_are_answers(tier, inner):
    inner.error = PermissionError(13, "refused")
    for _ in range(5):
        with pytest.raises(PermissionError):
            tier.list()
    with pytest.raises(FileNotFoundError):
        tier.open(PACK)
    assert tier.away == ""


def test_a_probe_that_is_left_amid_it_keeps_nobody_waiting(tier, inner, clock):
    tier.put(PACK, [bytes(9 << 20)])
    reader = tier.open(PACK)
    inner.error = TimeoutError("no answer in time")
    ask(tier)
    inner.error = None
    clock.now += 1
    pieces = reader.stream(0, 9 << 20)
    assert next(pieces)
    with pytest.raises(TierAway):
        tier.list()
    pieces.close()
    assert tier.list() == [(PACK, 9 << 20)]
    assert tier.away == ""
