"""What an association may be used for: who may have one, and which contexts, roles and options.

Storage contexts take the first transfer syntax that the proposer lists and this archive stores
(which is each of PS3.6 table A-1): proposers list what they would rather send first, an object
kept in its own transfer syntax is never changed, and a context with one transfer syntax, as
senders of compressed objects propose, leaves no choice anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pydicom.config import disable_value_validation
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from vna.dicom import uids
from vna.dimse.pdu import (
    APPLICATION_CONTEXT,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    ProposedContext,
    UserInformation,
)
from vna.dimse.settings import DimseSettings

__all__ = [
    "FIND",
    "GET",
    "MOVE",
    "VERIFICATION",
    "Context",
    "FindOptions",
    "Negotiated",
    "negotiate",
]

VERIFICATION: Final = "1.2.840.10008.1.1"
PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1."
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2."
FIND: Final = frozenset({PATIENT_ROOT + "1", STUDY_ROOT + "1"})
MOVE: Final = frozenset({PATIENT_ROOT + "2", STUDY_ROOT + "2"})
GET: Final = frozenset({PATIENT_ROOT + "3", STUDY_ROOT + "3"})

PLAIN_SYNTAXES: Final = frozenset(
    {
        uids.IMPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_LITTLE_ENDIAN,
        uids.EXPLICIT_VR_BIG_ENDIAN,
    }
)
"""Transfer syntaxes of contexts whose data sets are identifiers."""

MAX_WINDOW: Final = 16
"""Operations that one association may have under way (PS3.7 D.3.3.3); each holds memory."""

SMALLEST_PDU: Final = 8
"""Bytes of the shortest P-DATA-TF, as maximum lengths count: fragments are even (PS3.8 E.2)."""

STORAGE_ROOT: Final = "1.2.840.10008.5.1.4.1.1."
DICOM_ROOT: Final = "1.2.840.10008."

REJECT_APPLICATION_CONTEXT: Final = AssociateReject(1, 1, 2)
REJECT_CALLING_AE: Final = AssociateReject(1, 1, 3)
REJECT_CALLED_AE: Final = AssociateReject(1, 1, 7)
REJECT_LOCAL_LIMIT: Final = AssociateReject(2, 3, 2)

STORAGE_SUPPORT: Final = bytes((2, 0, 3, 0, 0, 0))
"""PS3.4 B.3.1: level 2 (full) storage, signature level 3 (bit preserving), no coercion."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context; `scp` and `scu` are our roles in it."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    scp: bool = True
    scu: bool = False


@dataclass(frozen=True, slots=True)
class FindOptions:
    """What extended negotiation (PS3.4 C.5.1.1) turned on for a C-FIND SOP class."""

    relational: bool = False
    combined_datetime: bool = False
    fuzzy: bool = False


@dataclass(frozen=True, slots=True)
class Negotiated:
    """An accepted association."""

    calling_ae: str
    accept: AssociateAccept
    contexts: dict[int, Context]
    max_pdu_length: int
    find: dict[str, FindOptions] = field(default_factory=dict)

    @property
    def window(self) -> int:
        """How many operations the requestor may have under way."""
        return (self.accept.user.window or (1, 1))[0]

    @property
    def sub_operations(self) -> int:
        """How many C-STOREs of a C-GET the requestor performs at once."""
        return (self.accept.user.window or (1, 1))[1]


def negotiate(request: AssociateRequest, settings: DimseSettings) -> Negotiated | AssociateReject:
    """Return what an association request is answered with (PS3.8 7.1.1, PS3.7 D.3)."""
    if request.application_context != APPLICATION_CONTEXT:
        return REJECT_APPLICATION_CONTEXT
    called, calling = request.called_ae, request.calling_ae
    if not called or (settings.check_called_ae and called != settings.ae_title):
        return REJECT_CALLED_AE
    if not calling or (not settings.accept_unknown_callers and settings.remote(calling) is None):
        return REJECT_CALLING_AE
    contexts: dict[int, Context] = {}
    results: list[ContextResult] = []
    roles: dict[str, tuple[bool, bool]] = {}
    for proposed in request.contexts:
        answer, role = _context(proposed, request.user.roles, settings)
        transfer_syntax = str(answer.transfer_syntax[0])
        results.append(ContextResult(proposed.id, answer.result or 0, transfer_syntax))
        if answer.result == 0:
            contexts[proposed.id] = Context(
                proposed.id,
                proposed.abstract_syntax,
                transfer_syntax,
                scp=bool(answer.as_scp),
                scu=bool(answer.as_scu),
            )
            if role is not None:
                roles[proposed.abstract_syntax] = role
    extended, find = _extended(request.user.extended, contexts)
    user = UserInformation(
        max_pdu_length=settings.max_pdu_length_bytes,
        window=_window(request.user.window),
        roles=roles,
        extended=extended,
    )
    accept = AssociateAccept(called, calling, tuple(results), user)
    return Negotiated(calling, accept, contexts, request.user.max_pdu_length, find)


def _window(proposed: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return how many operations the requestor may invoke, and perform, at once; 0 is any number."""
    if proposed is None:
        return None
    invoked, performed = (min(number or MAX_WINDOW, MAX_WINDOW) for number in proposed)
    return invoked, performed


def is_storage(sop_class: str, settings: DimseSettings) -> bool:
    """Return whether C-STORE of a SOP class is taken."""
    if sop_class in uids.STORAGE_CLASSES or sop_class in settings.extra_sop_classes:
        return True
    return settings.store_private_sop_classes and (
        not sop_class.startswith(DICOM_ROOT)
        or (sop_class.startswith(STORAGE_ROOT) and sop_class not in uids.NON_PATIENT)
    )


def _context(
    proposed: ProposedContext, roles: dict[str, tuple[bool, bool]], settings: DimseSettings
) -> tuple[PresentationContext, tuple[bool, bool] | None]:
    """Return pynetdicom's result for one context, and the role selection to answer with.

    One at a time, as pynetdicom prefers the acceptor's order of transfer syntaxes: ours is made
    from the proposer's.
    """
    storage = is_storage(proposed.abstract_syntax, settings)
    if storage:
        known = uids.TRANSFER_SYNTAXES
        taken = [
            ts
            for ts in proposed.transfer_syntaxes
            if ts in known or ts in settings.extra_transfer_syntaxes
        ]
    else:
        taken = [ts for ts in proposed.transfer_syntaxes if ts in PLAIN_SYNTAXES]
    with disable_value_validation():  # an odd UID is refused by name, not warned of
        return _compared(proposed, taken, roles, storage=storage)


def _compared(
    proposed: ProposedContext,
    taken: list[str],
    roles: dict[str, tuple[bool, bool]],
    *,
    storage: bool,
) -> tuple[PresentationContext, tuple[bool, bool] | None]:
    asked = PresentationContext()
    asked.context_id = proposed.id
    asked.abstract_syntax = proposed.abstract_syntax
    asked.transfer_syntax = list(proposed.transfer_syntaxes)
    supported = []
    if storage or proposed.abstract_syntax in {VERIFICATION, *FIND, *MOVE, *GET}:
        ours = PresentationContext()
        ours.abstract_syntax = proposed.abstract_syntax
        ours.transfer_syntax = list(taken)
        if storage:
            ours.scu_role = ours.scp_role = True
        supported.append(ours)
    results, selected = negotiate_as_acceptor(
        [asked], supported, {UID(uid): role for uid, role in roles.items()}
    )
    role = next(((bool(one.scu_role), bool(one.scp_role)) for one in selected), None)
    return results[0], role


def _extended(
    asked: dict[str, bytes], contexts: dict[int, Context]
) -> tuple[dict[str, bytes], dict[str, FindOptions]]:
    """Return the application information to answer with, and what it turns on, by SOP class."""
    answers: dict[str, bytes] = {}
    find: dict[str, FindOptions] = {}
    for sop_class in {context.abstract_syntax for context in contexts.values()} & asked.keys():
        information = asked[sop_class]
        if sop_class in FIND:
            relational, combined, fuzzy = ((information + bytes(3))[at] == 1 for at in range(3))
            find[sop_class] = FindOptions(relational, combined, fuzzy)
            answers[sop_class] = bytes((relational, combined, fuzzy, 0, 0))[
                : max(len(information), 1)
            ]
        elif sop_class in MOVE or sop_class in GET:
            answers[sop_class] = bytes(max(len(information), 1))  # no relational retrieval
        elif sop_class != VERIFICATION:
            answers[sop_class] = STORAGE_SUPPORT
    return answers, find
