"""Multipart bodies: cut anywhere, the same parts or the same refusal, and little is held.

The first byte of an input says into how large pieces the body is cut, the second how many bytes
of what follows are the boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

from fuzzing import Target

from vna.errors import Invalid
from vna.web.multipart import MAX_BOUNDARY, MultipartReader, MultipartWriter, Part

Parts = list[tuple[dict[str, str], bytes, bool]]
"""Headers, content and whether it ended, of each part."""
MOST_HELD = 16_384 + 256 + MAX_BOUNDARY + 16
"""A part's headers, or a boundary line with the blanks behind it."""


class Multiparts(Target):
    name = "multiparts"

    def seeds(self) -> list[bytes]:
        header = ("Content-Type", "application/dicom")
        contents = [b"DICM" * 100, b"", b"--limit", b"\r\n--limi\r\n--limi", bytes(2000)]
        written = _written([Part([header], lambda c=c: iter([c]), len(c)) for c in contents])
        bodies = [
            written,
            written.replace(b"\r\n", b"\n"),
            b"a preamble\r\n" + written + b"an epilogue",
            written.replace(b"--limit\r", b"--limit \t \r"),
            _written([Part([header] * 50, lambda: iter([b"x"]), 1)]),
        ]
        return [bytes([piece, 5]) + b"limit" + body for piece in (1, 13, 255) for body in bodies]

    def check(self, data: bytes) -> None:
        piece, length = [*data[:2], 1, 1][:2]
        boundary, body = data[2 : 2 + length].decode("latin-1"), data[2 + length :]
        whole = _read(boundary, body, max(len(body), 1))
        assert _read(boundary, body, max(piece, 1)) == whole
        if whole is not None:
            self._round_trip(whole)

    def _round_trip(self, parts: Parts) -> None:
        """What was read can be written, and reads the same."""
        boundary = "a-boundary-that-no-content-has"
        if any(boundary.encode() in content for _, content, _ in parts):
            return
        written = _written(
            [
                Part(list(headers.items()), lambda c=content: iter([c]))
                for headers, content, _ in parts
            ],
            boundary,
        )
        assert _read(boundary, written, max(len(written), 1)) == parts


def _written(parts: Sequence[Part], boundary: str = "limit") -> bytes:
    writer = MultipartWriter("application/dicom", boundary, parts)
    written = b"".join(writer.pieces())
    assert writer.length in (len(written), None)
    return written


def _read(boundary: str, body: bytes, size: int) -> Parts | None:
    """Return the parts of a body that comes in pieces; None where it is refused."""
    parts: Parts = []
    try:
        reader = MultipartReader(boundary)
        for at in range(0, len(body), size):
            for event in reader.feed(body[at : at + size]):
                match event:
                    case dict() as headers:
                        assert not parts or parts[-1][2]
                        parts.append((headers, b"", False))
                    case None:
                        parts[-1] = (*parts[-1][:2], True)
                    case content:
                        headers, so_far, ended = parts[-1]
                        assert not ended
                        parts[-1] = (headers, so_far + content, False)
            assert reader.kept <= MOST_HELD
        reader.close()
    except Invalid as error:
        assert str(error)
        return None
    assert all(ended for _, _, ended in parts)
    return parts
