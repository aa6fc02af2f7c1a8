"""Retrieving over DICOMweb: frames, instances, studies, metadata."""

from __future__ import annotations

import random
import re
import time
from abc import abstractmethod
from typing import ClassVar, NamedTuple

from vna.bench.connection import Failed
from vna.bench.http import Answer, Client, request
from vna.bench.reactor import Lane
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally

__all__ = [
    "DICOM",
    "JSON",
    "OCTETS",
    "Asked",
    "FarFrame",
    "Frame",
    "Instance",
    "MetadataCold",
    "MetadataWarm",
    "NearFrame",
    "Study",
    "metadata",
    "one_frame",
]

OCTETS = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON = {"Accept": "application/dicom+json"}
PREPARED = 512
SOP_CLASS = re.compile(rb'"00080016"')


SMALLER = 4
"""A server may keep objects compressed, without loss: in less than a quarter something is missing."""
LEAST_FRAME, LEAST_METADATA = 256, 128
"""Octets of an answer with a frame of any kind, and of one instance's metadata."""


class Asked(NamedTuple):
    """A request, and how many octets its answer has at the least."""

    head: bytes
    least_octets: int

    def check(self, answer: Answer) -> None:
        """Raise Failed when the answer is too short to be what was asked for."""
        if answer.size < self.least_octets:
            raise Failed(
                f"an answer of {answer.size} octets where at least {self.least_octets} are due"
            )


class Retrieve(Scenario):
    """Requests prepared before the start, asked in turn; no answer may be shorter than it can be."""

    needs = frozenset({"web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 8}

    @abstractmethod
    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:
        """Return the requests of a lane."""

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask in turn."""
        asked = self.requests(stage, random.Random(number))
        client = Client(stage.reactor, stage.target)
        yield from client.open()
        count = 0
        try:
            yield from stage.gate()
            while stage.running:
                turn = asked[count % len(asked)]
                began = time.perf_counter()
                answer = yield from client.ask(turn.head)
                turn.check(answer)
                tally.done(self.counts, began, answer.size)
                count += 1
        finally:
            client.close()


def one_frame(stage: Stage, study: int, instance: int, frame: int = 1) -> Asked:
    """Return a request for a frame of an instance of the stock."""
    path = f"{stage.stock.path(study, instance)}/frames/{frame}"
    least = max(stage.template(instance).frame_octets // SMALLER, LEAST_FRAME)
    return Asked(request(stage.target, path, OCTETS), least)


def metadata(stage: Stage, study: int) -> Asked:
    """Return a request for the metadata of a study of the stock."""
    path = f"{stage.stock.path(study)}/metadata"
    return Asked(request(stage.target, path, JSON), stage.stock.instances * LEAST_METADATA)


def described(answer: Answer, instances: int) -> None:
    """Raise Failed unless the metadata are of so many instances; of each they have the SOP class."""
    found = sum(1 for _ in SOP_CLASS.finditer(answer.body))
    if found < instances:
        raise Failed(f"metadata of {found} instances of {instances}")


def drawn(stage: Stage, draw: random.Random) -> list[tuple[int, int]]:
    """Return studies and instances drawn from the whole stock."""
    stock = stage.stock
    return [
        (draw.randrange(stock.studies), draw.randrange(stock.instances)) for _ in range(PREPARED)
    ]


class Frame(Retrieve):
    """WADO-RS of one frame: every lane is a connection that asks for the only frame of one CT image
    after the other, anywhere in the stock.
    """

    name = "frame"
    counts = "frame"

    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:
        """Frame 1 of any instance."""
        return [one_frame(stage, *place) for place in drawn(stage, draw)]


class Instance(Retrieve):
    """WADO-RS of one instance as a DICOM file, anywhere in the stock."""

    name = "instance"
    counts = "instance"

    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:
        """Any instance."""
        return [
            Asked(
                request(stage.target, stage.stock.path(study, instance), DICOM),
                len(stage.template(instance).data) // SMALLER,
            )
            for study, instance in drawn(stage, draw)
        ]


class Study(Retrieve):
    """WADO-RS of whole studies: every lane asks for one study after the other, all instances as
    DICOM files in one answer.
    """

    name = "study"
    counts = "study"
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}

    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:
        """Every study, in an order of the lane's own."""
        numbers = list(range(stage.stock.studies))
        draw.shuffle(numbers)
        stored = sum(len(stage.template(n).data) for n in range(stage.stock.instances))
        return [
            Asked(request(stage.target, stage.stock.path(n), DICOM), stored // SMALLER)
            for n in numbers
        ]


class MetadataWarm(Retrieve):
    """WADO-RS metadata of a study that has been asked for before, over and over."""

    name = "metadata-warm"
    counts = "metadata"
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    stock: ClassVar[dict[str, object]] = {"studies": 1, "instances": 500}

    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:  # noqa: ARG002
        """The first study."""
        return [metadata(stage, 0)]

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask once before the measurement, and look at that answer."""
        client = Client(stage.reactor, stage.target)
        answer = yield from client.ask(metadata(stage, 0).head, keep=True)
        client.close()
        described(answer, stage.stock.instances)
        yield from super().lane(stage, number, tally)


class MetadataCold(Scenario):
    """WADO-RS metadata of studies that nobody has asked for yet: each study of the stock once."""

    name = "metadata-cold"
    counts = "metadata"
    needs = frozenset({"web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    stock: ClassVar[dict[str, object]] = {"studies": 3, "instances": 500}

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask for every study whose turn it is."""
        client = Client(stage.reactor, stage.target)
        yield from client.open()
        try:
            yield from stage.gate()
            while (study := number + stage.load.lanes * tally.turn) < stage.stock.studies:
                tally.turn += 1  # an error leaves it out: asked again, it would not be cold
                asked = metadata(stage, study)
                began = time.perf_counter()
                answer = yield from client.ask(asked.head, keep=True)
                described(answer, stage.stock.instances)
                tally.done("metadata", began, answer.size)
        finally:
            client.close()


class FarFrame(Retrieve):
    """WADO-RS of frame 50,000 and its neighbours of an instance with 60,000 frames."""

    name = "frame-far"
    counts = "frame"
    first: ClassVar[int] = 50_000
    defaults: ClassVar[dict[str, object]] = {"lanes": 1, "mix": "FAR"}
    stock: ClassVar[dict[str, object]] = {"modality": "FAR", "studies": 1, "instances": 1}

    def requests(self, stage: Stage, draw: random.Random) -> list[Asked]:
        """A hundred frames from `first` on."""
        numbers = [self.first + draw.randrange(100) for _ in range(PREPARED)]
        return [one_frame(stage, 0, 0, n) for n in numbers]


class NearFrame(FarFrame):
    """WADO-RS of the first hundred frames of the same instance, to compare with."""

    name = "frame-near"
    first = 1
