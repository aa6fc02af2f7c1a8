"""Searching: QIDO-RS and C-FIND."""

from __future__ import annotations

import json
import random
import time
from abc import abstractmethod
from datetime import datetime, timedelta
from typing import ClassVar

from vna.bench import upper_layer as ul
from vna.bench.association import FIND, Association
from vna.bench.connection import Failed
from vna.bench.http import Client, request
from vna.bench.reactor import Lane
from vna.bench.stage import Scenario, Stage
from vna.bench.tally import Tally

__all__ = ["LEAST_MATCH", "Find", "QidoDate", "QidoMix", "QidoName", "QidoPages", "QidoPatient"]

PREPARED = 256
"""Requests made before the start, which lanes ask in turn."""
LOOK_AT = 64
"""One answer in so many is parsed, and must hold a match."""
LEAST_MATCH = 32
"""Octets of an answer with a match: one without is 204, or an empty list."""
PAGE = 25
MATCHES = {"Accept": "application/dicom+json"}


def patient(stage: Stage, draw: random.Random) -> str:
    """Ask for the studies of one patient."""
    study = stage.stock.study(draw.randrange(stage.stock.studies))
    return f"/studies?PatientID={study['patient']}"


def date_range(stage: Stage, draw: random.Random) -> str:
    """Ask for the first studies of a week."""
    study = stage.stock.study(draw.randrange(stage.stock.studies))
    day = datetime.strptime(study["date"], "%Y%m%d")  # noqa: DTZ007  # a date, not a moment
    last = day + timedelta(days=6)
    return f"/studies?StudyDate={day:%Y%m%d}-{last:%Y%m%d}&limit={PAGE}"


def name_prefix(stage: Stage, draw: random.Random) -> str:
    """Ask for the first patients whose name begins so."""
    study = stage.stock.study(draw.randrange(stage.stock.studies))
    # Of the family name alone: a caret must be percent-encoded, which Orthanc 1.10 does not decode.
    family = study["name"].partition("^")[0]
    return f"/studies?PatientName={family[:-1]}*&limit={PAGE}"


def page(stage: Stage, draw: random.Random) -> str:
    """Ask for a page of the series of all studies of a modality, some pages in."""
    offset = PAGE * draw.randrange(max(1, min(stage.stock.studies // PAGE, 8)))
    return f"/studies?ModalitiesInStudy=CT&limit={PAGE}&offset={offset}"


class Qido(Scenario):
    """A search over and over; another value each time, one answer in 64 parsed."""

    counts = "QIDO-RS"
    needs = frozenset({"web", "stock"})
    defaults: ClassVar[dict[str, object]] = {"lanes": 8}

    @abstractmethod
    def query(self, stage: Stage, draw: random.Random) -> str:
        """Return path and query of a search that matches something."""

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask the prepared searches in turn."""
        draw = random.Random(number)
        asked = [request(stage.target, self.query(stage, draw), MATCHES) for _ in range(PREPARED)]
        client = Client(stage.reactor, stage.target)
        yield from client.open()
        count = 0
        try:
            yield from stage.gate()
            while stage.running:
                look = count % LOOK_AT == 0
                began = time.perf_counter()
                answer = yield from client.ask(asked[count % PREPARED], keep=look)
                if answer.size < LEAST_MATCH or (look and not json.loads(bytes(answer.body))):
                    raise Failed(f"no match for {asked[count % PREPARED].split()[1].decode()}")
                tally.done("QIDO-RS", began, answer.size)
                count += 1
        finally:
            client.close()


class QidoPatient(Qido):
    """QIDO-RS by PatientID: every lane is a connection that asks for the studies of one patient
    after the other.
    """

    name = "qido-patient"

    def query(self, stage: Stage, draw: random.Random) -> str:
        """By patient."""
        return patient(stage, draw)


class QidoDate(Qido):
    """QIDO-RS by StudyDate: the first 25 studies of a week, another week each time."""

    name = "qido-date"

    def query(self, stage: Stage, draw: random.Random) -> str:
        """By date."""
        return date_range(stage, draw)


class QidoName(Qido):
    """QIDO-RS by PatientName with a trailing wildcard: the first 25 matches of a prefix."""

    name = "qido-name"

    def query(self, stage: Stage, draw: random.Random) -> str:
        """By name."""
        return name_prefix(stage, draw)


class QidoPages(Qido):
    """QIDO-RS with limit and offset: pages of 25 of all studies of a modality."""

    name = "qido-pages"

    def query(self, stage: Stage, draw: random.Random) -> str:
        """A page."""
        return page(stage, draw)


class QidoMix(Qido):
    """QIDO-RS as a department asks: half by PatientID, a quarter by date, the rest by name and in
    pages.
    """

    name = "qido"

    def query(self, stage: Stage, draw: random.Random) -> str:
        """One of the others."""
        ways = (patient, patient, patient, patient, date_range, date_range, name_prefix, page)
        return draw.choice(ways)(stage, draw)


class Find(Scenario):
    """C-FIND at study level by PatientID: every lane is an association that asks for one patient
    after the other, and reads every match.
    """

    name = "find"
    counts = "C-FIND"
    needs = frozenset({"dimse", "stock"})

    def lane(self, stage: Stage, number: int, tally: Tally) -> Lane:
        """Ask for patients in turn."""
        draw = random.Random(number)
        asked = [self._identifier(stage, draw) for _ in range(PREPARED)]
        contexts = {1: (FIND, (ul.IMPLICIT_VR_LE,))}
        association = yield from Association.open(stage.reactor, stage.target, contexts)
        count = 0
        try:
            yield from stage.gate()
            while stage.running:
                yield from self.pause(stage, draw)
                began = time.perf_counter()
                if not (yield from association.find(1, asked[count % PREPARED])):
                    raise Failed("C-FIND by PatientID found nothing")
                tally.done("C-FIND", began)
                count += 1
            yield from association.release()
        finally:
            association.close()

    @staticmethod
    def _identifier(stage: Stage, draw: random.Random) -> bytes:
        study = stage.stock.study(draw.randrange(stage.stock.studies))
        return ul.elements(
            {
                0x0008_0020: "",
                0x0008_0052: "STUDY",
                0x0010_0010: "",
                0x0010_0020: study["patient"],
                0x0020_000D: "",
            }
        )
