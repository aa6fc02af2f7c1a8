"""Metadata of a study, series or instance: DICOM JSON or XML without bulk data (PS3.18 10.4.1.1.2).

The JSON of a study or series is made once and kept, in the content coding that was asked for,
until a store or delete in it changes its entity tag.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from aiohttp import hdrs, web

from vna.archive import Item, Retrieval, StoredObject
from vna.web.addresses import Addresses
from vna.web.coding import Coding, choose_coding, coded
from vna.web.context import ARCHIVE, CLOCK, PREPARED, SETTINGS
from vna.web.media import DICOM_JSON, DICOM_XML
from vna.web.multipart import MultipartWriter, Part
from vna.web.nativexml import native_xml_of_json
from vna.web.negotiation import choose_model
from vna.web.representations import entity_tag, resource_tag
from vna.web.routes.wado import asked_objects
from vna.web.sending import not_modified, send, send_items, send_runs

__all__ = ["retrieve_metadata"]

AT_ONCE: Final = 64
"""Objects whose metadata is made in one go."""
MOST_PREPARED: Final = 4096
"""The metadata of more objects is sent as it is made, and not kept."""


async def retrieve_metadata(request: web.Request) -> web.StreamResponse:
    """Answer with each object's attributes; bulk values are BulkDataURIs that resolve here.

    The ETag changes with every store and delete below the resource; If-None-Match gives 304.
    """
    model = choose_model(request)
    addresses = Addresses.of(request, request.app[SETTINGS])
    if "instance" in request.match_info:
        objects = await asked_objects(request)
        etag = entity_tag(objects, model, addresses.root)
        coding: Coding = "identity"
    else:
        objects = []
        names = request.match_info
        study, series = names["study"], names.get("series")
        state = await request.app[ARCHIVE].soon(Retrieval.state, study, series)
        coding = choose_coding(request.headers) if model == DICOM_JSON else "identity"
        etag = resource_tag(state, study, series or "", model, addresses.root, coding)
    if (unchanged := not_modified(request.headers, etag)) is not None:
        return unchanged
    headers = {"ETag": etag, "Vary": "Accept, Accept-Encoding"}
    if model == DICOM_XML:
        objects = objects or await asked_objects(request)
        return await _send_xml(request, objects, addresses, headers)
    if objects:
        items = _listed(await request.app[ARCHIVE].soon(_metadata, objects, addresses))
        return await send_items(request, items, content_type=DICOM_JSON, headers=headers)
    return await _send_prepared(request, addresses, etag, coding, headers)


async def _send_prepared(
    request: web.Request, addresses: Addresses, etag: str, coding: Coding, headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with the DICOM JSON of a study or series, from what is kept or to be kept."""
    archive, prepared = request.app[ARCHIVE], request.app[PREPARED]
    body = prepared.get(etag)
    if body is None:
        objects = await asked_objects(request)
        if len(objects) > MOST_PREPARED:

            async def batches() -> AsyncIterator[Sequence[Item]]:
                for at in range(0, len(objects), AT_ONCE):
                    some = objects[at : at + AT_ONCE]
                    texts = await archive.soon(_metadata, some, addresses)
                    yield _listed(texts, opening=b"," if at else b"[", closing=b"")
                yield (b"]",)

            runs = archive.runs(batches())
            # Its tag names the coding that was asked for, which this is not: none is given.
            del headers["ETag"]
            return await send_runs(request, runs, content_type=DICOM_JSON, headers=headers)
        body = await archive.soon(_body, objects, addresses, coding)
        prepared.keep(etag, body)
    if coding != "identity":
        headers[hdrs.CONTENT_ENCODING] = coding
    return await send_items(request, [body], content_type=DICOM_JSON, headers=headers)


def _body(
    retrieval: Retrieval, objects: Sequence[StoredObject], addresses: Addresses, coding: Coding
) -> bytes:
    return coded(b"".join(_listed(_metadata(retrieval, objects, addresses))), coding)


def _metadata(
    retrieval: Retrieval, objects: Sequence[StoredObject], addresses: Addresses
) -> list[bytes]:
    if len(objects) > 1:
        retrieval.must_wait()
    return retrieval.metadata_of(objects, [addresses.bulk(stored) for stored in objects])


def _listed(texts: Sequence[bytes], opening: bytes = b"[", closing: bytes = b"]") -> list[bytes]:
    """Return the parts of a JSON array."""
    parts = [part for text in texts for part in (b",", text)]
    parts[0] = opening
    return [*parts, closing]


async def _send_xml(
    request: web.Request,
    objects: Sequence[StoredObject],
    addresses: Addresses,
    headers: dict[str, str],
) -> web.StreamResponse:
    archive = request.app[ARCHIVE]

    def part(stored: StoredObject) -> Part:
        def pieces() -> Iterator[bytes]:
            text = archive.metadata(stored, addresses.bulk(stored))
            yield native_xml_of_json(text)

        return Part([("Content-Type", DICOM_XML)], pieces)

    boundary = request.app[CLOCK].token(16).hex()
    writer = MultipartWriter(DICOM_XML, boundary, [part(stored) for stored in objects])
    return await send(request, writer.pieces(), content_type=writer.content_type, headers=headers)
