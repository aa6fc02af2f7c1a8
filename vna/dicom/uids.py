"""Transfer syntaxes (PS3.6 table A-1) with what has to be known of each, and storage SOP classes.

An unknown UID, a private transfer syntax for instance, is not an error: `transfer_syntax` gives
None and the caller decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vna._native import is_uid
from vna.dicom import sop_classes
from vna.dicom.sop_classes import NON_PATIENT

__all__ = [
    "DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN",
    "EXPLICIT_VR_BIG_ENDIAN",
    "EXPLICIT_VR_LITTLE_ENDIAN",
    "IMPLICIT_VR_LITTLE_ENDIAN",
    "MEDIA_STORAGE_DIRECTORY",
    "NON_PATIENT",
    "OCTET_STREAM",
    "STORAGE_CLASSES",
    "TRANSFER_SYNTAXES",
    "TransferSyntax",
    "is_uid",
    "transfer_syntax",
    "uid_name",
]

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
OCTET_STREAM: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is written.

    `media_type` is that of its frames and pixel data in DICOMweb (PS3.18 tables 8.7.3-4 and -5).
    `lossy` means that the pixels may have lost something; the syntaxes that allow both count.
    """

    uid: str
    name: str
    explicit: bool = True
    big_endian: bool = False
    deflated: bool = False
    encapsulated: bool = False
    lossy: bool = False
    retired: bool = False
    media_type: str = OCTET_STREAM


def _native(uid: str, name: str, **properties: bool) -> TransferSyntax:
    return TransferSyntax(
        uid="1.2.840.10008.1" + uid, name=name, media_type=OCTET_STREAM, **properties
    )


def _coded(
    uid: str, name: str, media_type: str, *, lossy: bool = False, retired: bool = False
) -> TransferSyntax:
    return TransferSyntax(
        "1.2.840.10008.1.2." + uid,
        name,
        encapsulated=True,
        lossy=lossy,
        retired=retired,
        media_type=media_type,
    )


def _retired_jpeg(uid: str, process: str, *, lossy: bool = True) -> TransferSyntax:
    return _coded(uid, f"JPEG {process}", OCTET_STREAM, lossy=lossy, retired=True)


def _video(uid: str, name: str, media_type: str) -> list[TransferSyntax]:
    """Return a video syntax and its fragmentable form (PS3.5 A.4.5 to A.4.10)."""
    return [
        _coded(uid, name, media_type, lossy=True),
        _coded(f"{uid}.1", f"Fragmentable {name}", media_type, lossy=True),
    ]


_TABLE: Final[list[TransferSyntax]] = [
    _native(".2", "Implicit VR Little Endian", explicit=False),
    _native(".2.1", "Explicit VR Little Endian"),
    _native(".2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", encapsulated=True),
    _native(".2.1.99", "Deflated Explicit VR Little Endian", deflated=True),
    _native(".2.2", "Explicit VR Big Endian", big_endian=True, retired=True),
    _coded("4.50", "JPEG Baseline (Process 1)", "image/jpeg", lossy=True),
    _coded("4.51", "JPEG Extended (Process 2 and 4)", "image/jpeg", lossy=True),
    _retired_jpeg("4.52", "Extended (Process 3 and 5)"),
    _retired_jpeg("4.53", "Spectral Selection, Non-Hierarchical (Process 6 and 8)"),
    _retired_jpeg("4.54", "Spectral Selection, Non-Hierarchical (Process 7 and 9)"),
    _retired_jpeg("4.55", "Full Progression, Non-Hierarchical (Process 10 and 12)"),
    _retired_jpeg("4.56", "Full Progression, Non-Hierarchical (Process 11 and 13)"),
    _coded("4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", "image/jpeg"),
    _retired_jpeg("4.58", "Lossless, Non-Hierarchical (Process 15)", lossy=False),
    _retired_jpeg("4.59", "Extended, Hierarchical (Process 16 and 18)"),
    _retired_jpeg("4.60", "Extended, Hierarchical (Process 17 and 19)"),
    _retired_jpeg("4.61", "Spectral Selection, Hierarchical (Process 20 and 22)"),
    _retired_jpeg("4.62", "Spectral Selection, Hierarchical (Process 21 and 23)"),
    _retired_jpeg("4.63", "Full Progression, Hierarchical (Process 24 and 26)"),
    _retired_jpeg("4.64", "Full Progression, Hierarchical (Process 25 and 27)"),
    _retired_jpeg("4.65", "Lossless, Hierarchical (Process 28)", lossy=False),
    _retired_jpeg("4.66", "Lossless, Hierarchical (Process 29)", lossy=False),
    _coded(
        "4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        "image/jpeg",
    ),
    _coded("4.80", "JPEG-LS Lossless Image Compression", "image/jls"),
    _coded("4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", "image/jls", lossy=True),
    _coded("4.90", "JPEG 2000 Image Compression (Lossless Only)", "image/jp2"),
    _coded("4.91", "JPEG 2000 Image Compression", "image/jp2", lossy=True),
    _coded(
        "4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", "image/jpx"
    ),
    _coded("4.93", "JPEG 2000 Part 2 Multi-component Image Compression", "image/jpx", lossy=True),
    # The pixels of these are elsewhere, behind Pixel Data Provider URL (PS3.5 A.6, A.7, A.11, A.12).
    _native(".2.4.94", "JPIP Referenced", lossy=True),
    _native(".2.4.95", "JPIP Referenced Deflate", deflated=True, lossy=True),
    *_video("4.100", "MPEG2 Main Profile / Main Level", "video/mpeg"),
    *_video("4.101", "MPEG2 Main Profile / High Level", "video/mpeg"),
    *_video("4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", "video/mp4"),
    *_video("4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", "video/mp4"),
    *_video("4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", "video/mp4"),
    *_video("4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", "video/mp4"),
    *_video("4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", "video/mp4"),
    _coded("4.107", "HEVC/H.265 Main Profile / Level 5.1", "video/H265", lossy=True),
    _coded("4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", "video/H265", lossy=True),
    _coded("4.110", "JPEG XL Lossless", "image/jxl"),
    _coded("4.111", "JPEG XL JPEG Recompression", "image/jxl", lossy=True),
    _coded("4.112", "JPEG XL", "image/jxl", lossy=True),
    _coded("4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", "image/jphc"),
    _coded(
        "4.202",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        "image/jphc",
    ),
    _coded("4.203", "High-Throughput JPEG 2000 Image Compression", "image/jphc", lossy=True),
    _native(".2.4.204", "JPIP HTJ2K Referenced", lossy=True),
    _native(".2.4.205", "JPIP HTJ2K Referenced Deflate", deflated=True, lossy=True),
    _coded("5", "RLE Lossless", "image/dicom-rle"),
    _native(".2.6.1", "RFC 2557 MIME encapsulation", retired=True),
    _native(".2.6.2", "XML Encoding", retired=True),
    # Real-time video (PS3.22): frames flow beside the data set.
    _native(".2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video"),
    _native(".2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video"),
    _native(".2.7.3", "SMPTE ST 2110-30 PCM Digital Audio"),
    _coded("8.1", "Deflated Image Frame Compression", OCTET_STREAM),
    _native(".20", "Papyrus 3 Implicit VR Little Endian", explicit=False, retired=True),
]

TRANSFER_SYNTAXES: Final[Mapping[str, TransferSyntax]] = {syntax.uid: syntax for syntax in _TABLE}
"""Every transfer syntax of the standard, retired ones too, by UID."""

STORAGE_CLASSES: Final[Mapping[str, str]] = {**sop_classes.CURRENT, **sop_classes.RETIRED}
"""Name of every storage SOP class whose objects are filed under a patient's study, by UID."""

_NAMES: Final[dict[str, str]] = {
    **STORAGE_CLASSES,
    **NON_PATIENT,
    **{syntax.uid: syntax.name for syntax in _TABLE},
}


def transfer_syntax(uid: str) -> TransferSyntax | None:
    """Return what the standard says of a transfer syntax, or None where it does not know it."""
    return TRANSFER_SYNTAXES.get(uid)


def uid_name(uid: str) -> str:
    """Return the name of a transfer syntax or storage SOP class, or the UID itself."""
    return _NAMES.get(uid, uid)
