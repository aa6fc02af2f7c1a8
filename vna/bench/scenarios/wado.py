"""Retrieving over DICOMweb: frames, instances, studies, metadata."""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from typing import ClassVar

from vna.bench.connection import Failed
from vna.bench.http import Client, request
from vna.bench.reactor import Lane
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally

__all__ = [
    "DICOM",
    "JSON",
    "OCTETS",
    "FarFrame",
    "Frame",
    "Instance",
    "MetadataCold",
    "MetadataWarm",
    "NearFrame",
    "Study",
]

OCTETS = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
DICOM = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
JSON = {"Accept": "application/dicom+json"}
PREPARED = 512


class Retrieve(Scenario):
    """Requests prepared before the start, asked in turn; every answer must have a body."""

    needs = frozenset({"web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 8}
    least_octets: ClassVar[int] = 1

    @abstractmethod
    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:
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
                began = time.perf_counter()
                answer = yield from client.ask(asked[count % len(asked)])
                if answer.size < self.least_octets:
                    raise Failed(f"an answer of {answer.size} octets")
                tally.done(self.counts, began, answer.size)
                count += 1
        finally:
            client.close()


def instances(stage: Stage, draw: random.Random, tail: str, accept: dict[str, str]) -> list[bytes]:
    """Return requests for something of instances drawn from the whole stock."""
    stock = stage.stock
    drawn = [
        stock.path(draw.randrange(stock.studies), draw.randrange(stock.instances))
        for _ in range(PREPARED)
    ]
    return [request(stage.target, path + tail, accept) for path in drawn]


class Frame(Retrieve):
    """WADO-RS of one frame: every lane is a connection that asks for the only frame of one CT image
    after the other, anywhere in the stock.
    """

    name = "frame"
    counts = "frame"
    least_octets = 256

    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:
        """Frame 1 of any instance."""
        return instances(stage, draw, "/frames/1", OCTETS)


class Instance(Retrieve):
    """WADO-RS of one instance as a DICOM file, anywhere in the stock."""

    name = "instance"
    counts = "instance"
    least_octets = 1_024

    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:
        """Any instance."""
        return instances(stage, draw, "", DICOM)


class Study(Retrieve):
    """WADO-RS of whole studies: every lane asks for one study after the other, all instances as
    DICOM files in one answer.
    """

    name = "study"
    counts = "study"
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    least_octets = 1_024

    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:
        """Every study, in an order of the lane's own."""
        numbers = list(range(stage.stock.studies))
        draw.shuffle(numbers)
        return [request(stage.target, stage.stock.path(n), DICOM) for n in numbers]


class MetadataWarm(Retrieve):
    """WADO-RS metadata of a study that has been asked for before, over and over."""

    name = "metadata-warm"
    counts = "metadata"
    defaults: ClassVar[dict[str, object]] = {"lanes": 1}
    stock: ClassVar[dict[str, object]] = {"studies": 1, "instances": 500}

    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:  # noqa: ARG002
        """The first study."""
        return [request(stage.target, f"{stage.stock.path(0)}/metadata", JSON)]

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask once before the measurement."""
        client = Client(stage.reactor, stage.target)
        yield from client.ask(self.requests(stage, random.Random(number))[0])
        client.close()
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
            for study in range(number, stage.stock.studies, stage.load.lanes):
                asked = request(stage.target, f"{stage.stock.path(study)}/metadata", JSON)
                began = time.perf_counter()
                answer = yield from client.ask(asked)
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

    def requests(self, stage: Stage, draw: random.Random) -> list[bytes]:
        """A hundred frames from `first` on."""
        path = stage.stock.path(0, 0)
        numbers = [self.first + draw.randrange(100) for _ in range(PREPARED)]
        return [request(stage.target, f"{path}/frames/{n}", OCTETS) for n in numbers]


class NearFrame(FarFrame):
    """WADO-RS of the first hundred frames of the same instance, to compare with."""

    name = "frame-near"
    first = 1
