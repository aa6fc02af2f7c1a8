"""Storage over DICOMweb."""

from __future__ import annotations

import json
import time
from typing import ClassVar

from vna.bench.connection import Bytes, Failed
from vna.bench.http import Client, request
from vna.bench.reactor import Lane
from vna.bench.scenarios.store import new_place, share
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally
from vna.bench.templates import BOUNDARY, multipart

__all__ = ["FillWeb", "Stow"]

MEDIA = f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'


def head(stage: Stage, size: int) -> bytes:
    """Return the head of a STOW-RS request whose body has `size` octets."""
    headers = {
        "Content-Type": MEDIA,
        "Content-Length": str(size),
        "Accept": "application/dicom+json",
    }
    return request(stage.target, "/studies", headers, "POST")


def all_taken(body: Bytes, sent: int) -> None:
    """Raise Failed unless a Store Instances Response names all instances as stored (PS3.18 10.5.3).

    A server that refuses some of them answers 202 or 200, too.
    """
    try:
        found = json.loads(bytes(body))
        taken = len(found["00081199"].get("Value", ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        taken = 0
    if taken < sent:
        raise Failed(f"{taken} of {sent} instances stored, by the answer to STOW-RS")


class Stow(Scenario):
    """STOW-RS: every lane is a connection that posts `batch` new instances in one request, waits
    for the answer, and posts the next. One instance is the unit of the rate.
    """

    name = "stow"
    counts = "instance"
    needs = frozenset({"web"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 4, "batch": 10}

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Post requests of `batch` instances."""
        load = stage.load
        templates = share(stage.templates, number)
        parts, end = multipart([templates[n % len(templates)] for n in range(load.batch)])
        size = sum(len(part.buffer) for part in parts) + len(end)
        body: list[Bytes] = [head(stage, size), *(part.buffer for part in parts), end]
        client = Client(stage.reactor, stage.target)
        yield from client.open()
        try:
            yield from stage.gate()
            while stage.running:
                for part in parts:
                    part.become(*new_place(stage, number, tally))
                began = time.perf_counter()
                answer = yield from client.send(body, keep=True)
                all_taken(answer.body, len(parts))
                tally.done("request", began, size)
                tally.done("instance", began, size, len(parts))
        finally:
            client.close()


class FillWeb(Scenario):
    """Stores the studies that other scenarios ask for, with STOW-RS, where there is no DIMSE."""

    name = "fill-web"
    counts = "instance"
    needs = frozenset({"web"})

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Store every instance whose turn it is, one to a request."""
        stock, lanes = stage.stock, stage.load.lanes
        parts, end = multipart(stage.templates)
        client = Client(stage.reactor, stage.target)
        yield from client.open()
        try:
            yield from stage.gate()
            while (index := number + lanes * tally.turn) < stock.studies * stock.instances:
                study, instance = divmod(index, stock.instances)
                part = parts[instance % len(parts)]
                part.become(stock.run, study, instance)
                began = time.perf_counter()
                size = len(part.buffer) + len(end)
                answer = yield from client.send([head(stage, size), part.buffer, end], keep=True)
                all_taken(answer.body, 1)
                tally.done("instance", began, size)
                tally.turn += 1
        finally:
            client.close()
