"""How the pixels of an instance lie, from what the index knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vna.dicom.paths import parse_path
from vna.types import FrameKind, Geometry

if TYPE_CHECKING:
    from vna.types import Attributes, Version

_ROWS: Final = parse_path("Rows").key
_COLUMNS: Final = parse_path("Columns").key
_BITS: Final = parse_path("BitsAllocated").key
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"


def geometry_of(instance: Attributes, version: Version) -> Geometry | None:
    """Return how samples lie in the blob of hole `version.frames.hole`, the pixel data.

    None where that is encapsulated or deflated, or its samples are not 8 or 16 bits wide and
    little-endian. Samples per pixel follow from the size of a frame; where planes lie apart
    (Planar Configuration 1) the codec sees that for itself.
    """
    frames = version.frames
    if frames is None or frames.kind != FrameKind.NATIVE or version.deflated:
        return None
    rows, columns, bits = (_number(instance, key) for key in (_ROWS, _COLUMNS, _BITS))
    if bits not in {8, 16} or not (0 < rows < 1 << 16 and 0 < columns < 1 << 16):
        return None
    if bits == 16 and version.transfer_syntax == _BIG_ENDIAN:
        return None
    samples, rest = divmod(frames.frame_bits, rows * columns * bits)
    if rest or not 1 <= samples <= 4:
        return None
    return Geometry(columns=columns, sample_bytes=bits // 8, pixel_samples=samples)


def _number(instance: Attributes, key: int) -> int:
    """Return the first value of an attribute as a number, 0 where it has none."""
    values = instance.get(key)
    return values[0] if values and isinstance(values[0], int) else 0
