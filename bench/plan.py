"""What `make bench` runs on each server, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vna.bench import SCENARIOS, Stock

STOCK = Stock(run=1, modality="CT", studies=3, instances=500)
FAR = Stock(run=2, modality="FAR", studies=1, instances=1)

EVERYTHING = ("vna", "orthanc")
CACHED, TIERING = "vna-cached", "vna-tiering"
ARCHIVES = (*EVERYTHING, CACHED)
RECEIVERS = (*ARCHIVES, "storescp", "pynetdicom", "dcmqrscp", "floor")
WEB = (*ARCHIVES, "nginx", "vna-1")
RETRIEVERS = (*ARCHIVES, "dcmqrscp")


@dataclass(frozen=True)
class Step:
    """One scenario with one load; `label` is its name in results, `times` the share of a turn."""

    label: str
    scenario: str
    servers: tuple[str, ...] = EVERYTHING
    load: dict[str, object] = field(default_factory=dict)
    stock: Stock = STOCK
    times: float = 1.0
    dcmtk: bool = False
    """Retrieve once, with DCMTK's program as the receiver."""

    @property
    def counts(self) -> str:
        return SCENARIOS[self.scenario].counts


def many(count: int, what: str) -> str:
    """Return a number of things: `1 association`, `4 associations`."""
    return f"{count} {what}{'s' * (count > 1)}"


def _steps() -> Iterator[Step]:
    """Yield the steps: what needs a fresh process or cold caches first, what fills the disk last."""
    alone = {"lanes": 1, "idle_associations": 1_000, "idle_connections": 0}
    yield Step("1,000 idle associations", "idle", ("vna",), alone)
    yield Step("metadata of 500 instances, cold", "metadata-cold")
    yield Step("metadata of 500 instances, warm", "metadata-warm", load={"lanes": 1})
    yield Step("WADO-RS study of 500 instances", "study", (*WEB, TIERING), {"lanes": 1})
    yield Step("C-GET of 500 instances", "get", RETRIEVERS, {"lanes": 1})
    yield Step("C-MOVE of 500 instances", "move", RETRIEVERS, {"lanes": 1})
    yield Step("C-GET of 500 instances with getscu", "get", dcmtk=True)
    yield Step("C-MOVE of 500 instances with movescu", "move", dcmtk=True)
    for lanes in (1, 8, 32):
        servers = (*WEB, TIERING) if lanes == 8 else WEB
        yield Step(
            f"WADO-RS frame, {many(lanes, 'connection')}", "frame", servers, {"lanes": lanes}
        )
    yield Step("WADO-RS instance, 8 connections", "instance", WEB, {"lanes": 8})
    for name in ("patient", "date", "name", "pages"):
        yield Step(f"QIDO-RS by {name}", f"qido-{name}", load={"lanes": 8})
    yield Step("C-FIND, 4 associations", "find", (*EVERYTHING, "dcmqrscp"), {"lanes": 4})
    yield Step("viewer sessions, 2 readers", "viewer", load={"lanes": 2})
    for lanes in (1, 4, 8, 16, 64):
        servers = (*RECEIVERS, TIERING) if lanes in {1, 4, 8} else ARCHIVES
        yield Step(f"C-STORE CT, {many(lanes, 'association')}", "store", servers, {"lanes": lanes})
    for mix in ("MR", "DX", "US", "WSI", "MIX"):
        servers = ("vna", "orthanc", "storescp")
        yield Step(f"C-STORE {mix}, 4 associations", "store", servers, {"lanes": 4, "mix": mix})
    stock_sender = (*ARCHIVES, "orthanc-stock", "storescp")
    yield Step("C-STORE CT, stock sender (Nagle)", "store-nagle", stock_sender, {"lanes": 1})
    for lanes, batch in ((1, 10), (4, 1), (4, 10), (4, 20)):
        label = f"STOW-RS, {many(lanes, 'connection')}, {many(batch, 'instance')} a request"
        yield Step(label, "stow", ARCHIVES, load={"lanes": lanes, "batch": batch})
    yield Step("frames 1 to 100 of 60,000", "frame-near", stock=FAR, load={"mix": "FAR"})
    yield Step("frames 50,000 to 50,100 of 60,000", "frame-far", stock=FAR, load={"mix": "FAR"})
    yield Step("prefetch storm", "prefetch-storm", load={"lanes": 8}, times=2)
    yield Step("reading room", "reading-room", load={"lanes": 8, "think_s": 0.2}, times=2)
    yield Step("slow and dead clients among fast ones", "hostile", ("vna",), {"lanes": 16})
    idle = {"lanes": 17, "idle_associations": 1_000, "idle_connections": 2_000}
    yield Step("1,000 idle associations, 2,000 idle connections", "idle", ("vna",), idle)


STEPS = tuple(_steps())
