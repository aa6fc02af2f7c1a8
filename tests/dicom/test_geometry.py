"""How pixels lie, from the index."""

import msgspec
import pytest

from vna.dicom.geometry import geometry_of
from vna.types import FrameKind, Frames, Geometry, Version

ROWS, COLUMNS, BITS = 0x00280010, 0x00280011, 0x00280100
LITTLE, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def version(bits=512 * 400 * 16, kind=FrameKind.NATIVE, syntax=LITTLE, *, deflated=False):
    frames = Frames(int(kind), 0, 1, bits, b"", None)
    return Version(
        stamp=1,
        digest=b"",
        transfer_syntax=syntax,
        length=0,
        header=b"",
        prefix=0,
        holes=[],
        frames=frames,
        deflated=deflated,
        source="",
        problem="",
    )


def attributes(rows=400, columns=512, bits=16):
    return {ROWS: [rows], COLUMNS: [columns], BITS: [bits]}


def test_samples_per_pixel_follow_from_the_frame():
    assert geometry_of(attributes(), version()) == Geometry(512, 2, 1)
    assert geometry_of(attributes(bits=8), version(512 * 400 * 24)) == Geometry(512, 1, 3)
    assert geometry_of(attributes(bits=8), version(512 * 400 * 8, syntax=BIG)) == Geometry(
        512, 1, 1
    )


@pytest.mark.parametrize(
    ("instance", "stored"),
    [
        (attributes(), version(kind=FrameKind.ENCAPSULATED)),
        (attributes(), msgspec.structs.replace(version(), frames=None)),
        (attributes(), version(deflated=True)),
        (attributes(), version(syntax=BIG)),
        (attributes(bits=1), version(512 * 400)),
        (attributes(bits=32), version(512 * 400 * 32)),
        (attributes(rows=0), version()),
        (attributes(columns=70_000), version()),
        (attributes(), version(512 * 400 * 16 + 8)),
        (attributes(), version(512 * 400 * 16 * 5)),
        ({ROWS: [], COLUMNS: ["512"]}, version()),
    ],
)
def test_what_no_codec_predicts_has_none(instance, stored):
    assert geometry_of(instance, stored) is None
