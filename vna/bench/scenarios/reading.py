"""People and their workstations: opening studies, an hour of a reading room, a morning."""

from __future__ import annotations

import itertools
import random
import time
from typing import ClassVar

from vna.bench.http import Client, request
from vna.bench.reactor import Lane
from vna.bench.scenarios.retrieve import Get
from vna.bench.scenarios.search import LEAST_MATCH, Find, patient
from vna.bench.scenarios.store import Store
from vna.bench.scenarios.wado import JSON, Asked, Study, metadata, one_frame
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally

__all__ = ["ReadingRoom", "Storm", "Viewer"]

AT_ONCE = 4
"""Connections over which a viewer loads frames, beside the one it asks on."""


class Viewer(Scenario):
    """A viewer opens studies: finds a patient (QIDO-RS), reads the study's metadata, shows the first
    frame, loads all frames over four connections, and goes on to the next study at once. A session
    is one study, from the search to the last frame.
    """

    name = "viewer"
    counts = "session"
    needs = frozenset({"web", "stock"})

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Open one study after the other."""
        draw = random.Random(number)
        clients = [Client(stage.reactor, stage.target) for _ in range(AT_ONCE)]
        for client in clients:
            yield from client.open()
        try:
            yield from stage.gate()
            while stage.running:
                yield from self.pause(stage, draw)
                yield from self._session(stage, draw, clients, tally)
        finally:
            for client in clients:
                client.close()

    def _session(
        self, stage: Stage, draw: random.Random, clients: list[Client], tally: Tally
    ) -> Lane:
        stock = stage.stock
        study = draw.randrange(stock.studies)
        frames = [one_frame(stage, study, n) for n in range(stock.instances)]
        opened = time.perf_counter()
        total = 0
        for name, asked in (
            ("search", Asked(request(stage.target, patient(stage, draw), JSON), LEAST_MATCH)),
            ("metadata", metadata(stage, study)),
            ("first frame", frames[0]),
        ):
            began = time.perf_counter()
            answer = yield from clients[0].ask(asked.head)
            asked.check(answer)
            tally.done(name, began, answer.size)
            total += answer.size
        tally.done("study open", opened, total)

        def load(lane: int) -> Lane:
            nonlocal total
            for asked in frames[1 + lane :: AT_ONCE]:
                began = time.perf_counter()
                answer = yield from clients[lane].ask(asked.head)
                asked.check(answer)
                tally.done("frame", began, answer.size)
                total += answer.size

        yield from stage.reactor.together([load(lane) for lane in range(AT_ONCE)])
        tally.done("session", opened, total)


class Reader(Viewer):
    """A viewer whose user looks at what was loaded."""

    thinks = True


class Modality(Store):
    """A modality that has one study after the other to send."""

    thinks = True


class Worklist(Find):
    """A list that someone refreshes."""

    thinks = True


class Workstation(Get):
    """A workstation that fetches a study when someone wants it."""

    thinks = True


class ReadingRoom(Scenario):
    """An hour of a reading room, shortened: of eight lanes five are readers who open studies, one a
    modality that sends studies, one a worklist that queries with C-FIND, and one a workstation that
    fetches whole studies with C-GET, all with pauses of `think_s` on average.
    """

    name = "reading-room"
    counts = "session"
    needs = frozenset({"dimse", "web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 16, "seconds": 60.0}
    parts: ClassVar[tuple[type[Scenario], ...]] = (
        Reader,
        Modality,
        Reader,
        Worklist,
        Reader,
        Workstation,
        Reader,
        Reader,
    )

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Play the part of this number."""
        yield from self.parts[number % len(self.parts)]().lane(stage, number, tally)


class Storm(Scenario):
    """The morning: workstations fetch the studies of the day all at once, half of them with C-GET
    and half with WADO-RS, whole studies each, while every eighth lane is a reader who opens studies
    and waits for them. The readers' sessions are the result.
    """

    name = "prefetch-storm"
    counts = "session"
    needs = frozenset({"dimse", "web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 16, "seconds": 20.0}

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Read or fetch, by number."""
        kinds = itertools.cycle((Study, Get))
        parts = [Viewer, *itertools.islice(kinds, 7)]
        yield from parts[number % len(parts)]().lane(stage, number, tally)
