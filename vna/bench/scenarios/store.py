"""Storage over DIMSE: modalities that send, and the filling that other scenarios start from."""

from __future__ import annotations

import itertools
import random
import time
from typing import ClassVar

from vna.bench.association import open_to_store
from vna.bench.reactor import Lane
from vna.bench.stage import Scenario, Stage
from vna.bench.stock import RUNS, STUDIES
from vna.bench.tally import Tally
from vna.bench.templates import Template

__all__ = ["Fill", "Nagle", "Store"]

COPIES_BYTES = 8 << 20
"""A lane holds as many prebuilt messages as fit here, at least one."""


def new_place(stage: Stage, number: int, tally: Tally) -> tuple[int, int, int]:
    """Return run, study and instance of the next object of lane `number`: no two are the same.

    Lanes take studies in turn. The lane's turn goes on after an error, so nothing is sent again.
    """
    load = stage.load
    own, instance = divmod(tally.turn, load.instances)
    tally.turn += 1
    further, study = divmod(own * load.lanes + number, STUDIES)
    return (load.run + further) % RUNS, study, instance


def share(templates: list[Template], number: int) -> list[Template]:
    """Return the templates that lane `number` sends in turn, another first in each lane."""
    turned = templates[number % len(templates) :] + templates[: number % len(templates)]
    size = 0
    kept: list[Template] = []
    for template in turned:
        size += len(template.data)
        if kept and size > COPIES_BYTES and len({t.modality for t in templates}) == 1:
            break
        kept.append(template)
    return kept


class Store(Scenario):
    """Modalities that send all at once: every lane is an association that sends one C-STORE after
    the other, each instance new, `instances` to a study, and waits for each to be acknowledged.
    """

    name = "store"
    counts = "C-STORE"
    needs = frozenset({"dimse"})
    nodelay: ClassVar[bool] = True

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Send instances, study after study."""
        load = stage.load
        templates = share(stage.templates, number)
        association, messages = yield from open_to_store(
            stage.reactor, stage.target, templates, nodelay=self.nodelay and not load.nagle
        )
        piecewise = load.nagle or not self.nodelay
        draw = random.Random(number)
        try:
            yield from stage.gate()
            for count in itertools.count():
                if not stage.running:
                    break
                place = new_place(stage, number, tally)
                if place[2] == 0:
                    yield from self.pause(stage, draw)
                turn = count % len(messages)
                message = messages[turn]
                message.become(*place)
                began = time.perf_counter()
                yield from association.store(message, piecewise=piecewise)
                tally.done("C-STORE", began, len(templates[turn].data))
            yield from association.release()
        finally:
            association.close()


class Nagle(Store):
    """The same from senders as DCMTK builds them: Nagle's algorithm on, each PDU in two writes. A
    receiver that delays its acknowledgements stalls such a sender for 40 ms per instance.
    """

    name = "store-nagle"
    nodelay = False
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}


class Fill(Scenario):
    """Not a measurement of time but of work: stores the studies that other scenarios ask for, as
    many as `--studies` and `--instances` say, and ends when all are there.
    """

    name = "fill"
    counts = "C-STORE"
    needs = frozenset({"dimse"})

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Store every instance whose turn it is."""
        stock, lanes = stage.stock, stage.load.lanes
        association, messages = yield from open_to_store(
            stage.reactor, stage.target, stage.templates
        )
        try:
            yield from stage.gate()
            while (index := number + lanes * tally.turn) < stock.studies * stock.instances:
                study, instance = divmod(index, stock.instances)
                message = messages[instance % len(messages)]
                message.become(stock.run, study, instance)
                began = time.perf_counter()
                yield from association.store(message)
                tally.done("C-STORE", began, len(message.buffer))
                tally.turn += 1
            yield from association.release()
        finally:
            association.close()
