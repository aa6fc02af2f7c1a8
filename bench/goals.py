"""What the archive is to reach beside its peers, checked against one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plan import CACHED, TIERING, many

from vna.bench import Figures, Goal, Sample, figures

US, PEER = "vna", "orthanc"
Table = dict[tuple[str, str], Figures]


class Ratios:
    """Looks ratios up; what was not measured makes a goal unknown, not missed."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def rate(self, label: str, other: str = PEER, us: str = US) -> float | None:
        """Return our rate over the other's."""
        return self._of(label, other, us, lambda found: found.per_s)

    def cpu(self, label: str, other: str = PEER, us: str = US) -> float | None:
        """Return our processor time per operation over the other's."""
        return self._of(label, other, us, lambda found: found.cpu_ms)

    def faster(self, label: str, other: str = PEER) -> float | None:
        """Return the other's median time over ours."""
        found = self._of(label, other, US, lambda found: found.p50_ms)
        return 1 / found if found else None

    def between(self, label: str, base: str, value: Callable[[Figures], float]) -> float | None:
        """Return a value of ours at one step over that at another."""
        mine, other = self._table.get((label, US)), self._table.get((base, US))
        return value(mine) / value(other) if mine and other else None

    def ours(self, label: str) -> Figures | None:
        """Return our own figures."""
        return self._table.get((label, US))

    def _of(
        self, label: str, other: str, us: str, value: Callable[[Figures], float]
    ) -> float | None:
        mine, theirs = self._table.get((label, us)), self._table.get((label, other))
        if not (mine and theirs and value(mine) > 0 and value(theirs) > 0):
            return None
        return value(mine) / value(theirs)


def goals(samples: list[Sample]) -> list[Goal]:
    """Return every goal with what this run showed."""
    ratios = Ratios(figures(samples))
    return [
        *_stores(ratios),
        *_reads(ratios),
        *_storing(ratios, CACHED, ", through the page cache"),
        *_tiering(ratios),
        *_searches(ratios),
        *_crowds(ratios),
    ]


def _at_least(text: str, value: float | None, limit: float) -> Goal:
    return _goal(text, value, f"at least {limit:g} x", value is not None and value >= limit)


def _at_most(text: str, value: float | None, limit: float) -> Goal:
    return _goal(text, value, f"at most {limit:.2g} x", value is not None and value <= limit)


def _goal(text: str, value: float | None, limit: str, met: bool) -> Goal:
    if value is None:
        return _unknown(text, limit)
    return Goal(text, limit, f"{value:.2f} x", met)


def _stores(r: Ratios) -> Iterator[Goal]:
    yield from _storing(r)
    one, nagle = "C-STORE CT, 1 association", "C-STORE CT, stock sender (Nagle)"
    own = r.between(nagle, one, lambda found: found.per_s)
    yield _at_least("stock sender: rate against our own with TCP_NODELAY", own, 0.9)
    yield _at_least("stock sender: rate against Orthanc with TCP_NODELAY=1", r.rate(nagle), 4)
    yield _at_least(
        "stock sender: rate against Orthanc without", r.rate(nagle, "orthanc-stock"), 15
    )


def _storing(r: Ratios, us: str = US, how: str = "") -> Iterator[Goal]:
    """The goals of one of our servers, which is `how` it stores."""
    for lanes in (4, 8):
        label = f"C-STORE CT, {lanes} associations"
        yield _at_least(f"{label}{how}: rate against Orthanc", r.rate(label, us=us), 4)
        yield _at_most(f"{label}{how}: CPU against storescp", r.cpu(label, "storescp", us), 1)
    one = "C-STORE CT, 1 association"
    yield _at_least(f"{one}{how}: rate against the floor", r.rate(one, "floor", us), 0.7)
    for batch in (1, 10, 20):
        label = f"STOW-RS, 4 connections, {many(batch, 'instance')} a request"
        yield _at_least(f"{label}{how}: rate against Orthanc", r.rate(label, us=us), 5)


def _reads(r: Ratios) -> Iterator[Goal]:
    frame = "WADO-RS frame, 8 connections"
    yield _at_least(f"{frame}: rate against Orthanc", r.rate(frame), 10)
    yield _at_least(
        f"{frame}: one worker's rate against nginx's", r.rate(frame, "nginx", "vna-1"), 0.5
    )
    study = "WADO-RS study of 500 instances"
    yield _at_least(f"{study}: rate against Orthanc", r.rate(study), 2)
    yield _at_least(f"{study}: rate against nginx", r.rate(study, "nginx", "vna-1"), 0.5)
    for heat, limit in (("warm", 50), ("cold", 10)):
        label = f"metadata of 500 instances, {heat}"
        yield _at_least(f"{label}: times faster than Orthanc", r.faster(label), limit)
    for verb in ("C-MOVE", "C-GET"):
        label = f"{verb} of 500 instances"
        yield _at_least(f"{label}, the bench's sink: rate against Orthanc", r.rate(label), 3)
        yield _at_most(f"{label}: CPU against Orthanc", r.cpu(label), 1 / 3)
        tool = f"{label} with {verb.removeprefix('C-').lower()}scu"
        yield _at_least(f"{tool}: rate against Orthanc", r.rate(tool), 1.5)
    far = r.between(
        "frames 50,000 to 50,100 of 60,000", "frames 1 to 100 of 60,000", lambda f: f.p50_ms
    )
    yield _at_most("frame 50,000 of 60,000: time against frame 1", far, 1.5)


def _tiering(r: Ratios) -> Iterator[Goal]:
    """The goals of storing and reading, while objects move to another tier in the background."""
    for label, limit in (
        ("C-STORE CT, 4 associations", 4),
        ("C-STORE CT, 8 associations", 4),
        ("WADO-RS frame, 8 connections", 10),
        ("WADO-RS study of 500 instances", 2),
    ):
        text = f"{label}, with tiering in the background: rate against Orthanc"
        yield _at_least(text, r.rate(label, us=TIERING), limit)
    one = "C-STORE CT, 1 association"
    text = f"{one}, with tiering in the background: rate against the floor"
    yield _at_least(text, r.rate(one, "floor", TIERING), 0.7)


def _searches(r: Ratios) -> Iterator[Goal]:
    for name in ("patient", "date", "name"):
        label = f"QIDO-RS by {name}"
        yield _at_least(f"{label}: rate against Orthanc", r.rate(label), 10)


def _crowds(r: Ratios) -> Iterator[Goal]:
    crowd = r.ours("1,000 idle associations, 2,000 idle connections")
    text = "of 1,000 idle associations and 2,000 connections dropped"
    if crowd:
        yield Goal(text, "0", str(crowd.errors), not crowd.errors)
    else:
        yield _unknown(text, "0")
    text, limit = "C-ECHO p99 while 16 senders saturate", "under 50 ms"
    if crowd:
        yield Goal(text, limit, f"{crowd.p99_ms:.1f} ms", crowd.p99_ms < 50)
    else:
        yield _unknown(text, limit)
    alone = r.ours("1,000 idle associations")
    text, limit = "resident memory per idle association", "under 64 kB"
    if alone and alone.idle_kb is not None:
        yield Goal(text, limit, f"{alone.idle_kb:.0f} kB", alone.idle_kb < 64)
    else:
        yield _unknown(text, limit)


def _unknown(text: str, limit: str) -> Goal:
    return Goal(text, limit, "not measured", None)
