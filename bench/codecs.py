"""Lossless codecs on real pixels: ratio, and MB/s of raw pixels in and out, on one thread.

    pip install -e '.[bench,codecs]'; VNA_CORPUS=../shared/corpus python bench/codecs.py [WORD]

Each set, or each with WORD in its name, is encoded and decoded by every codec in turn, `ROUNDS`
times. Of each image and codec the best time counts, in CPU time: what else runs on the machine slows
a whole set, but seldom all rounds of an image. What is decoded is compared with what went in.
`imagecodecs` has the codecs of other formats. At the end stands which of the goals for 16-bit
grayscale hold.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import imagecodecs
import numpy as np
import pydicom
import zstandard
from pydicom.encaps import generate_frames

from vna._native import lanes_encode, roughness, weave_encode
from vna.bench.phantoms import phantoms
from vna.storage.codecs import CODECS as CODEC_OF
from vna.storage.codecs import LANES, RAW, ROUGH, encode_pixels
from vna.types import Geometry

CORPUS = Path(os.environ.get("VNA_CORPUS", Path(__file__).parents[2] / "shared/corpus"))
ROUNDS = 7

T = TypeVar("T")

SETS = {
    "CT head phantom, 10 of a series": ["dcm_qa_ct/In/Philips/S21610/S3010/*[0-9]"],
    "CT of people, 7 scanners": [
        "dcmqi/segmentations/ct-3slice/*.dcm",
        "dicompyler-core/ct.0.dcm",
        "libdicom/ct_brain_single.dcm",
        "dicomParser/CT1_UNC.explicit_little_endian.dcm",
        "cornerstone3D/CTImage.dcm",
        "pydicom-data/eCT_Supplemental.dcm",
    ],
    "MR T2, 10 of a series": ["FNNDSC-data/dicom/adi_brain/*"],
    "MR, others": [
        "dcm_qa_ts/1.dcm",
        "pydicom-data/MR-SIEMENS-DICOM-WithOverlays.dcm",
        "pydicom-data/MR2_J2KR.dcm",
    ],
    "CR (projection)": [
        "pylibjpeg-data/JPEG2000Lossless/NM_Kakadu44_SOTmarkerincons.dcm",
        "pylibjpeg-data/JPEG2000Lossless/RG3_J2KR.dcm",
        "pydicom-data/RG1_J2KI.dcm",
    ],
    "US, 8 bits": ["deid-data/ultrasounds/GREYSCALE_IMAGE.dcm", "pydicom-data/OBXXXX1A.dcm"],
    "RGB, US and slide": [
        "dicomParser/encapsulated/multi-frame/IM00001.implicit_little_endian.dcm",
        "pydicom-data/US1_UNCR.dcm",
        "wsi-to-dicom-converter/raw.dicom",
    ],
}


class Codec(NamedTuple):
    """What is stored is bytes, or one of the archive's chunks: the codec's id and its bytes."""

    name: str
    encode: Callable[[np.ndarray], object]
    decode: Callable[[object, np.ndarray], object]


def decoded(stored: tuple[int, bytes], image: np.ndarray) -> object:
    return CODEC_OF[stored[0]].decode(stored[1], image.nbytes)


def lanes(name: str, *, strong: bool) -> Codec:
    def encode(image: np.ndarray) -> tuple[int, bytes]:
        samples = image.shape[2] if image.ndim == 3 else 1
        data = memoryview(image).cast("B")
        coded = lanes_encode(data, image.shape[1], image.itemsize, samples, strong)
        return (RAW, bytes(data)) if coded is None else (LANES, coded)

    return Codec(name, encode, decoded)


def archived(name: str, *, strong: bool) -> Codec:
    """Return what the archive makes of pixels when they move to a tier."""

    def encode(image: np.ndarray) -> tuple[int, bytes]:
        samples = image.shape[2] if image.ndim == 3 else 1
        data = memoryview(image).cast("B")
        geometry = Geometry(image.shape[1], image.itemsize, samples)
        return encode_pixels(data, geometry, strong=strong) or (RAW, bytes(data))

    return Codec(name, encode, decoded)


def zstd(level: int) -> Codec:
    compressor = zstandard.ZstdCompressor(level=level)
    decompressor = zstandard.ZstdDecompressor()
    return Codec(
        f"zstd-{level}",
        lambda image: compressor.compress(memoryview(image).cast("B")),
        lambda stored, _: decompressor.decompress(stored),
    )


def unsigned(image: np.ndarray) -> np.ndarray:
    """Return signed samples moved up: CharLS and OpenJPEG's lossless modes want it."""
    return image.view("u2") ^ np.uint16(0x8000) if image.dtype.kind == "i" else image


CODECS = [
    Codec("raw", lambda image: image.tobytes(), lambda stored, _: bytes(bytearray(stored))),
    zstd(1),
    zstd(9),
    archived("fast", strong=False),
    archived("strong", strong=True),
    lanes("lanes, fast", strong=False),
    lanes("lanes, strong", strong=True),
    Codec(
        "JPEG-LS",
        lambda image: imagecodecs.jpegls_encode(unsigned(image)),
        lambda stored, _: imagecodecs.jpegls_decode(stored),
    ),
    Codec(
        "HTJ2K",
        lambda image: imagecodecs.htj2k_encode(image, reversible=True),
        lambda stored, _: imagecodecs.htj2k_decode(stored),
    ),
    Codec(
        "JPEG 2000",
        lambda image: imagecodecs.jpeg2k_encode(unsigned(image), reversible=True, numthreads=1),
        lambda stored, _: imagecodecs.jpeg2k_decode(stored, numthreads=1),
    ),
]


def images(path: Path | io.BytesIO) -> list[np.ndarray]:
    """Return up to 8 frames of a file."""
    ds = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    shape = (ds.Rows, ds.Columns, ds.SamplesPerPixel)[: 3 if ds.SamplesPerPixel > 1 else 2]
    if ds.file_meta.TransferSyntaxUID.is_compressed:
        frame = next(generate_frames(ds.PixelData, number_of_frames=1))
        return [np.ascontiguousarray(imagecodecs.jpeg2k_decode(frame))]
    kind = {8: "u1", 16: "<i2" if ds.PixelRepresentation else "<u2"}[ds.BitsAllocated]
    whole = np.frombuffer(ds.PixelData, kind)
    size = int(np.prod(shape))
    count = min(len(whole) // size, 8)
    return [whole[at * size : (at + 1) * size].reshape(shape).copy() for at in range(count)]


def load() -> dict[str, list[np.ndarray]]:
    """Return the images of every set."""
    sets = {}
    for name, patterns in SETS.items():
        paths = [path for pattern in patterns for path in sorted(CORPUS.glob(pattern))]
        step = max(len(paths) // 10, 1)
        sets[name] = [image for path in paths[::step][:10] for image in images(path)]
    volume = sorted(CORPUS.glob("dcm_qa_ct/In/Philips/S21610/S3010/*[0-9]"))
    stacked = [image for path in volume[20:28] for image in images(path)]
    sets["CT volume, 8 slices as one image"] = [np.concatenate(stacked)]
    for mix in ("CT", "DX"):
        made = [io.BytesIO(template.part10()) for template in phantoms(mix)]
        sets[f"bench phantom, {mix}"] = [image for file in made for image in images(file)]
    return sets


def check(codec: Codec, image: np.ndarray, back: object) -> None:
    """End with a word where what was decoded is not the image."""
    if isinstance(back, np.ndarray):
        same = np.array_equal(back, image) or np.array_equal(back, unsigned(image))
    else:
        same = back == image.tobytes()
    if not same:
        sys.exit(f"{codec.name} changed a pixel")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    begin = time.process_time()
    done = work()
    return time.process_time() - begin, done


def measure(image_set: list[np.ndarray]) -> dict[str, tuple[float, float, float]]:
    """Return of each codec: ratio, encode MB/s, decode MB/s. Says so and ends where bytes differ."""
    if not image_set:
        sys.exit(f"no images in {CORPUS}")
    raw = sum(image.nbytes for image in image_set)
    size = dict.fromkeys((codec.name for codec in CODECS), 0)
    best = {name: np.full((2, len(image_set)), np.inf) for name in size}
    for turn in range(ROUNDS):
        for codec in CODECS:
            encoded = [timed(partial(codec.encode, image)) for image in image_set]
            stored = [one for _, one in encoded]
            pairs = list(zip(stored, image_set, strict=True))
            decoded = [timed(partial(codec.decode, *pair)) for pair in pairs]
            times = [[seconds for seconds, _ in done] for done in (encoded, decoded)]
            best[codec.name] = np.minimum(best[codec.name], times)
            if turn == 0:
                chunks = (one[1] if isinstance(one, tuple) else one for one in stored)
                size[codec.name] = sum(map(len, chunks))
                for (_, back), image in zip(decoded, image_set, strict=True):
                    check(codec, image, back)
    found = {}
    for name, times in best.items():
        encode_s, decode_s = times.sum(axis=1)
        found[name] = raw / size[name], raw / encode_s / 1e6, raw / decode_s / 1e6
    return found


def choices(image_sets: Iterable[list[np.ndarray]]) -> Iterator[str]:
    """Yield what `strong` gives up by `weave`, and what it would, as rows of a table."""
    gains: dict[bool, list[float]] = {False: [], True: []}
    for image in itertools.chain.from_iterable(image_sets):
        data, columns = memoryview(image).cast("B"), image.shape[1]
        woven, laned = weave_encode(data, columns), lanes_encode(data, columns, 2, 1, True)
        if woven is not None and laned is not None:
            gains[roughness(data, columns) >= ROUGH].append(len(woven) / len(laned))
    for rough, found in gains.items():
        if found:
            name = f"{ROUGH:g} and more" if rough else f"below {ROUGH:g}"
            yield f"| {name} | {len(found)} | {min(found):.2f} to {max(found):.2f} |"


class Goal(NamedTuple):
    """What a form is to reach on 16-bit grayscale, in parts of HTJ2K's."""

    form: str
    measure: int
    least: float


MEASURES = ("ratio", "encode", "decode")
GOALS = [
    Goal("strong", 0, 1.0),
    Goal("strong", 1, 1.5),
    Goal("strong", 2, 3.0),
    Goal("fast", 0, 0.95),
    Goal("fast", 2, 4.0),
]


def judge(goal: Goal, found: dict[str, dict[str, tuple[float, ...]]]) -> str:
    """Return a line: the least and the greatest of all sets, and where the goal is missed."""
    parts = {
        name: rows[goal.form][goal.measure] / rows["HTJ2K"][goal.measure]
        for name, rows in found.items()
    }
    missed = [
        name
        for name, part in parts.items()
        # The phantom is not of people: less is asked of its ratio.
        if part
        < (min(goal.least, 0.95) if goal.measure == 0 and "phantom, " in name else goal.least)
    ]
    verdict = f"missed on {len(missed)} of {len(parts)}: {'; '.join(missed)}" if missed else "met"
    least, most = min(parts.values()), max(parts.values())
    return f"| {goal.form} | {MEASURES[goal.measure]} | {goal.least} | {least:.2f} to {most:.2f} | {verdict} |"


def main() -> None:
    warnings.simplefilter("ignore")
    print("| set | codec | ratio | encode MB/s | decode MB/s | to HTJ2K |")
    print("|---|---|---|---|---|---|")
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    found = {}
    image_sets = {name: images for name, images in load().items() if wanted in name}
    for name, image_set in image_sets.items():
        rows = measure(image_set)
        base = rows["HTJ2K"]
        for codec, row in rows.items():
            to = ", ".join(f"{one / other:.2f}" for one, other in zip(row, base, strict=True))
            ratio, encode, decode = row
            print(f"| {name} | {codec} | {ratio:.2f} | {encode:.0f} | {decode:.0f} | {to} |")
        if all(image.itemsize == 2 and image.ndim == 2 for image in image_set):
            found[name] = rows
    if found:
        print("\n| form | measure | goal | reached, to HTJ2K | |\n|---|---|---|---|---|")
        for goal in GOALS:
            print(judge(goal, found))
        print("\n| roughness | images | `weave` to `lanes, strong`, bytes |\n|---|---|---|")
        print(*choices(image_sets[name] for name in found), sep="\n")


if __name__ == "__main__":
    main()
