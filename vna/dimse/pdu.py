"""Upper layer PDUs (PS3.8 9.3) as plain values: bytes in, values out, and back. No I/O.

pynetdicom parses and builds A-ASSOCIATE; P-DATA-TF, where the volume is, belongs to the native core
(`Deframer`, `pdata`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.config import disable_value_validation
from pynetdicom import pdu as wire
from pynetdicom import pdu_items as items

from vna._native import ProtocolError
from vna.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = [
    "Abort",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "ContextResult",
    "PduType",
    "ProposedContext",
    "decode_accept",
    "decode_request",
    "encode_accept",
    "encode_request",
]

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
MAX_ITEMS: Final = 16_384
"""Items of an A-ASSOCIATE PDU; twice what 128 contexts with every transfer syntax have. Each takes
10 us of the event loop, and is read before anybody knows who asks."""
INSIDE: Final = {0x20: 8, 0x21: 8, 0x50: 4}
"""Where the items within one begin, by its type: presentation contexts, user information."""
RELEASE_REQUEST: Final = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"
RELEASE_REPLY: Final = b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"

TITLES: Final = slice(10, 42)
"""Where the called AE title is, and the calling one behind it, each of 16 bytes."""

_TITLE = re.compile(rb"[ -\[\]-~]+")
"""What an AE title may consist of (PS3.5 6.2)."""

_DECODE_ERRORS: Final = (
    ValueError,  # includes UnicodeError
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
"""What pynetdicom raises on bytes that are not what they should be."""


class PduType:
    """PDU types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ: Final = 1
    ASSOCIATE_AC: Final = 2
    ASSOCIATE_RJ: Final = 3
    DATA: Final = 4
    RELEASE_RQ: Final = 5
    RELEASE_RP: Final = 6
    ABORT: Final = 7


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """A presentation context as proposed: transfer syntaxes in the proposer's order."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The answer to a proposed context: result 0 accepted, 1 to 4 refused (PS3.8 table 9-18)."""

    id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class UserInformation:
    """User information items (PS3.7 D.3.3), the same in request and answer.

    `window` is (operations invoked, operations performed). `roles` maps a SOP class to the
    requestor's (SCU, SCP). `extended` maps a SOP class to its application information.
    """

    max_pdu_length: int = 0
    implementation_class: str = IMPLEMENTATION_CLASS_UID
    implementation_version: str = IMPLEMENTATION_VERSION_NAME
    window: tuple[int, int] | None = None
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2). An AE title is empty where what came is none."""

    called_ae: str
    calling_ae: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """A-ASSOCIATE-AC (PS3.8 9.3.3); the AE titles repeat the request's."""

    called_ae: str
    calling_ae: str
    contexts: tuple[ContextResult, ...]
    user: UserInformation

    @property
    def accepted(self) -> frozenset[int]:
        """Ids of the accepted contexts."""
        return frozenset(context.id for context in self.contexts if context.result == 0)


@dataclass(frozen=True, slots=True)
class AssociateReject:
    """A-ASSOCIATE-RJ (PS3.8 9.3.4): result 1 permanent, 2 transient; source and reason, table 9-21."""

    result: int
    source: int
    reason: int

    def encode(self) -> bytes:
        """Return the PDU."""
        return struct.pack(
            ">BxIxBBB", PduType.ASSOCIATE_RJ, 4, self.result, self.source, self.reason
        )


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 9.3.8): source 0 service user, 2 service provider; reason, table 9-26."""

    source: int
    reason: int

    def encode(self) -> bytes:
        """Return the PDU."""
        return struct.pack(">BxIxxBB", PduType.ABORT, 4, self.source, self.reason)


def decode_reject(pdu: bytes) -> AssociateReject:
    """Read an A-ASSOCIATE-RJ. Raises ProtocolError."""
    if len(pdu) != 10:
        raise ProtocolError("A-ASSOCIATE-RJ of wrong length")
    return AssociateReject(*pdu[7:10])


def decode_abort(pdu: bytes) -> Abort:
    """Read an A-ABORT; one that is cut short still aborts."""
    return Abort(*pdu[8:10]) if len(pdu) == 10 else Abort(2, 0)


def decode_request(pdu: bytes) -> AssociateRequest:
    """Read an A-ASSOCIATE-RQ. Raises ProtocolError where it cannot be read."""
    try:
        parsed = wire.A_ASSOCIATE_RQ()
        titles = pdu[TITLES]
        # pynetdicom would fail on one that is none, which is to be rejected, and log it as it is.
        _decode(parsed, pdu[: TITLES.start] + b"-" * len(titles) + pdu[TITLES.stop :])
        contexts = tuple(
            ProposedContext(
                item.presentation_context_id or 0,
                str(item.abstract_syntax or ""),
                tuple(map(str, item.transfer_syntax)),
            )
            for item in parsed.presentation_context
        )
        _check_contexts(contexts)
        return AssociateRequest(
            _title(titles[:16]),
            _title(titles[16:]),
            contexts,
            _user_information(parsed.user_information),
            str(parsed.application_context_name),
        )
    except _DECODE_ERRORS as error:
        raise ProtocolError(f"A-ASSOCIATE-RQ cannot be read: {error}") from error


def _title(raw: bytes) -> str:
    """Return an AE title; empty where it is blanks alone, or has other characters than it may."""
    raw = raw.strip()
    return raw.decode("ascii") if _TITLE.fullmatch(raw) else ""


def decode_accept(pdu: bytes) -> AssociateAccept:
    """Read an A-ASSOCIATE-AC. Raises ProtocolError where it cannot be read."""
    try:
        parsed = wire.A_ASSOCIATE_AC()
        _decode(parsed, pdu)
        contexts = tuple(
            ContextResult(
                item.presentation_context_id or 0, item.result or 0, str(item.transfer_syntax or "")
            )
            for item in parsed.presentation_context
        )
        return AssociateAccept(
            parsed.reserved_aet,
            parsed.reserved_aec,
            contexts,
            _user_information(parsed.user_information),
        )
    except _DECODE_ERRORS as error:
        raise ProtocolError(f"A-ASSOCIATE-AC cannot be read: {error}") from error


def encode_request(request: AssociateRequest) -> bytes:
    """Return an A-ASSOCIATE-RQ. A SOP class is that of an object, however odd."""
    with disable_value_validation():
        return _encode_request(request)


def _encode_request(request: AssociateRequest) -> bytes:
    pdu = wire.A_ASSOCIATE_RQ()
    pdu.called_ae_title = request.called_ae
    pdu.calling_ae_title = request.calling_ae
    contexts = []
    for context in request.contexts:
        proposed = items.PresentationContextItemRQ()
        proposed.presentation_context_id = context.id
        abstract = items.AbstractSyntaxSubItem()
        abstract.abstract_syntax_name = context.abstract_syntax
        proposed.abstract_transfer_syntax_sub_items = [
            abstract,
            *map(_transfer_syntax, context.transfer_syntaxes),
        ]
        contexts.append(proposed)
    pdu.variable_items = [_application_context(), *contexts, _encode_user(request.user)]
    return bytes(pdu.encode())


def encode_accept(accept: AssociateAccept) -> bytes:
    """Return an A-ASSOCIATE-AC. A refused context's transfer syntax is the peer's own, however odd."""
    with disable_value_validation():
        return _encode_accept(accept)


def _encode_accept(accept: AssociateAccept) -> bytes:
    pdu = wire.A_ASSOCIATE_AC()
    pdu.reserved_aet = accept.called_ae
    pdu.reserved_aec = accept.calling_ae
    contexts = []
    for context in accept.contexts:
        result = items.PresentationContextItemAC()
        result.presentation_context_id = context.id
        result.result_reason = context.result
        result.transfer_syntax_sub_item = [_transfer_syntax(context.transfer_syntax)]
        contexts.append(result)
    pdu.variable_items = [_application_context(), *contexts, _encode_user(accept.user)]
    return bytes(pdu.encode())


def _check_contexts(contexts: tuple[ProposedContext, ...]) -> None:
    """Raise ProtocolError unless ids are odd and differ, and each context is complete (PS3.8 9.3.2.2)."""
    if len({context.id for context in contexts}) < len(contexts):
        raise ProtocolError("two presentation contexts with the same id")
    for context in contexts:
        if (
            context.id % 2 == 0
            or not context.abstract_syntax
            or not all(context.transfer_syntaxes or ("",))
        ):
            raise ProtocolError(
                f"presentation context {context.id} is not complete, or its id not odd"
            )


def _decode(parsed: wire.PDU, pdu: bytes) -> None:
    with disable_value_validation():  # an odd UID is refused by name, not warned of
        parsed.decode(_known_items(pdu))


def _known_items(pdu: bytes) -> bytes:
    """Return an A-ASSOCIATE PDU without the items that PS3.8 9.3.1 says to ignore when unknown."""
    known = bytearray(pdu[:74])
    count = 0
    for kind, item in _items(pdu, 74):
        count += 1
        if kind in INSIDE:
            count += sum(1 for _ in _items(item, INSIDE[kind]))
        if count > MAX_ITEMS:
            raise ProtocolError(f"more than {MAX_ITEMS} items")
        if kind == 0x50:
            inner = b"".join(sub for sub_kind, sub in _items(item, 4) if 0x51 <= sub_kind <= 0x59)
            known += struct.pack(">BxH", kind, len(inner)) + inner
        elif kind in {0x10, 0x20, 0x21}:
            known += item
    return bytes(known)


def _items(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at : at + 4 + length]
        at += 4 + length


def _user_information(item: items.UserInformationItem | None) -> UserInformation:
    if item is None:
        raise ProtocolError("no user information item")
    window = item.async_ops_window
    return UserInformation(
        max_pdu_length=item.maximum_length or 0,
        implementation_class=str(item.implementation_class_uid or ""),
        implementation_version=item.implementation_version_name or "",
        window=None
        if window is None
        else (
            window.maximum_number_operations_invoked or 0,
            window.maximum_number_operations_performed or 0,
        ),
        roles={
            str(uid): (bool(role.scu_role), bool(role.scp_role))
            for uid, role in item.role_selection.items()
        },
        extended={
            str(ext.sop_class_uid): ext.service_class_application_information or b""
            for ext in item.ext_neg
        },
    )


def _encode_user(user: UserInformation) -> items.UserInformationItem:
    longest = items.MaximumLengthSubItem()
    longest.maximum_length_received = user.max_pdu_length
    implementation = items.ImplementationClassUIDSubItem()
    implementation.implementation_class_uid = user.implementation_class
    version = items.ImplementationVersionNameSubItem()
    version.implementation_version_name = user.implementation_version
    data: list[Any] = [longest, implementation, version]
    if user.window is not None:
        window = items.AsynchronousOperationsWindowSubItem()
        window.maximum_number_operations_invoked, window.maximum_number_operations_performed = (
            user.window
        )
        data.append(window)
    for uid, (scu, scp) in user.roles.items():
        role = items.SCP_SCU_RoleSelectionSubItem()
        role.sop_class_uid = uid
        role.scu_role, role.scp_role = int(scu), int(scp)
        data.append(role)
    for uid, information in user.extended.items():
        extended = items.SOPClassExtendedNegotiationSubItem()
        extended.sop_class_uid = uid
        extended.service_class_application_information = information
        data.append(extended)
    item = items.UserInformationItem()
    item.user_data = data
    return item


def _application_context() -> items.ApplicationContextItem:
    item = items.ApplicationContextItem()
    item.application_context_name = APPLICATION_CONTEXT
    return item


def _transfer_syntax(uid: str) -> items.TransferSyntaxSubItem:
    item = items.TransferSyntaxSubItem()
    item.transfer_syntax_name = uid
    return item
