"""Metadata of a study, series or instance: DICOM JSON or XML without bulk data (PS3.18 10.4.1.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
from aiohttp import web

from vna.archive import StoredObject
from vna.web.addresses import Addresses
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import DICOM_JSON, DICOM_XML
from vna.web.multipart import Buffer, MultipartWriter, Part
from vna.web.nativexml import native_xml
from vna.web.negotiation import choose_model
from vna.web.representations import entity_tag
from vna.web.routes.wado import asked_objects
from vna.web.sending import not_modified, send

__all__ = ["retrieve_metadata"]


async def retrieve_metadata(request: web.Request) -> web.StreamResponse:
    """Answer with each object's attributes; bulk values are BulkDataURIs that resolve here.

    The ETag changes with every store and delete below the resource; If-None-Match gives 304.
    """
    model = choose_model(request)
    objects = await asked_objects(request)
    archive = request.app[ARCHIVE]
    addresses = Addresses.of(request, request.app[SETTINGS])
    etag = entity_tag(objects, model, addresses.root)
    if (unchanged := not_modified(request, etag)) is not None:
        return unchanged

    def metadata(stored: StoredObject) -> bytes:
        return archive.metadata(stored, addresses.bulk(stored))

    headers = {"ETag": etag, "Vary": "Accept"}
    if model == DICOM_JSON:
        return await send(
            request, _json_array(objects, metadata), content_type=DICOM_JSON, headers=headers
        )
    boundary = request.app[CLOCK].token(16).hex()
    writer = MultipartWriter(
        DICOM_XML, boundary, [_xml_part(stored, metadata) for stored in objects]
    )
    return await send(request, writer.pieces(), content_type=writer.content_type, headers=headers)


def _json_array(
    objects: Sequence[StoredObject], metadata: Callable[[StoredObject], bytes]
) -> Iterator[Buffer]:
    opening = b"["
    for stored in objects:
        yield opening
        yield metadata(stored)
        opening = b","
    yield b"]"


def _xml_part(stored: StoredObject, metadata: Callable[[StoredObject], bytes]) -> Part:
    def pieces() -> Iterator[Buffer]:
        yield native_xml(msgspec.json.decode(metadata(stored)))

    return Part([("Content-Type", DICOM_XML)], pieces)
