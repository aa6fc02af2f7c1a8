"""Bulk values of an instance, as its metadata names them (PS3.18 10.4.1.1.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Final

import msgspec
from aiohttp import web

from vna.archive import Archive, Retrieval, StoredObject
from vna.dicom.paths import parse_bulk_path
from vna.dicom.uids import OCTET_STREAM
from vna.types import FrameKind, Hole
from vna.web.addresses import Addresses
from vna.web.byteorder import WORDS, is_big_endian, little_endian
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import NATIVE, Coding, coding_of
from vna.web.multipart import Buffer, MultipartWriter
from vna.web.negotiation import Choice, accepted, choose_pixels
from vna.web.problems import NotAcceptable
from vna.web.reply import headers_of
from vna.web.representations import entity_tag
from vna.web.routes.frames import send_frames
from vna.web.routes.wado import asked_objects
from vna.web.sending import ByteRange, not_modified, requested_range, send, send_items

__all__ = ["retrieve_bulk"]

PIXEL_DATA: Final = (0x7FE0_0010,)
ENCAPSULATED_DOCUMENT: Final = (0x0042_0011,)
MIME_TYPE_OF_ENCAPSULATED_DOCUMENT: Final = "00420012"

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$%&'+.^_`|~\-]+/[a-z0-9!#$%&'+.^_`|~\-]+")
"""As it may stand in a header (RFC 9110 8.3.1), without parameters."""


async def retrieve_bulk(request: web.Request) -> web.StreamResponse:
    """Answer with one bulk value, whole or the Range asked for, in little endian octets.

    Compressed pixel data has no octets of its own outside its data set: it comes frame by frame
    (PS3.18 8.7.3.3.2), or where these cannot be told apart as items, under its transfer syntax.
    """
    path = parse_bulk_path(request.match_info["path"])
    (stored,) = await asked_objects(request)
    archive = request.app[ARCHIVE]
    hole = await archive.soon(Retrieval.bulk, stored, path)
    address = (
        f"{Addresses.of(request, request.app[SETTINGS]).bulk(stored)}/{request.match_info['path']}"
    )
    frames = stored.version.frames
    if (
        frames is not None
        and frames.kind == FrameKind.ENCAPSULATED
        and hole.path == stored.version.holes[frames.hole].path
    ):
        return await send_frames(request, stored, range(1, frames.count + 1), lambda _: address)
    choice = await _choice(request, stored, path)
    etag = entity_tag([stored], choice.form, request.match_info["path"])
    if (unchanged := not_modified(request.headers, etag)) is not None:
        return unchanged
    wanted = requested_range(headers_of(request), hole.length, etag)
    headers = {"ETag": etag, "Vary": "Accept"}
    located = {"Content-Location": address, **wanted.headers}
    if not choice.multipart:
        content_type, opening, closing = choice.content_type, b"", b""
        headers |= located
    else:
        writer = MultipartWriter(choice.media_type, request.app[CLOCK].token(16).hex())
        content_type = writer.content_type
        opening = writer.opening([("Content-Type", choice.content_type), *located.items()])
        closing = writer.ending()
    swapped = is_big_endian(stored.transfer_syntax) and hole.vr in WORDS
    if not (swapped or stored.version.deflated):
        span = await archive.soon(Retrieval.bulk_item, stored, hole, wanted.start, wanted.stop)
        return await send_items(
            request,
            [opening, span, closing],
            content_type=content_type,
            status=wanted.status,
            headers=headers,
        )
    return await send(
        request,
        chain([opening], _value(archive, stored, hole, wanted), [closing]),
        content_type=content_type,
        length=len(opening) + wanted.stop - wanted.start + len(closing),
        status=wanted.status,
        headers=headers,
    )


async def _choice(request: web.Request, stored: StoredObject, path: tuple[int, ...]) -> Choice:
    """Return how a bulk value is sent. Raises NotAcceptable.

    An encapsulated document comes in its own media type where that is accepted.
    """
    ranges = accepted(request)
    choice = None
    if path == ENCAPSULATED_DOCUMENT:
        document = await _document_coding(request.app[ARCHIVE], stored)
        choice = choose_pixels(ranges, document, one=True)
    coding = _coding(stored, path)
    choice = choice or choose_pixels(ranges, coding, one=True)
    if choice is None:
        raise NotAcceptable(
            f"this bulk value is sent as {coding.media_type};"
            f" transfer-syntax={coding.transfer_syntax}, alone or in multipart/related"
        )
    return choice


def _coding(stored: StoredObject, path: tuple[int, ...]) -> Coding:
    """Return how a bulk value is labelled: compressed pixel data by its transfer syntax."""
    coding = coding_of(stored.transfer_syntax)
    if path != PIXEL_DATA or coding == NATIVE:
        return NATIVE
    return Coding(OCTET_STREAM, coding.transfer_syntax, implied=False)


def _value(
    archive: Archive, stored: StoredObject, hole: Hole, wanted: ByteRange
) -> Iterator[Buffer]:
    if is_big_endian(stored.transfer_syntax) and hole.vr in WORDS and not wanted.whole:
        # A range may begin inside a word; retired and rare enough to read from the start.
        whole = archive.bulk_range(stored, hole, 0, hole.length)
        return wanted.cut(little_endian(whole, stored.transfer_syntax, hole.vr))
    pieces = archive.bulk_range(stored, hole, wanted.start, wanted.stop)
    return little_endian(pieces, stored.transfer_syntax, hole.vr)


async def _document_coding(archive: Archive, stored: StoredObject) -> Coding:
    """Return how the encapsulated document is labelled: by its own MIME type, if it says one."""
    dataset: Mapping[str, Any] = msgspec.json.decode(
        await archive.soon(Retrieval.metadata, stored, "")
    )
    values = dataset.get(MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, {}).get("Value") or [""]
    media_type = str(values[0]).partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        return NATIVE
    return Coding(media_type, "", implied=True)
