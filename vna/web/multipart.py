"""multipart/related messages (RFC 2046 5.1, RFC 2387, PS3.18 8.6.1.2), read and written as streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vna.errors import Invalid

__all__ = ["Buffer", "Event", "MultipartReader", "MultipartWriter", "Part", "PartBegin", "PartEnd"]

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_HEADER_BYTES: Final = 16_384
"""Most that the headers of one part may take."""
MAX_PADDING: Final = 256
"""Most white space after a boundary; more of it is content."""
MAX_BOUNDARY: Final = 256
"""RFC 2046 allows 70 characters; some senders use more."""
MORE: Final = -1

HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins. Header names are lower case; of a repeated header the last one holds."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part that began last is complete."""


Event: TypeAlias = PartBegin | memoryview | PartEnd


class MultipartReader:
    """Takes a message apart as it arrives, in pieces of any size, holding at most a part's headers.

    Content is not copied, but for the few bytes at the end of a piece that may begin a boundary.

    Sans-I/O: `feed` every piece, then `close`. Tolerates a preamble, an epilogue, white space
    after boundaries, parts without headers, and messages whose lines end in LF alone (the first
    boundary line says which). Raises Invalid where the message is malformed or ends early.
    """

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
            raise Invalid("multipart: the boundary parameter is missing or not usable")
        self._dashes = b"--" + boundary.encode()
        self._delimiter = b""
        self._kept = b"\n"  # so that a boundary at the very start stands on a line of its own
        self._step: Callable[[bytes, int, list[Event]], int] = self._preamble
        self._parts = 0
        self._ended = False

    def feed(self, piece: Buffer) -> list[Event]:
        """Return what `piece` completes: parts' beginnings, runs of their content, their ends."""
        if self._ended:
            return []
        data = self._kept + piece if self._kept else bytes(piece)
        events: list[Event] = []
        position = 0
        while not self._ended:
            step = self._step
            before = position
            position = step(data, position, events)
            if position == before and self._step == step:
                break
        self._kept = b"" if self._ended else data[position:]
        return events

    def close(self) -> None:
        """Say that the message ends here. Raises Invalid when its closing boundary has not come."""
        if self._ended:
            return
        if self._parts:
            raise Invalid(f"multipart: the message ends inside part {self._parts}")
        raise Invalid("multipart: the boundary does not occur in the message")

    def _preamble(self, data: bytes, position: int, _events: list[Event]) -> int:
        return self._until(b"\n" + self._dashes, data, position, None)

    def _body(self, data: bytes, position: int, events: list[Event]) -> int:
        return self._until(self._delimiter, data, position, events)

    def _until(
        self, delimiter: bytes, data: bytes, position: int, events: list[Event] | None
    ) -> int:
        """Go to the next delimiter; what is passed is content when there are `events` to take it."""
        search = position
        while (found := data.find(delimiter, search)) >= 0:
            after = self._line(data, found + len(delimiter))
            if after is not None:
                break
            search = found + 1
        else:
            found, after = max(position, _begun(data, delimiter)), MORE
        if events is not None and found > position:
            events.append(memoryview(data)[position:found])
        if after == MORE:
            return found
        if events is not None:
            events.append(PartEnd())
        return self._next_part(after)

    def _next_part(self, after: int) -> int:
        if not self._ended:
            self._parts += 1
            self._step = self._headers
        return after

    def _line(self, data: bytes, position: int) -> int | None:
        """Return where the line after a boundary ends, MORE when more must come to tell.

        None: this is no boundary line. Sets `_ended` at the closing boundary, and the delimiter
        by the end of the first boundary line.
        """
        head = data[position : position + MAX_PADDING + 1]
        if head[:2] == b"--":
            self._ended = True
            return position + 2
        end = head.find(b"\n")
        line = head if end < 0 else head[:end]
        if line.strip(b" \t\r") or b"\r" in line[:-1].rstrip(b" \t"):
            return MORE if head == b"-" else None
        if end < 0:
            return None if len(head) > MAX_PADDING else MORE
        crlf = line.endswith(b"\r")
        if not self._delimiter:
            self._delimiter = (b"\r\n" if crlf else b"\n") + self._dashes
        return position + end + 1

    def _headers(self, data: bytes, position: int, events: list[Event]) -> int:
        """Read a part's header lines up to the blank one."""
        start = position
        lines: list[bytes] = []
        while (end := data.find(b"\n", position)) >= 0:
            line = data[position:end].removesuffix(b"\r")
            position = end + 1
            if position - start > MAX_HEADER_BYTES:
                break
            if not line:
                events.append(PartBegin(self._parsed(lines)))
                self._step = self._first
                return position
            if line[:1] in b" \t" and lines:
                lines[-1] += b" " + line.strip()
            else:
                lines.append(line)
        if len(data) - start > MAX_HEADER_BYTES:
            raise Invalid(
                f"multipart: the headers of part {self._parts} exceed {MAX_HEADER_BYTES} bytes"
            )
        return start

    def _parsed(self, lines: Iterable[bytes]) -> dict[str, str]:
        headers = {}
        for line in lines:
            match = HEADER.fullmatch(line)
            if match is None:
                raise Invalid(f"multipart: part {self._parts} has a line that is no header")
            headers[match[1].decode().lower()] = match[2].strip().decode("latin-1")
        return headers

    def _first(self, data: bytes, position: int, events: list[Event]) -> int:
        """See whether the content is empty, with the blank line's end doubling as the delimiter's."""
        head = data[position : position + len(self._dashes)]
        if head == self._dashes:
            after = self._line(data, position + len(self._dashes))
            if after == MORE:
                return position
            if after is not None:
                events.append(PartEnd())
                return self._next_part(after)
        elif len(head) < len(self._dashes) and self._dashes.startswith(head):
            return position
        self._step = self._body
        return position


def _begun(data: bytes, delimiter: bytes) -> int:
    """Return where a delimiter begins that the next piece may end; the end of `data` if none does."""
    at = max(len(data) - len(delimiter) + 1, 0)
    while (at := data.find(delimiter[:1], at)) >= 0:
        if delimiter.startswith(data[at:]):
            return at
        at += 1
    return len(data)


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be written: its headers, its bytes when asked for, and their number if known."""

    headers: Sequence[tuple[str, str]]
    pieces: Callable[[], Iterator[Buffer]]
    length: int | None = None


class MultipartWriter:
    """A multipart/related message of `parts`, all of media type `media_type`.

    Parts that come from a generator can be written, but not measured before.
    """

    def __init__(self, media_type: str, boundary: str, parts: Iterable[Part] = ()) -> None:
        self.content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
        self._boundary = boundary.encode()
        self._parts = parts

    @property
    def length(self) -> int | None:
        """Bytes of the whole message; None when a part's length is not known before it is read."""
        if not isinstance(self._parts, Sequence):
            return None
        total = len(self.closing())
        for part in self._parts:
            if part.length is None:
                return None
            total += len(self.opening(part.headers)) + part.length + 2
        return total

    def pieces(self) -> Iterator[Buffer]:
        """Yield the message. Reads one part at a time, and none before it is its turn."""
        for part in self._parts:
            yield self.opening(part.headers)
            yield from part.pieces()
            yield b"\r\n"
        yield self.closing()

    def opening(self, headers: Iterable[tuple[str, str]]) -> bytes:
        """Return what comes before a part's bytes; CRLF follows them."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return b"--" + self._boundary + b"\r\n" + lines.encode("latin-1") + b"\r\n"

    def closing(self) -> bytes:
        """Return what comes after the last part."""
        return b"--" + self._boundary + b"--\r\n"
