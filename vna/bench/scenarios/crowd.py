"""Many peers at once: idle ones, slow ones, dead ones, and how the others fare."""

from __future__ import annotations

import time
from typing import ClassVar

from vna.bench.association import ECHO, Association, open_to_store
from vna.bench.connection import Failed
from vna.bench.http import Client, request
from vna.bench.reactor import Lane
from vna.bench.scenarios.store import Store, new_place
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally
from vna.bench.upper_layer import IMPLICIT_VR_LE

__all__ = ["Echo", "Hostile", "Idle"]

VERIFY = {1: (ECHO, (IMPLICIT_VR_LE,))}
PROBE = "/studies?limit=1"
EVERY_S = 0.01
TRICKLE_OCTETS = 1_024
TRICKLE_S = 0.02


class Echo(Scenario):
    """C-ECHO over and over: what an association costs when nothing else does."""

    name = "echo"
    counts = "C-ECHO"
    needs = frozenset({"dimse"})
    every_s: ClassVar[float] = 0.0

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:  # noqa: ARG002
        """Verify, again and again."""
        association = yield from Association.open(stage.reactor, stage.target, VERIFY)
        try:
            yield from stage.gate()
            due = time.perf_counter()
            while stage.running:
                began = now = time.perf_counter()
                if self.every_s:
                    # One that an answer before it kept waiting has waited since it was due.
                    if now < due:
                        yield due - now
                        began = time.perf_counter()
                    else:
                        began = due
                    due += self.every_s
                yield from association.echo(1)
                tally.done("C-ECHO", began)
            yield from association.release()
        finally:
            association.close()


class Patient(Echo):
    """One C-ECHO every hundredth of a second; those that a slow answer keeps waiting follow it at once."""

    every_s = EVERY_S


class Idle(Scenario):
    """A thousand idle associations and two thousand idle HTTP connections, held open while all lanes
    but the first send C-STOREs as fast as they can, and the first asks with C-ECHO a hundred times a
    second: how long that takes is the result. At the end each idle peer speaks, and one that was
    dropped counts as an error.
    """

    name = "idle"
    counts = "C-ECHO"
    needs = frozenset({"dimse"})
    defaults: ClassVar[dict[str, object]] = {
        "lanes": 17,
        "idle_associations": 1_000,
        "idle_connections": 2_000,
    }

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Hold a share of the idle ones, work beside them, then see whether they still live."""
        load = stage.load
        associations = len(range(number, load.idle_associations, load.lanes))
        connections = len(range(number, load.idle_connections, load.lanes))
        held: list[Association] = []
        clients: list[Client] = []
        try:
            while len(held) < associations:
                idle = yield from Association.open(stage.reactor, stage.target, VERIFY)
                held.append(idle)
            for _ in range(connections if stage.target.web_port else 0):
                client = Client(stage.reactor, stage.target)
                yield from client.open()
                clients.append(client)
            work = Patient() if number == 0 else Store()
            yield from work.lane(stage, number, tally)
            yield from _awake(stage, held, clients, tally)
        finally:
            for association in held:
                association.close()
            for client in clients:
                client.close()


def _awake(
    stage: Stage, associations: list[Association], clients: list[Client], tally: Tally
) -> Lane:
    """Use each idle peer once; one that was dropped is an error."""
    for association in associations:
        began = time.perf_counter()
        try:
            yield from association.echo(1)
            tally.done("idle association", began)
        except (OSError, Failed) as error:
            tally.failed(Failed(f"an idle association was dropped: {error}"))
    head = request(stage.target, PROBE, {"Accept": "application/dicom+json"})
    for client in clients:
        began = time.perf_counter()
        try:
            yield from client.ask(head)
            tally.done("idle connection", began)
        except (OSError, Failed) as error:
            tally.failed(Failed(f"an idle connection was dropped: {error}"))


class Hostile(Scenario):
    """Slow and dead clients among fast ones: of four lanes two send C-STOREs at full speed, one
    sends an object a kilobyte at a time, and one stops amid an object without a word. The fast ones
    are the result.
    """

    name = "hostile"
    counts = "C-STORE"
    needs = frozenset({"dimse"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 16}

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Be fast, slow or dead, by number."""
        if number % 4 < 2:
            yield from Store().lane(stage, number, tally)
        else:
            yield from self._bad(stage, number, tally, dies=number % 4 == 3)

    @staticmethod
    def _bad(stage: Stage, number: int, tally: Tally, *, dies: bool) -> Lane:
        """Send slowly, or half an object and then nothing; leave with a reset."""
        templates = stage.templates[:1]
        association, messages = yield from open_to_store(stage.reactor, stage.target, templates)
        connection, (message,) = association.connection, messages
        try:
            yield from stage.gate()
            began = time.perf_counter()
            while True:
                message.become(*new_place(stage, number, tally))
                with memoryview(message.buffer) as view:
                    for at in range(0, len(view), TRICKLE_OCTETS):
                        if not stage.running:
                            return
                        if dies and at >= len(view) // 2:
                            yield max(0.0, stage.load.seconds - (time.perf_counter() - began))
                            return
                        yield from connection.send(view[at : at + TRICKLE_OCTETS])
                        if not dies:
                            yield TRICKLE_S
                yield from association.acknowledged()
                tally.done("slow C-STORE", began, len(message.buffer))
        finally:
            connection.abort()
