"""Instances of one request on their way into the archive: one arrives while others commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vna.archive import Archive, Ingest, Stored
from vna.errors import Invalid, VnaError
from vna.web.media import DICOM
from vna.web.multipart import Buffer
from vna.web.negotiation import parse_media
from vna.web.problems import WrongMediaType
from vna.web.settings import WebSettings
from vna.web.storereport import Fate

__all__ = ["Intake"]

log = logging.getLogger(__name__)

MAX_PARTS: Final = 1_000_000


class Intake:
    """Takes the parts of a request in order: `begin`, `write` its content, `end`; `finish` at last.

    Commits run while further parts arrive, so that they share group commits; how many, and how
    many bytes they hold, is bounded: `begin` waits. A part that is refused is skipped to its end.
    """

    def __init__(
        self, archive: Archive, settings: WebSettings, source: str, study_uid: str | None
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._source = source
        self._study_uid = study_uid
        self._fates: list[Fate] = []
        self._under_way = 0
        self._under_way_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: tuple[Callable[[], bool], asyncio.Future[None]] | None = None
        self._arriving = False
        """Whether a part has begun and not ended, be it refused."""
        self._ingest: Ingest | None = None
        self._size = 0

    async def begin(self, headers: dict[str, str]) -> None:
        """Begin with a part."""
        if len(self._fates) >= MAX_PARTS:
            raise Invalid(f"more than {MAX_PARTS} parts in one request")
        self._fates.append(Fate(study_uid=self._study_uid or ""))
        self._arriving, self._size = True, 0
        try:
            self._check(headers)
            if not self._has_room():
                await self._until(self._has_room)
            self._ingest = self._archive.ingest(
                form="part10", source=self._source, study_uid=self._study_uid
            )
        except VnaError as error:
            self._refuse(error)

    def _check(self, headers: dict[str, str]) -> None:
        content_type = headers.get("content-type", DICOM)
        if parse_media(content_type).media != DICOM:
            raise WrongMediaType(f"part {len(self._fates)} is {content_type[:64]}, not {DICOM}")
        encoding = headers.get("content-transfer-encoding", "binary").lower()
        if encoding not in ("binary", "8bit", "7bit"):
            raise WrongMediaType(
                f"part {len(self._fates)} is sent in {encoding[:64]}, not as it is"
            )

    async def write(self, piece: Buffer) -> None:
        """Take the next run of the part's content."""
        if self._ingest is None:
            return  # refused already
        self._size += len(piece)
        try:
            await self._ingest.write(piece)
        except VnaError as error:
            self._refuse(error)

    def end(self) -> None:
        """End the part: it commits by itself from here on."""
        self._arriving = False
        if self._ingest is None:
            return
        ingest, self._ingest = self._ingest, None
        place, size = len(self._fates) - 1, self._size
        self._under_way += 1
        self._under_way_bytes += size

        def told(stored: Stored | Exception) -> None:
            self._fates[place] = _fate(ingest, stored)
            self._under_way -= 1
            self._under_way_bytes -= size
            self._go_on()

        if not ingest.concludes_at_once:
            task = asyncio.create_task(_commit(ingest, told))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            ingest.conclude(told)
        except Exception as error:  # noqa: BLE001  # logged there; the others' fates must be told
            told(error)

    async def finish(self) -> list[Fate]:
        """Return what became of every part, when all of them are settled."""
        await self._until(lambda: not self._under_way)
        return self._fates

    def cut(self, error: VnaError) -> None:
        """Say that the request broke off: the part that was arriving, or the next one, is refused.

        One that was refused before stays so, for its own reason.
        """
        if not self._arriving:
            self._fates.append(Fate())
        elif self._ingest is None:
            return
        self._refuse(error)

    def abandon(self) -> None:
        """Forget the part that was arriving; commits in hand go on to their end."""
        if self._ingest is not None:
            self._ingest.abort()
            self._ingest = None

    def _has_room(self) -> bool:
        settings = self._settings
        return not self._under_way or (
            self._under_way < settings.stow_commits
            and self._under_way_bytes < settings.stow_commit_bytes
        )

    async def _until(self, true: Callable[[], bool]) -> None:
        """Wait until so much is settled that something is true."""
        if not true():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting = true, future
            await future

    def _go_on(self) -> None:
        """Wake who waits for what is true now."""
        if self._waiting is not None and self._waiting[0]():
            _, future = self._waiting
            self._waiting = None
            if not future.done():  # who waited may have been cancelled
                future.set_result(None)

    def _refuse(self, error: VnaError) -> None:
        fate = self._fates[-1]
        if self._ingest is not None:
            fate = _refused(self._ingest, error)
        self.abandon()
        self._fates[-1] = replace(fate, error=error)


async def _commit(ingest: Ingest, told: Callable[[Stored | Exception], None]) -> None:
    stored: Stored | Exception
    try:
        stored = await ingest.commit()
    except Exception as error:  # noqa: BLE001  # logged there; the others' fates must be told
        stored = error
    told(stored)


def _fate(ingest: Ingest, stored: Stored | Exception) -> Fate:
    """Return what became of an instance. What failed unexpectedly is logged."""
    if isinstance(stored, VnaError):
        return _refused(ingest, stored)
    if isinstance(stored, Exception):
        log.error("storing an instance failed", exc_info=stored)
        return _refused(ingest, VnaError("the archive failed; its log tells more"))
    identity = stored.identity
    return Fate(
        sop_class=identity.sop_class,
        sop_uid=identity.sop_uid,
        study_uid=identity.study_uid,
        series_uid=identity.series_uid,
        warning=stored.warning,
    )


def _refused(ingest: Ingest, error: VnaError) -> Fate:
    identity = ingest.identity
    return Fate(sop_class=identity.sop_class, sop_uid=identity.sop_uid, error=error)
