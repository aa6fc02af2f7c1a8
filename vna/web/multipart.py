"""multipart/related messages (RFC 2046 5.1, RFC 2387, PS3.18 8.6.1.2), read and written as streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vna._native import Multipart
from vna.errors import Invalid

__all__ = ["Buffer", "Event", "MultipartReader", "MultipartWriter", "Part"]

Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_BOUNDARY: Final = 256
"""RFC 2046 allows 70 characters; some senders use more."""

Event: TypeAlias = dict[str, str] | Buffer | None
"""A part's headers where it begins, a run of its content, None where it ends."""


class MultipartReader:
    """Takes a message apart as it arrives, in pieces of any size, holding at most a part's headers.

    Content is not copied, but for the few bytes at the end of a piece that may begin a boundary.

    Sans-I/O: `feed` every piece, then `close`. Tolerates a preamble, an epilogue, white space
    after boundaries, parts without headers, and messages whose lines end in LF alone (the first
    boundary line says which). Both raise Invalid where the message was malformed, when all before
    the fault has been returned; `close` also where the closing boundary has not come.
    """

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY or not boundary.isascii():
            raise Invalid("multipart: the boundary parameter is missing or not usable")
        self._parts = Multipart(boundary.encode())

    @property
    def kept(self) -> int:
        """Bytes that are held."""
        return self._parts.kept

    def feed(self, piece: Buffer) -> Sequence[Event]:
        """Return what `piece` completes. Header names are lower case; of a repeated header the last one holds."""
        try:
            return self._parts.feed(piece)
        except ValueError as error:
            raise Invalid(f"multipart: {error}") from error

    def close(self) -> None:
        """Say that the message ends here."""
        try:
            self._parts.close()
        except ValueError as error:
            raise Invalid(f"multipart: {error}") from error


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
        lines = "".join(map("%s: %s\r\n".__mod__, headers))
        return b"--" + self._boundary + b"\r\n" + lines.encode("latin-1") + b"\r\n"

    def ending(self) -> bytes:
        """Return what comes after the bytes of the last part."""
        return b"\r\n" + self.closing()

    def closing(self) -> bytes:
        """Return what comes after the last part."""
        return b"--" + self._boundary + b"--\r\n"
