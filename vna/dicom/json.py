"""DICOM JSON (PS3.18 F) of indexed attributes, for query answers."""

from __future__ import annotations

from vna import _native
from vna.types import Attributes

__all__ = ["attributes_json_bytes"]


def attributes_json_bytes(attributes: Attributes) -> bytes:
    """Return the DICOM JSON model of `attributes` as UTF-8, ordered by tag.

    Sequences are put together again from their path keys. The index runs items together: where
    all attributes of a sequence that have values have as many, as a scan makes them, value n goes
    to item n; where the numbers differ, an item of its own holds what cannot be told apart. A
    decimal string that spells no number stays a string (PS3.18 F.2.3).
    """
    return _native.attributes_json(attributes)
