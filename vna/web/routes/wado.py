"""WADO-RS: studies, series and instances as they are stored (PS3.18 10.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Final

from aiohttp import web

from vna.archive import Item, Retrieval, StoredObject, cut_items
from vna.dicom.uids import uid_name
from vna.web.addresses import Addresses
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import DICOM
from vna.web.multipart import MultipartWriter
from vna.web.negotiation import Choice, accepted, choose_dicom
from vna.web.problems import NotAcceptable
from vna.web.reply import Asked, Reply
from vna.web.representations import entity_tag
from vna.web.sending import not_modified, requested_range, send_batches, send_reply

__all__ = ["asked_objects", "instance_reply", "retrieve", "retrieve_instance"]

AT_ONCE: Final = 16
"""Instances whose headers are read at once."""


async def asked_objects(request: web.Request) -> list[StoredObject]:
    """Return the objects below the study, series or instance that the path names.

    Raises NotFound (404) or Deleted (410).
    """
    names = request.match_info
    return await request.app[ARCHIVE].soon(
        Retrieval.objects, names["study"], names.get("series"), names.get("instance")
    )


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Answer with every instance of a study or series, a part each, in the order they came.

    Where some are only there in a form that the client does not accept, the others are sent with
    206 and a Warning that counts them; where all are, 406 (10.4.3.1, 8.7.8.1).
    """
    ranges = accepted(request)
    objects = await asked_objects(request)
    chosen = [
        (stored, choice)
        for stored in objects
        if (choice := choose_dicom(ranges, stored.transfer_syntax, one=False)) is not None
    ]
    if not chosen:
        raise _not_acceptable(objects[0])
    headers = {"Vary": "Accept"}
    status = HTTPStatus.OK
    missing = len(objects) - len(chosen)
    if missing:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Warning"] = (
            f'299 vna "{missing} instances are stored in transfer syntaxes not accepted"'
        )
    return await _send_parts(request, chosen, status, headers)


async def retrieve_instance(request: web.Request) -> web.StreamResponse:
    """Answer with one instance: alone as application/dicom (Range allowed), or as the only part."""
    return await send_reply(request, instance_reply)


def instance_reply(retrieval: Retrieval, asked: Asked) -> Reply | web.Response:
    """Return the answer to who asks for one instance."""
    stored = asked.instance(retrieval)
    choice = choose_dicom(asked.accepted, stored.transfer_syntax, one=True)
    if choice is None:
        raise _not_acceptable(stored)
    address = asked.addresses.stored(stored)
    if choice.multipart:
        writer = MultipartWriter(DICOM, asked.boundary)
        file = retrieval.file(stored, asked.ae_title)
        part = _part(writer, choice, address, file)
        return Reply([*part, writer.closing()], writer.content_type, {"Vary": "Accept"})
    etag = entity_tag([stored], choice.content_type)
    if (unchanged := not_modified(asked.headers, etag)) is not None:
        return unchanged
    items = retrieval.file(stored, asked.ae_title)
    wanted = requested_range(asked.headers, sum(map(len, items)), etag)
    headers = {**wanted.headers, "ETag": etag, "Vary": "Accept", "Content-Location": address}
    return Reply(
        cut_items(items, wanted.start, wanted.stop), choice.content_type, headers, wanted.status
    )


async def _send_parts(
    request: web.Request,
    chosen: Sequence[tuple[StoredObject, Choice]],
    status: HTTPStatus,
    headers: dict[str, str],
) -> web.StreamResponse:
    archive, settings = request.app[ARCHIVE], request.app[SETTINGS]
    addresses = Addresses.of(request, settings)
    writer = MultipartWriter(DICOM, request.app[CLOCK].token(16).hex())

    async def parts() -> AsyncIterator[Sequence[Item]]:
        for at in range(0, len(chosen), AT_ONCE):
            some = chosen[at : at + AT_ONCE]
            objects = [stored for stored, _ in some]
            files = await archive.soon(Retrieval.files, objects, settings.ae_title)
            batch: list[Item] = []
            for (stored, choice), file in zip(some, files, strict=True):
                batch += _part(writer, choice, addresses.stored(stored), file)
            yield batch
        yield (writer.closing(),)

    return await send_batches(
        request,
        parts(),
        content_type=writer.content_type,
        status=status,
        headers=headers,
    )


def _part(
    writer: MultipartWriter, choice: Choice, address: str, file: Sequence[Item]
) -> Sequence[Item]:
    labels = ("Content-Type", choice.content_type), ("Content-Location", address)
    return writer.opening(labels), *file, b"\r\n"


def _not_acceptable(stored: StoredObject) -> NotAcceptable:
    uid = stored.transfer_syntax
    return NotAcceptable(
        f"instance {stored.sop_uid} is stored in {uid} ({uid_name(uid)}) and this archive does not"
        f' transcode yet: accept multipart/related; type="{DICOM}"; transfer-syntax=*'
    )
