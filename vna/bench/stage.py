"""Where the lanes of one process meet: the target, the load, the signal to begin, the tallies."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import ClassVar

import msgspec

from vna.bench.connection import Failed
from vna.bench.reactor import Lane, Reactor, Wait
from vna.bench.stock import Stock
from vna.bench.tally import Tally
from vna.bench.target import Target
from vna.bench.templates import Template

__all__ = ["Load", "Scenario", "Stage"]

GATE_S = 0.002
AFTER_ERROR_S = 0.05


class Load(msgspec.Struct, frozen=True):
    """How hard to try: `lanes` at once (associations, connections) for `seconds`.

    `mix` is what is sent, in `instances` to a study; `run` numbers the objects of this run;
    `batch` is the instances in one STOW-RS request; `think_s` the mean pause of a person;
    `idle_associations` and `idle_connections` are held open beside the lanes; `nagle` sends as a
    stock DCMTK sender does; `silence_s` is how long a peer may say nothing.
    """

    lanes: int = 4
    seconds: float = 5.0
    run: int = 0
    mix: str = "CT"
    instances: int = 100
    batch: int = 10
    think_s: float = 1.0
    idle_associations: int = 0
    idle_connections: int = 0
    nagle: bool = False
    silence_s: float = 60.0


class Stage:
    """What a lane sees of its process; `first` is the number of the process's first lane."""

    def __init__(
        self,
        target: Target,
        load: Load,
        stock: Stock,
        templates: list[Template],
        lanes: range,
    ) -> None:
        self.target = target
        self.load = load
        self.stock = stock
        self.templates = templates
        self.lanes = lanes
        self.reactor = Reactor(load.silence_s)
        self.tallies: list[Tally] = []
        self.arrived = 0
        self.start = 0.0
        self._until = 0.0

    def begin(self) -> None:
        """Open the gate, now."""
        self.start = time.perf_counter()
        self._until = self.start + self.load.seconds

    @property
    def running(self) -> bool:
        """Whether there is time left."""
        return time.perf_counter() < self._until

    def template(self, instance: int) -> Template:
        """Return what instance number `instance` of a study of the stock was made of."""
        return self.templates[instance % len(self.templates)]

    def tally(self) -> Tally:
        """Return a new tally that is part of the result."""
        self.tallies.append(Tally())
        return self.tallies[-1]

    def gate(self) -> Generator[Wait, None, None]:
        """Wait until all lanes are ready and the measurement begins."""
        self.arrived += 1
        while not self.start:
            yield GATE_S

    def run_lane(self, lane: Callable[[Tally], Lane]) -> Lane:
        """Run a lane to its end; after an error, which is counted, it starts again.

        What fails before the gate ends the run: there is nothing to measure.
        """
        tally = self.tally()
        while True:
            try:
                yield from lane(tally)
            except (OSError, Failed) as error:
                if not self.start:
                    raise
                tally.failed(error)
                if not self.running:
                    return
                yield AFTER_ERROR_S
            else:
                return


class Scenario(ABC):
    """One kind of load. `docs` is the paragraph that `vna bench list` prints: the docstring.

    `counts` names the operation whose rate is the scenario's result.
    """

    name: ClassVar[str]
    counts: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Of "dimse", "web", "sink" and "stock", what the target must offer."""
    one_process: ClassVar[bool] = False
    """All lanes in one worker: what is in the background there serves all of them."""
    defaults: ClassVar[dict[str, object]] = {}
    """Fields of Load that differ from its own defaults."""
    stock: ClassVar[dict[str, object]] = {}
    """Fields of Stock that differ from its own defaults."""
    thinks: ClassVar[bool] = False
    """Whether there are pauses of `think_s` on average between what a lane does."""

    @abstractmethod
    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Be lane `number`: get ready, pass the gate, then work while the stage is running."""

    def pause(self, stage: Stage, draw: random.Random) -> Generator[Wait, None, None]:
        """Let a person think, who never takes more than four times the mean."""
        if self.thinks:
            yield min(draw.expovariate(1 / stage.load.think_s), 4 * stage.load.think_s)

    def background(self, stage: Stage) -> list[Lane]:  # noqa: ARG002
        """Return lanes that serve the others and are not waited for."""
        return []
