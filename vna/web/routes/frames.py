"""Frames of an instance, in the order asked for (PS3.18 10.4.1.1.6)."""

from __future__ import annotations

import re
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeAlias

from aiohttp import web

from vna.archive import Expanded, Item, Retrieval, StoredObject
from vna.dicom.uids import uid_name
from vna.errors import Invalid, NotFound, WouldWait
from vna.types import FrameKind, Frames
from vna.web.addresses import Addresses
from vna.web.byteorder import WORDS, is_big_endian
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import NATIVE, coding_of
from vna.web.multipart import MultipartWriter
from vna.web.negotiation import Accepted, Choice, accepted, choose_frames
from vna.web.problems import NotAcceptable
from vna.web.reply import Asked, Reply
from vna.web.representations import entity_tag
from vna.web.routes.wado import asked_objects
from vna.web.sending import not_modified, send_batches, send_reply

__all__ = ["frame_reply", "pixels_not_acceptable", "retrieve_frames", "send_frames"]

MAX_LIST: Final = 16_384
"""Frames that one request may ask for."""

AT_ONCE: Final = 16
"""Frames whose places, or for fragments whose bytes, are read at once."""

Readers: TypeAlias = dict[Retrieval, Expanded | None]
"""What a request reads the frames of a deflated object from: kept, so that they are inflated once."""

_LIST = re.compile(r"\d{1,10}(,\d{1,10})*", re.ASCII)


async def retrieve_frames(request: web.Request) -> web.StreamResponse:
    """Answer with the listed frames, numbered from 1, each a part; one frame also as a single part.

    A list that is none is 400; a number outside the instance is 404, whatever else is listed.
    """
    numbers = _frame_numbers(request.match_info["frames"])
    if len(numbers) == 1:
        return await send_reply(request, frame_reply)
    (stored,) = await asked_objects(request)
    address = Addresses.of(request, request.app[SETTINGS]).stored(stored)
    return await send_frames(request, stored, numbers, lambda number: f"{address}/frames/{number}")


def frame_reply(retrieval: Retrieval, asked: Asked) -> Reply | web.Response:
    """Return the answer to who asks for one frame. Raises WouldWait where they are several."""
    number, *others = _frame_numbers(asked.names["frames"])
    if others:
        raise WouldWait
    stored = asked.instance(retrieval)
    address = f"{asked.addresses.stored(stored)}/frames/{number}"
    return _one_frame(retrieval, asked, stored, number, address)


def _frame_numbers(text: str) -> list[int]:
    if not _LIST.fullmatch(text):
        raise Invalid(f"{text[:64]!r} is not a list of frame numbers, as in 1,2,3")
    numbers = list(map(int, text.split(",")))
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
    if len(numbers) == 1:
        return await send_reply(request, _one_frame, stored, numbers[0], address(numbers[0]))
    choice, etag = _form(accepted(request), stored, numbers)
    if (unchanged := not_modified(request.headers, etag)) is not None:
        return unchanged
    archive = request.app[ARCHIVE]
    readers: Readers = {}
    if stored.version.deflated:  # which frames there are, only inflating tells
        await archive.soon(_check_inflated, stored, max(numbers), readers)
    writer = MultipartWriter(choice.media_type, request.app[CLOCK].token(16).hex())

    async def parts() -> AsyncIterator[Sequence[Item]]:
        for at in range(0, len(numbers), AT_ONCE):
            asked = numbers[at : at + AT_ONCE]
            frames = await archive.soon(_frames, stored, asked, readers)
            for number, frame in zip(asked, frames, strict=True):
                yield _opening(writer, choice, address(number)), frame, b"\r\n"
        yield (writer.closing(),)

    headers = {"ETag": etag, "Vary": "Accept"}
    return await send_batches(request, parts(), content_type=writer.content_type, headers=headers)


def _one_frame(
    retrieval: Retrieval, asked: Asked, stored: StoredObject, number: int, address: str
) -> Reply | web.Response:
    choice, etag = _form(asked.accepted, stored, [number])
    if (unchanged := not_modified(asked.headers, etag)) is not None:
        return unchanged
    headers = {"ETag": etag, "Vary": "Accept"}
    frame = _frame(retrieval, stored, number)
    if not choice.multipart:
        headers["Content-Location"] = address
        return Reply([frame], choice.content_type, headers)
    writer = MultipartWriter(choice.media_type, asked.boundary)
    items = [_opening(writer, choice, address), frame, writer.ending()]
    return Reply(items, writer.content_type, headers)


def _form(ranges: Accepted, stored: StoredObject, numbers: Sequence[int]) -> tuple[Choice, str]:
    """Return the form in which frames leave, and its entity tag. Raises NotFound, NotAcceptable."""
    deflated = stored.version.deflated  # only inflating tells its frames: the archive checks
    if not deflated:
        _check(stored, stored.version.frames, max(numbers))
    choice = choose_frames(ranges, stored.transfer_syntax, one=len(numbers) == 1)
    if choice is None:
        raise pixels_not_acceptable(stored)
    return choice, entity_tag([stored], choice.form, ",".join(map(str, numbers)))


def _opening(writer: MultipartWriter, choice: Choice, address: str) -> bytes:
    return writer.opening([("Content-Type", choice.content_type), ("Content-Location", address)])


def _check(stored: StoredObject, frames: Frames | None, last: int) -> None:
    """Raise NotFound unless an instance has frames up to `last`.

    Pixel data of defined length is native whatever its transfer syntax says (PS3.5 A.4), or an image
    without its items: neither may leave as a frame of a compressed one.
    """
    compressed = coding_of(stored.transfer_syntax) != NATIVE
    if frames is None or not frames.count or (compressed and frames.kind == FrameKind.NATIVE):
        raise NotFound(f"instance {stored.sop_uid} has no frames that can be told apart")
    if last > frames.count:
        raise NotFound(f"instance {stored.sop_uid} has frames 1 to {frames.count}, not {last}")


def _check_inflated(
    retrieval: Retrieval, stored: StoredObject, last: int, readers: Readers
) -> None:
    """Check as `_check` does what only inflating tells, and keep what it was inflated by."""
    expanded = readers[retrieval] = retrieval.expanded(stored)
    _check(stored, expanded.frames if expanded is not None else None, last)


def _frames(
    retrieval: Retrieval, stored: StoredObject, numbers: Sequence[int], readers: Readers
) -> list[Item]:
    if not stored.version.deflated:
        return [_frame(retrieval, stored, number) for number in numbers]
    expanded = readers.get(retrieval)
    if expanded is None:
        expanded = readers[retrieval] = retrieval.expanded(stored)
    ascending = sorted(set(numbers))
    found = {number: retrieval.frame_item(stored, number, expanded) for number in ascending}
    return [found[number] for number in numbers]


def _frame(retrieval: Retrieval, stored: StoredObject, number: int) -> Item:
    """Return a frame in little endian order: where it is, or its bytes."""
    frames = stored.version.frames
    if frames is None or not is_big_endian(stored.transfer_syntax):
        return retrieval.frame_item(stored, number)
    vr = stored.version.holes[frames.hole].vr
    if vr not in WORDS:
        return retrieval.frame_item(stored, number)
    return retrieval.frame(stored, number, big_endian_word=array(WORDS[vr]).itemsize)


def pixels_not_acceptable(stored: StoredObject) -> NotAcceptable:
    """Return the error for pixels that are not there in a form that the client accepts."""
    uid = stored.transfer_syntax
    return NotAcceptable(
        f"the pixels of instance {stored.sop_uid} are stored in {uid} ({uid_name(uid)}) and this"
        f' archive does not transcode or render yet: accept multipart/related; type="{coding_of(uid).media_type}";'
        " transfer-syntax=*"
    )
