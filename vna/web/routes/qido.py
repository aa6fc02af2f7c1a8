"""QIDO-RS: searches for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from itertools import chain, islice
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from vna.archive import PlannedQuery
from vna.dicom.attributes import (
    RETRIEVE_AE_TITLE,
    RETRIEVE_URL,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
)
from vna.dicom.json import attributes_json_bytes
from vna.dicom.paths import describe
from vna.types import Attributes, Level, Match
from vna.web.addresses import Addresses
from vna.web.context import ARCHIVE, CLOCK, SETTINGS
from vna.web.media import DICOM_JSON, DICOM_XML
from vna.web.multipart import Buffer, MultipartWriter, Part
from vna.web.nativexml import native_xml_of_json
from vna.web.negotiation import choose_model
from vna.web.search import Search, parse_search
from vna.web.sending import send, send_items
from vna.web.settings import WebSettings

__all__ = ["search"]

HELD: Final = 1 << 20
"""Answers up to this size are complete before the first byte leaves."""
ENCODED_AT_ONCE: Final = 128
"""More matches than this are encoded in a thread."""
MAX_NOTES: Final = 8

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Rows = Iterator[bytes]
Encode = Callable[[Attributes], bytes]


@cache
def search(level: Level) -> Handler:
    """Return the handler that searches for entities of `level` below what its path names."""

    async def handler(request: web.Request) -> web.StreamResponse:
        """Answer with what matches, as C-FIND would; with a Warning where more matches exist."""
        settings = request.app[SETTINGS]
        model = choose_model(request)
        addresses = Addresses.of(request, settings)
        parents = {
            path: request.match_info[name]
            for path, name in ((STUDY_INSTANCE_UID, "study"), (SERIES_INSTANCE_UID, "series"))
            if name in request.match_info
        }
        asked = parse_search(level, parents, request.query.items(), settings.qido_max_results)
        assert asked.query.limit is not None, "every search has a limit"
        planned = request.app[ARCHIVE].planned(replace(asked.query, limit=asked.query.limit + 1))
        encode = _json if model == DICOM_JSON else _xml
        rows, more = await _answers(request, asked, planned, addresses, encode)
        headers = CIMultiDict({"Vary": "Accept"})
        notes = [*asked.notes, *map(_ignored, planned.unsupported)]
        for note in notes[:MAX_NOTES]:
            headers.add("Warning", f'299 vna "{note}"')
        if more:
            headers.add("Warning", '299 vna "There are additional results that can be requested"')
        return await _send(request, rows, model, headers)

    return handler


def _ignored(path: int) -> str:
    return f"{describe(path)} is not supported for matching at this level and was ignored"


async def _answers(
    request: web.Request,
    asked: Search,
    planned: PlannedQuery,
    addresses: Addresses,
    encode: Encode,
) -> tuple[list[bytes] | Rows, bool]:
    """Return the answers, encoded, and whether the query has more of them than it may return.

    Whether it has must be known before the first byte, for the Warning header: a short list is
    made whole, and is a list; for a long one the query is asked for what follows its limit.
    """
    archive, settings = request.app[ARCHIVE], request.app[SETTINGS]
    query = asked.query
    assert query.limit is not None, "every search has a limit"
    limit = query.limit

    def encoded(match: Match) -> bytes:
        return encode(_attributes(match, asked, addresses, settings))

    few = archive.at_once(planned)
    if few is not None:
        several = len(few) > ENCODED_AT_ONCE
        made = map(encoded, few[:limit])
        return await archive.run(list, made) if several else list(made), len(few) > limit
    every = map(encoded, archive.matches(planned))
    head, whole = await archive.run(_take, every)
    if whole or len(head) > limit:
        return head[:limit], len(head) > limit
    following = replace(query, offset=query.offset + limit, limit=1)
    more = await archive.run(lambda: next(archive.query(following), None) is not None)
    return islice(chain(head, every), limit), more


def _take(rows: Rows) -> tuple[list[bytes], bool]:
    """Return the first rows, and whether these are all: not if they are over HELD bytes."""
    taken: list[bytes] = []
    count = 0
    for row in rows:
        taken.append(row)
        count += len(row)
        if count > HELD:
            return taken, False
    return taken, True


def _attributes(
    match: Match, asked: Search, addresses: Addresses, settings: WebSettings
) -> Attributes:
    attributes: Attributes = {path: [] for path in asked.required} | match.attributes
    attributes[RETRIEVE_URL] = [_address(match, addresses)]
    if asked.query.returned is not None and RETRIEVE_AE_TITLE in asked.query.returned:
        attributes[RETRIEVE_AE_TITLE] = [settings.ae_title]
    return attributes


def _json(attributes: Attributes) -> bytes:
    return attributes_json_bytes(attributes)


def _xml(attributes: Attributes) -> bytes:
    return native_xml_of_json(attributes_json_bytes(attributes))


def _address(match: Match, addresses: Addresses) -> str:
    match match.level:
        case Level.STUDY:
            return addresses.study(match.study_uid)
        case Level.SERIES:
            return addresses.series(match.study_uid, match.series_uid)
        case _:
            return addresses.instance(match.study_uid, match.series_uid, match.sop_uid)


async def _send(
    request: web.Request, rows: list[bytes] | Rows, model: str, headers: CIMultiDict[str]
) -> web.StreamResponse:
    """Answer with a list in one write, asking no thread again; with an iterator as it is made."""
    if not rows and (request.app[SETTINGS].compat_204 or model == DICOM_XML):
        # A multipart message has one part at least: an empty one cannot be told from a broken one.
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=headers)
    content_type, pieces = model, _array(rows)
    if model == DICOM_XML:
        boundary = request.app[CLOCK].token(16).hex()
        writer = MultipartWriter(DICOM_XML, boundary, map(_xml_part, rows))
        content_type, pieces = writer.content_type, writer.pieces()
    if isinstance(rows, list):
        body = b"".join(pieces)
        return await send_items(request, [body], content_type=content_type, headers=headers)
    return await send(request, pieces, content_type=content_type, headers=headers)


def _array(rows: Iterable[bytes]) -> Iterator[Buffer]:
    opening = b"["
    for row in rows:
        yield opening + row
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def _xml_part(row: bytes) -> Part:
    return Part([("Content-Type", DICOM_XML)], lambda: iter([row]))
