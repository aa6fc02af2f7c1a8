"""Retrieving over DIMSE: C-MOVE to the bench's own sink, and C-GET."""

from __future__ import annotations

import itertools
import random
import time
from typing import ClassVar

from vna.bench import upper_layer as ul
from vna.bench.association import GET, MOVE, Association, whole_study
from vna.bench.connection import Failed
from vna.bench.reactor import Lane
from vna.bench.sink import sink
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally

__all__ = ["Get", "Move", "open_to_get"]


def open_to_get(stage: Stage) -> Lane:
    """Return an association with context 1 for C-GET and others for what is stored."""
    kinds = dict.fromkeys((t.sop_class, t.transfer_syntax) for t in stage.templates)
    contexts: dict[int, tuple[str, tuple[str, ...]]] = {1: (GET, (ul.IMPLICIT_VR_LE,))}
    for number, (sop_class, syntax) in enumerate(kinds, 1):
        contexts[2 * number + 1] = (sop_class, (syntax,))
    scp_of = [sop_class for sop_class, _ in kinds]
    found = yield from Association.open(stage.reactor, stage.target, contexts, scp_of=scp_of)
    if 1 not in found.contexts:
        found.close()
        raise Failed(f"{stage.target.ae_title} does not accept C-GET")
    return found


class Move(Scenario):
    """C-MOVE of whole studies to the bench's own sink, which takes every object and keeps none, so
    that the sink is not the limit. One instance is the unit of the rate; `received` counts the sink's.
    """

    name = "move"
    counts = "instance"
    needs = frozenset({"dimse", "stock", "sink"})
    one_process = True
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    stock: ClassVar[dict[str, object]] = {"studies": 1, "instances": 500}

    def __init__(self) -> None:
        self._came = self._octets = 0

    def background(self, stage: Stage) -> list[Lane]:
        """Listen."""
        done = stage.tally().done

        def took(began: float, octets: int) -> None:
            self._came += 1
            self._octets += octets
            done("received", began, octets)

        return [sink(stage.reactor, stage.target.sink_port, took)]

    def _claimed(self, moved: int) -> int:
        """Take what a C-MOVE says to have moved from what came, for any lane; return its octets."""
        if self._came < moved:
            raise Failed(f"C-MOVE moved {moved} instances, and {self._came} came")
        self._came -= moved
        octets, self._octets = self._octets, 0
        return octets

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Move one study after the other."""
        stock, target = stage.stock, stage.target
        contexts = {1: (MOVE, (ul.IMPLICIT_VR_LE,))}
        association = yield from Association.open(stage.reactor, target, contexts)
        try:
            yield from stage.gate()
            for count in itertools.count(number):
                if not stage.running:
                    break
                began = time.perf_counter()
                asked = whole_study(stock, count % stock.studies)
                moved, _, _ = yield from association.move(1, asked, target.sink)
                if moved != stock.instances:
                    raise Failed(f"C-MOVE moved {moved} instances of {stock.instances}")
                octets = self._claimed(moved)
                tally.done("C-MOVE", began)
                tally.done("instance", began, octets, moved)
            yield from association.release()
        finally:
            association.close()


class Get(Scenario):
    """C-GET of whole studies: every lane is an association on which a study comes, instance after
    instance, each acknowledged. One instance is the unit of the rate.
    """

    name = "get"
    counts = "instance"
    needs = frozenset({"dimse", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    stock: ClassVar[dict[str, object]] = {"studies": 1, "instances": 500}

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Get one study after the other."""
        stock = stage.stock
        association: Association = yield from open_to_get(stage)
        draw = random.Random(number)
        try:
            yield from stage.gate()
            for count in itertools.count(number):
                if not stage.running:
                    break
                yield from self.pause(stage, draw)
                began = time.perf_counter()
                got, octets, _ = yield from association.get(
                    1, whole_study(stock, count % stock.studies)
                )
                if got != stock.instances:
                    raise Failed(f"C-GET brought {got} instances of {stock.instances}")
                tally.done("C-GET", began)
                tally.done("instance", began, octets, got)
            yield from association.release()
        finally:
            association.close()
