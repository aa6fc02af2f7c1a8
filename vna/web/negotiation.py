"""What the client accepts, against what the archive can give (PS3.18 8.7.4 to 8.7.8).

The rules, where the standard leaves room or the archive cannot transcode yet:

* `?accept=` goes before the Accept header (8.7.8.1 steps 2 and 3); no Accept at all is `*/*`.
* `transfer-syntax=*` is as stored, whatever that is.
* A type named without transfer-syntax means that type's default (8.7.8.2 step 3): Explicit VR
  Little Endian for application/dicom and octets, the "D" rows of table 8.7.3-5 for images. What
  is stored otherwise needs transcoding: 406. Implicit VR Little Endian and Explicit VR Big Endian
  are no exception (8.7.3: "shall not be used"). An exception is made by 8.7.3.4: what exists in
  lossy form only is returned in that form, as application/dicom or as its own image or video type.
* A wildcard (`*/*`, `image/*`, multipart/related without type) is as stored: a media range covers
  every parameter of the types it covers (RFC 9110 12.5.1), and stored bytes are the best there are.
* A single-part type counts only where the answer is one item (10.4.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM
from vna.errors import Invalid
from vna.web.media import DICOM, DICOM_JSON, DICOM_XML, Coding, coding_of, is_lossy
from vna.web.problems import NotAcceptable

__all__ = [
    "Accepted",
    "Choice",
    "MediaRange",
    "accepted",
    "accepted_by",
    "choose_dicom",
    "choose_frames",
    "choose_model",
    "choose_pixels",
    "parse_media",
    "parse_media_ranges",
]

MULTIPART: Final = "multipart/related"
MAX_ACCEPT: Final = 8_192

# Unquoted values with a slash (type=application/dicom) are no tokens, but common. Quantifiers are
# possessive, so that no header makes the match go back over what it has read.
# "*" alone is none either: HttpURLConnection of Java has long said it unasked, for "*/*".
_TYPE = r"(?:[^\s;,\"/]++/[^\s;,\"/]++|\*(?=\s*+(?:[;,]|$)))"
_PAIR = r"([^\s;,=\"]++)\s*+=\s*+(\"(?:[^\"\\]|\\.)*+\"|[^\s;,\"]*+)"
_PARAMETER = re.compile(rf";\s*+{_PAIR}")
_RANGE = re.compile(rf"[\s,]*+({_TYPE})((?:\s*+;\s*+(?:{_PAIR})?+)*+)\s*+(?:,|$)")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """A media type or range, lower case, with its parameters; `quality` is taken out of them."""

    media: str
    parameters: Mapping[str, str]
    quality: float = 1.0

    @property
    def multipart(self) -> bool:
        """Whether it asks for multipart/related."""
        return self.media in (MULTIPART, "multipart/*")

    @property
    def item(self) -> str:
        """The range that each item must be in: `type` of a multipart range."""
        return self.parameters.get("type", "*/*").lower() if self.multipart else self.media

    @property
    def transfer_syntax(self) -> str | None:
        """The transfer-syntax asked for; "*" is as stored, None the type's default."""
        return self.parameters.get("transfer-syntax")

    @property
    def wild(self) -> bool:
        """Whether the items' range is a wildcard."""
        return self.item.endswith("*")

    def covers(self, media_type: str) -> bool:
        """Return whether an item of `media_type` is in the range."""
        item, media_type = self.item, media_type.lower()
        return item in ("*/*", "*", media_type) or (
            item.endswith("/*") and media_type.startswith(item[:-1])
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The form of an answer or of one of its parts; no transfer syntax for what has none."""

    media_type: str
    transfer_syntax: str
    multipart: bool

    @property
    def content_type(self) -> str:
        """The Content-Type of the part."""
        if not self.transfer_syntax:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax}"

    @property
    def form(self) -> str:
        """What tells this form of an answer from others, for entity tags."""
        return f"multipart {self.content_type}" if self.multipart else self.content_type


def parse_media_ranges(header: str) -> list[MediaRange]:
    """Return the media ranges of an Accept header (RFC 9110 12.5.1), in its order.

    Raises Invalid where the header is not made of media ranges.
    """
    if len(header) > MAX_ACCEPT:
        raise Invalid(f"Accept: longer than {MAX_ACCEPT} characters")
    header = header.rstrip(" \t,")
    ranges = []
    position = 0
    while position < len(header):
        match = _RANGE.match(header, position)
        if match is None:
            raise Invalid(f"Accept: no media range at character {position + 1}")
        parameters = {
            name.lower(): _unquoted(value) for name, value in _PARAMETER.findall(match[2])
        }
        quality = _quality(parameters.pop("q", "1"))
        media = "*/*" if match[1] == "*" else match[1].lower()
        ranges.append(MediaRange(media, parameters, quality))
        position = match.end()
    return ranges


@lru_cache(maxsize=256)  # parts of a body say the same, and so do clients
def parse_media(header: str) -> MediaRange:
    """Return the media type of a Content-Type header; Invalid unless it is exactly one."""
    ranges = parse_media_ranges(header)
    if len(ranges) != 1:
        raise Invalid("Content-Type: exactly one media type is needed")
    return ranges[0]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        quality = -1
    if not 0 <= quality <= 1:
        raise Invalid("Accept: q is a number from 0 to 1")
    return quality


class Accepted(tuple[MediaRange, ...]):
    """Media ranges, best first. Requests that say the same have the same one: it equals no other."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def accepted(request: web.BaseRequest) -> Accepted:
    """Return the media ranges that a request accepts."""
    header = ",".join(request.headers.getall("Accept", ()))
    return accepted_by(request.rel_url.raw_query_string, header)


@lru_cache(maxsize=256)  # a client asks for all that it wants in a few ways
def accepted_by(query_string: str, header: str) -> Accepted:
    """Return the media ranges that a query and an Accept header name."""
    query = [
        unquote(value)  # not "+" to space: media types have plus signs
        for name, _, value in (pair.partition("=") for pair in query_string.split("&"))
        if name == "accept"
    ]
    if not query and not header.strip():
        return Accepted([MediaRange("*/*", {})])
    ranges = _ordered(parse_media_ranges(",".join(query))) + _ordered(parse_media_ranges(header))
    return Accepted(ranges)


def _ordered(ranges: Iterable[MediaRange]) -> list[MediaRange]:
    """Return by quality, exact types before wildcards of the same quality; q=0 is not accepted."""
    usable = [media for media in ranges if media.quality > 0]
    return sorted(usable, key=lambda media: (-media.quality, media.wild, media.media == "*/*"))


@lru_cache(maxsize=256)
def choose_dicom(ranges: Accepted, stored: str, *, one: bool) -> Choice | None:
    """Return how an object stored in transfer syntax `stored` may leave as application/dicom.

    `one` allows the single-part form. None: only by transcoding, or not at all.
    """
    for media in ranges:
        single = not media.multipart and not media.wild
        if not media.covers(DICOM) or (single and not one):
            continue
        asked = media.transfer_syntax
        if asked is None:
            fits = media.wild or stored == EXPLICIT_VR_LITTLE_ENDIAN or is_lossy(stored)
        else:
            fits = asked in ("*", stored)
        if fits:
            return Choice(DICOM, stored, multipart=not single)
    return None


@lru_cache(maxsize=256)
def choose_frames(ranges: Accepted, stored: str, *, one: bool) -> Choice | None:
    """Return how frames stored in transfer syntax `stored` may leave; see `choose_dicom`."""
    return choose_pixels(ranges, coding_of(stored), one=one)


def choose_pixels(ranges: Accepted, coding: Coding, *, one: bool) -> Choice | None:
    """Return how frames of `coding` may leave; see `choose_dicom`."""
    for media in ranges:
        single = not media.multipart and not media.wild
        if single and not one:
            continue
        asked = media.transfer_syntax
        if media.covers(coding.media_type):
            fits = asked in ("*", coding.transfer_syntax) or (
                asked is None and (media.wild or coding.implied)
            )
            if fits:
                return Choice(coding.media_type, coding.transfer_syntax, multipart=not single)
        # Stored frames as plain octets, labelled with what they are: the convention of viewers.
        if media.item == OCTET_STREAM and asked in ("*", coding.transfer_syntax):
            return Choice(OCTET_STREAM, coding.transfer_syntax, multipart=not single)
    return None


def choose_model(request: web.BaseRequest) -> str:
    """Return DICOM_JSON or DICOM_XML for an answer that is a list of data sets (8.7.3.2).

    Plain application/json counts as DICOM JSON, and XML counts with and without multipart. Raises
    NotAcceptable.
    """
    for media in accepted(request):
        if not media.multipart and (media.covers(DICOM_JSON) or media.covers("application/json")):
            return DICOM_JSON
        if media.covers(DICOM_XML):
            return DICOM_XML
    raise NotAcceptable(
        f'data sets are listed as {DICOM_JSON} or as multipart/related; type="{DICOM_XML}"'
    )
