"""STOW-RS: instances in, as Part 10 files (PS3.18 10.5).

The body is taken apart as it arrives and each instance goes straight to the archive, so that
neither the size of a body nor that of an instance matters, nor whether a length was announced.
The form of metadata and bulk data in separate parts is not taken yet: 415.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import cast

import msgspec
from aiohttp import StreamReader, web
from multidict import CIMultiDict

from vna.errors import Invalid, VnaError
from vna.web.addresses import Addresses
from vna.web.answer import Answer
from vna.web.context import ARCHIVE, SETTINGS
from vna.web.decoding import decoded
from vna.web.intake import Intake
from vna.web.media import DICOM, DICOM_JSON
from vna.web.multipart import Buffer, MultipartReader
from vna.web.nativexml import native_xml
from vna.web.negotiation import MediaRange, choose_model, parse_media
from vna.web.problems import RETRY_AFTER_S, TooLarge, TooSlow, WrongMediaType
from vna.web.settings import WebSettings
from vna.web.storereport import Fate, overall_status, report
from vna.web.upload import Upload

__all__ = ["store"]

MAX_NOTES = 8


async def store(request: web.Request) -> web.StreamResponse:
    """Store every instance of the body; answer when each is durable or refused.

    Raises Invalid where not even one instance could be told apart in the body.
    """
    settings = request.app[SETTINGS]
    model = choose_model(request)
    addresses = Addresses.of(request, settings)
    _check_transfer_coding(request)
    media = _stow_media(request)
    study_uid = request.match_info.get("study")
    if settings.max_body_bytes and (request.content_length or 0) > settings.max_body_bytes:
        raise TooLarge(f"the body is over {settings.max_body_bytes} bytes")
    intake = Intake(request.app[ARCHIVE], settings, f"stow:{request.remote or ''}", study_uid)
    broken = await _take_in(request, media, intake, settings)
    fates = await intake.finish()
    if broken is not None and all(fate.error is not None for fate in fates):
        raise broken
    if not fates:
        raise Invalid("the body has no parts")
    return _answer(request, fates, report(fates, study_uid, addresses), model)


def _check_transfer_coding(request: web.Request) -> None:
    """Raise HTTPNotImplemented (501) for a transfer coding but `chunked` (RFC 9112 6.1)."""
    coding = ",".join(request.headers.getall("Transfer-Encoding", ())).strip().lower()
    if coding not in ("", "chunked"):
        raise web.HTTPNotImplemented(
            text=f"bodies are taken in the transfer coding chunked alone, not in {coding[:64]}"
        )


def _stow_media(request: web.Request) -> MediaRange:
    media = parse_media(request.headers.get("Content-Type", "application/octet-stream"))
    item = media.item if media.media == "multipart/related" else media.media
    if item not in (DICOM, "*/*"):
        raise WrongMediaType(
            f'instances are stored from {DICOM} or multipart/related; type="{DICOM}"; metadata and'
            f" bulk data in separate parts are not taken yet (got {item[:64]})"
        )
    if media.multipart and not media.parameters.get("boundary"):
        raise Invalid("Content-Type: multipart/related needs a boundary")
    return media


async def _take_in(
    request: web.Request, media: MediaRange, intake: Intake, settings: WebSettings
) -> VnaError | None:
    """Take the body in; return why it broke off, if it did. What came before that stands."""
    coding = ",".join(request.headers.getall("Content-Encoding", ()))
    body = decoded(_body(request, settings), coding, settings.max_body_bytes)
    try:
        if media.multipart:
            await _parts(body, media.parameters["boundary"], intake)
        else:
            await _single(body, intake)
    except VnaError as error:
        intake.cut(error)
        return error
    finally:
        intake.abandon()  # the client may have left in the middle of an instance
    return None


async def _single(body: AsyncIterator[Buffer], intake: Intake) -> None:
    await intake.begin({})
    async for piece in body:
        await intake.write(piece)
    intake.end()


async def _parts(body: AsyncIterator[Buffer], boundary: str, intake: Intake) -> None:
    reader = MultipartReader(boundary)
    async for piece in body:
        for event in reader.feed(piece):
            match event:
                case dict() as headers:
                    await intake.begin(headers)
                case None:
                    intake.end()
                case content:
                    await intake.write(content)
    reader.close()


async def _body(request: web.Request, settings: WebSettings) -> AsyncIterator[Buffer]:
    """Yield the body as it arrives. Raises TooLarge, TooSlow, and Invalid where it breaks off."""
    limit, taken = settings.max_body_bytes, 0
    # What is read from the socket at once need not be run together with what follows, as `readany`
    # does; the chunks of a chunked body may be so short that it pays.
    as_it_comes = request.content_length is not None
    content = cast("StreamReader | Upload", request.content)
    while True:
        try:
            piece = content.at_hand() if isinstance(content, Upload) else None
            if piece is None:
                async with asyncio.timeout(settings.read_timeout_s):
                    if as_it_comes:
                        piece, _ = await content.readchunk()
                    else:
                        piece = await content.readany()
        except TimeoutError:
            raise TooSlow(
                f"nothing of the body arrived for {settings.read_timeout_s:g} s"
            ) from None
        except web.RequestPayloadError as error:
            raise Invalid(f"the body is broken: {error}") from error
        if not piece:
            return
        taken += len(piece)
        if limit and taken > limit:
            raise TooLarge(f"the body is over {limit} bytes")
        yield piece


def _answer(
    request: web.Request, fates: list[Fate], module: dict[str, object], model: str
) -> Answer:
    """Return the response module; Warning headers say why, as the module has no place for words."""
    status = overall_status(fates)
    headers = CIMultiDict({"Content-Type": model, "Vary": "Accept"})
    notes = [
        f"{fate.sop_uid or f'part {number}'}: {fate.error or fate.warning}"
        for number, fate in enumerate(fates, 1)
        if fate.error or fate.warning
    ]
    for note in notes[:MAX_NOTES]:
        headers.add("Warning", f'299 vna "{_quotable(note)}"')
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    body = msgspec.json.encode(module) if model == DICOM_JSON else native_xml(module)
    return Answer(request, [body], len(body), status, headers)


def _quotable(text: str) -> str:
    """Return a text as a quoted-string may hold it (RFC 9110 5.6.4)."""
    kept = "".join(c if " " <= c <= "~" else "?" for c in text[:400])
    return kept.replace("\\", "\\\\").replace('"', '\\"')
