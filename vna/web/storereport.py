"""What became of each instance of a STOW-RS request, and how it is told (PS3.18 10.5.3, Annex I)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from vna.errors import (
    Busy,
    Conflict,
    Corrupt,
    Denied,
    Full,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
    VnaError,
)
from vna.web.addresses import Addresses
from vna.web.problems import TooLarge, status_of

__all__ = ["FAILURE_REASON", "Fate", "failure_reason", "overall_status", "report"]

FAILURE_REASON: Final[Mapping[type[VnaError], int]] = {
    Full: 0xA700,
    Busy: 0xA700,
    Unavailable: 0xA700,
    Conflict: 0xA900,
    Invalid: 0xC000,
    Unsupported: 0x0122,
    Denied: 0x0124,
    NotFound: 0x0110,
    Corrupt: 0x0110,
    VnaError: 0x0110,
}
"""Failure Reason (0008,1197) of a refusal: of the nearest of the error's classes that stands here."""

DOES_NOT_MATCH_SOP_CLASS: Final = 0xB007
"""Warning Reason of an object that is kept as it came, though its data set is broken further on."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one part: stored (perhaps with a warning), or refused with an error.

    UIDs are empty where the part did not tell them.
    """

    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    warning: str = ""
    error: VnaError | None = None


def failure_reason(error: VnaError) -> int:
    """Return the Failure Reason that tells of `error`."""
    return next(FAILURE_REASON[kind] for kind in type(error).__mro__ if kind in FAILURE_REASON)


def overall_status(fates: Sequence[Fate]) -> HTTPStatus:
    """Return the status of the whole request (10.5.3.1).

    200: all stored; 202: some refused, or stored with a warning; none stored: 409, unless every
    one was refused for want of space (507), for load (503) or for size (413).
    """
    errors = [fate.error for fate in fates if fate.error is not None]
    if len(errors) < len(fates):
        clean = not errors and not any(fate.warning for fate in fates)
        return HTTPStatus.OK if clean else HTTPStatus.ACCEPTED
    for kind in (Full, Busy, Unavailable, TooLarge):
        if errors and all(isinstance(error, kind) for error in errors):
            return status_of(errors[0])
    return HTTPStatus.CONFLICT


def report(fates: Sequence[Fate], study_uid: str | None, addresses: Addresses) -> dict[str, Any]:
    """Return the Store Instances Response Module as a data set of the DICOM JSON model (Annex I)."""
    stored = [_stored(fate, addresses) for fate in fates if fate.error is None]
    failed = [_failed(fate, fate.error) for fate in fates if fate.error and fate.sop_uid]
    others = [_reason(fate.error) for fate in fates if fate.error and not fate.sop_uid]
    studies = {fate.study_uid for fate in fates if fate.error is None}
    if study_uid is not None:
        studies.add(study_uid)
    module: dict[str, Any] = {}
    if len(studies) == 1:
        module["00081190"] = _element("UR", addresses.study(studies.pop()))
    if failed:
        module["00081198"] = {"vr": "SQ", "Value": failed}
    if stored:
        module["00081199"] = {"vr": "SQ", "Value": stored}
    if others:
        module["0008119A"] = {"vr": "SQ", "Value": others}
    return module


def _stored(fate: Fate, addresses: Addresses) -> dict[str, Any]:
    item = {
        "00081150": _element("UI", fate.sop_class),
        "00081155": _element("UI", fate.sop_uid),
        "00081190": _element(
            "UR", addresses.instance(fate.study_uid, fate.series_uid, fate.sop_uid)
        ),
    }
    if fate.warning:
        item["00081196"] = _element("US", DOES_NOT_MATCH_SOP_CLASS)
    return dict(sorted(item.items()))


def _failed(fate: Fate, error: VnaError) -> dict[str, Any]:
    return {
        "00081150": _element("UI", fate.sop_class),
        "00081155": _element("UI", fate.sop_uid),
        **_reason(error),
    }


def _reason(error: VnaError) -> dict[str, Any]:
    return {"00081197": _element("US", failure_reason(error))}


def _element(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value != "" else {"vr": vr}
