"""DICOM JSON to the Native DICOM Model in XML (PS3.19 A.1), the other form of lists of data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from vna.dicom.paths import describe

__all__ = ["native_xml", "native_xml_of_json"]

HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
TAIL: Final = "</NativeDicomModel>"
COMPONENTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")

_JSON: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str)
"""Numbers with a point or an exponent stay as they are spelled: 1.50 is not 1.5."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0 has no way to write these characters at all."""


def native_xml(dataset: Mapping[str, Any]) -> bytes:
    """Return one data set of the DICOM JSON model, decoded, as an XML document in UTF-8.

    Characters that XML cannot carry become U+FFFD.
    """
    return "".join([HEAD, *_attributes(dataset), TAIL]).encode()


def native_xml_of_json(text: bytes) -> bytes:
    """Return `native_xml` of one data set of the DICOM JSON model in UTF-8, its decimals as they stand."""
    return native_xml(_JSON.decode(text))


def _attributes(dataset: Mapping[str, Any]) -> Iterator[str]:
    for tag, attribute in dataset.items():
        yield f"<DicomAttribute tag={quoteattr(tag)} vr={quoteattr(attribute['vr'])}"
        keyword = describe(int(tag, 16))
        if keyword != tag:
            yield f" keyword={quoteattr(keyword)}"
        creator = _private_creator(dataset, tag)
        if creator:
            yield f" privateCreator={quoteattr(_clean(creator))}"
        yield ">"
        yield from _content(attribute)
        yield "</DicomAttribute>"


def _private_creator(dataset: Mapping[str, Any], tag: str) -> str:
    """Return who reserved the block of a private element, or nothing."""
    if int(tag[:4], 16) % 2 == 0 or tag[4:6] == "00":
        return ""
    values: Sequence[Any] = dataset.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value", ())
    return str(values[0]) if values else ""


def _content(attribute: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in attribute:
        yield f"<BulkData uri={quoteattr(attribute['BulkDataURI'])}/>"
    elif "InlineBinary" in attribute:
        yield f"<InlineBinary>{attribute['InlineBinary']}</InlineBinary>"
    else:
        for number, value in enumerate(attribute.get("Value", ()), 1):
            yield from _value(attribute["vr"], number, value)


def _value(vr: str, number: int, value: Any) -> Iterator[str]:
    if vr == "SQ":
        yield f'<Item number="{number}">'
        yield from _attributes(value or {})
        yield "</Item>"
    elif value is None:
        return  # an empty value among others: its number is left out
    elif vr == "PN":
        yield f'<PersonName number="{number}">'
        for group in GROUPS:
            if value.get(group):
                yield f"<{group}>{_components(value[group])}</{group}>"
        yield "</PersonName>"
    else:
        yield f'<Value number="{number}">{escape(_clean(str(value)))}</Value>'


def _components(name: str) -> str:
    return "".join(
        f"<{component}>{escape(_clean(text))}</{component}>"
        for component, text in zip(COMPONENTS, name.split("^"), strict=False)
        if text
    )


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
