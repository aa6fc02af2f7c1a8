"""QIDO-RS requests, from the query part of the URL to the JSON of the answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fuzzing import Target
from yarl import URL

from vna.archive import Archive, ArchiveSettings
from vna.dicom.json import attributes_json_bytes
from vna.errors import Invalid
from vna.testing.images import ct_image
from vna.types import Level
from vna.web.search import parse_search

LEVELS = (Level.STUDY, Level.SERIES, Level.INSTANCE)
STUDY_UID = 0x0020_000D
MAX_RESULTS = 10


class Searches(Target):
    name = "searches"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.archive = Archive.open(ArchiveSettings(data=folder / "data"))
        for n in range(3):
            asyncio.run(self.archive.store(ct_image(f"1.2.3.{n}"), source="fuzz"))

    def seeds(self) -> list[bytes]:
        return [
            b"PatientName=M*ller&PatientID=P1&fuzzymatching=true",
            b"00100010=m%C3%BCller%5Ej&limit=1&offset=1&includefield=all",
            b"StudyDate=20250101-20261231&StudyTime=10-&ModalitiesInStudy=CT&ModalitiesInStudy=MR",
            b"StudyInstanceUID=1.2.3,1.2.4&includefield=00080020,PatientName",
            b"RequestAttributesSequence.ScheduledProcedureStepID=S?*&includefield=Rows",
            b"00400275.00400009=x&emptyvaluematching=true&multiplevaluematching=true",
            b"Rows=16&InstanceNumber=1&SOPClassUID=1.2.840.10008.5.1.4.1.1.2",
            b"TimezoneOffsetFromUTC=%2B0100&PatientBirthDate=&AccessionNumber=A%5C1",
        ]

    def check(self, data: bytes) -> None:
        text = data.decode("latin-1")
        try:
            parameters = list(URL.build(path="/", query_string=text, encoded=True).query.items())
        except ValueError:  # aiohttp's own refusal
            return
        for level in LEVELS:
            for parents in ({}, {STUDY_UID: "1.2.3"}):
                self._search(level, parents if level is not Level.STUDY else {}, parameters)

    def _search(
        self, level: Level, parents: dict[int, str], parameters: list[tuple[str, str]]
    ) -> None:
        try:
            search = parse_search(level, parents, parameters, MAX_RESULTS)
            matches = list(self.archive.query(search.query))
        except Invalid as error:
            assert str(error)
            return
        assert len(matches) <= MAX_RESULTS
        for match in matches:
            assert match.level is level
            assert isinstance(json.loads(attributes_json_bytes(match.attributes)), dict)

    def close(self) -> None:
        self.archive.close()
