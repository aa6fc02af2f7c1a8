"""Which media type carries which transfer syntax (PS3.18 8.7.3, tables 8.7.3-2, -4 and -5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, OCTET_STREAM, transfer_syntax

__all__ = ["DICOM", "DICOM_JSON", "DICOM_XML", "Coding", "coding_of", "is_lossy"]

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
DICOM_XML: Final = "application/dicom+xml"

ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"

DEFAULTS: Final = frozenset(
    f"1.2.840.10008.1.2.{last}"
    for last in (
        *("4.70", "4.80", "4.90", "4.92", "4.110", "4.201", "5"),
        *("4.100", "4.102", "4.107"),
    )
)
"""Rows "D" of table 8.7.3-5: what their media type means without a transfer-syntax parameter."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How pixel data leaves without its data set.

    `implied`: its media type without a transfer-syntax parameter may mean this transfer syntax,
    as the type's default or because the pixels may exist in this lossy form only (8.7.3.3).
    """

    media_type: str
    transfer_syntax: str
    implied: bool


NATIVE: Final = Coding(OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN, implied=True)


@lru_cache(maxsize=256)
def coding_of(stored: str) -> Coding:
    """Return how pixel data stored in transfer syntax `stored` is labelled.

    Uncompressed pixel data leaves as little endian octets, however its data set is encoded
    (8.7.3.3.1). What has no media type of its own leaves as octets under its transfer syntax.
    """
    syntax = transfer_syntax(stored)
    if syntax is None or stored == ENCAPSULATED_UNCOMPRESSED or not syntax.encapsulated:
        return NATIVE
    implied = stored in DEFAULTS or (syntax.lossy and syntax.media_type != OCTET_STREAM)
    return Coding(syntax.media_type, stored, implied)


def is_lossy(stored: str) -> bool:
    """Return whether objects of a transfer syntax may exist in lossy compressed form only."""
    syntax = transfer_syntax(stored)
    return syntax is not None and syntax.lossy
