"""Frames of an instance, in the order asked for (PS3.18 10.4.1.1.6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aiohttp import web

from vna.archive import StoredObject
from vna.dicom.uids import uid_name
from vna.errors import Invalid, NotFound
from vna.types import FrameKind
from vna.web.addresses import Addresses
from vna.web.byteorder import little_endian
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import Coding, coding_of
from vna.web.multipart import Buffer, MultipartWriter, Part
from vna.web.negotiation import Choice, accepted, choose_pixels
from vna.web.problems import NotAcceptable
from vna.web.representations import entity_tag
from vna.web.routes.wado import asked_objects
from vna.web.sending import not_modified, send

__all__ = ["pixels_not_acceptable", "retrieve_frames", "send_frames"]

MAX_LIST: Final = 16_384
"""Frames that one request may ask for."""

_LIST = re.compile(r"\d{1,10}(,\d{1,10})*", re.ASCII)


async def retrieve_frames(request: web.Request) -> web.StreamResponse:
    """Answer with the listed frames, numbered from 1, each a part; one frame also as a single part.

    A list that is none is 400; a number outside the instance is 404, whatever else is listed.
    """
    numbers = _frame_numbers(request.match_info["frames"])
    (stored,) = await asked_objects(request)
    address = Addresses.of(request, request.app[SETTINGS]).stored(stored)
    return await send_frames(request, stored, numbers, lambda number: f"{address}/frames/{number}")


def _frame_numbers(text: str) -> list[int]:
    if not _LIST.fullmatch(text):
        raise Invalid(f"{text[:64]!r} is not a list of frame numbers, as in 1,2,3")
    numbers = [int(number) for number in text.split(",")]
    if 0 in numbers:
        raise Invalid("frame numbers count from 1")
    if len(numbers) > MAX_LIST:
        raise Invalid(f"more than {MAX_LIST} frames in one request")
    return numbers


async def send_frames(
    request: web.Request,
    stored: StoredObject,
    numbers: Sequence[int],
    address: Callable[[int], str],
) -> web.StreamResponse:
    """Answer with frames as stored, in the given order. Raises NotFound, NotAcceptable."""
    deflated = stored.version.deflated  # only inflating tells its frames: the archive checks
    if not deflated and not stored.frame_count:
        raise NotFound(f"instance {stored.sop_uid} has no frames that can be told apart")
    if not deflated and max(numbers) > stored.frame_count:
        raise NotFound(
            f"instance {stored.sop_uid} has frames 1 to {stored.frame_count}, not {max(numbers)}"
        )
    coding = coding_of(stored.transfer_syntax)
    choice = choose_pixels(accepted(request), coding, one=len(numbers) == 1)
    if choice is None:
        raise pixels_not_acceptable(stored, coding)
    etag = entity_tag([stored], choice.content_type, ",".join(map(str, numbers)))
    if (unchanged := not_modified(request, etag)) is not None:
        return unchanged
    headers = {"ETag": etag, "Vary": "Accept"}
    if not choice.multipart:
        headers["Content-Location"] = address(numbers[0])
        return await send(
            request,
            _frame(request, stored, numbers[0]),
            content_type=choice.content_type,
            headers=headers,
        )
    parts = [_part(request, stored, number, choice, address(number)) for number in numbers]
    writer = MultipartWriter(choice.media_type, request.app[CLOCK].token(16).hex(), parts)
    return await send(request, writer.pieces(), content_type=writer.content_type, headers=headers)


def _frame(request: web.Request, stored: StoredObject, number: int) -> Iterator[Buffer]:
    frame = request.app[ARCHIVE].frame(stored, number)
    frames = stored.version.frames
    if frames is not None and frames.kind == FrameKind.NATIVE:
        vr = stored.version.holes[frames.hole].vr
        yield from little_endian(iter([frame]), stored.transfer_syntax, vr)
    else:
        yield frame


def _part(
    request: web.Request, stored: StoredObject, number: int, choice: Choice, address: str
) -> Part:
    def pieces() -> Iterator[Buffer]:
        return _frame(request, stored, number)

    return Part([("Content-Type", choice.content_type), ("Content-Location", address)], pieces)


def pixels_not_acceptable(stored: StoredObject, coding: Coding) -> NotAcceptable:
    """Return the error for pixels that are not there in a form that the client accepts."""
    uid = stored.transfer_syntax
    return NotAcceptable(
        f"the pixels of instance {stored.sop_uid} are stored in {uid} ({uid_name(uid)}) and this"
        f' archive does not transcode or render yet: accept multipart/related; type="{coding.media_type}";'
        " transfer-syntax=*"
    )
