"""Which priors are worth having at hand: facts of studies and rules in, an ordered choice out.

Pure. What is not known of a study excludes nothing: to fetch one study too many costs less than to
have a reader wait for one. But where there are more than `at_most`, those that are known to fit
come before those that may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from vna.dicom.patterns import text_test
from vna.workflow.anatomy import regions_named

__all__ = ["SAME", "Choice", "PrefetchRule", "StudyFacts", "choose_priors", "folded"]

DAY_NS = 86_400 * 10**9
SAME = "same"
"""In a rule: as that of the study that arrives."""


@dataclass(frozen=True, slots=True)
class PrefetchRule:
    """Priors that matter to a study, or to one that is expected.

    It holds for studies of `modalities`, of `body_parts`, from `stations`, whose `procedure` fits a
    pattern with `*` and `?`; empty is any. Relevant are priors of `prior_modalities`,
    `prior_body_parts` and `prior_procedure` ("same": that of the study; empty: any), received or
    made in the last `newer_than_days` (0: whenever), the newest `at_most` of them. They are sent to
    the application entity `send_to`, if there is one.
    """

    name: str
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    procedure: str = ""
    stations: tuple[str, ...] = ()
    prior_modalities: tuple[str, ...] = ()
    prior_body_parts: tuple[str, ...] = (SAME,)
    prior_procedure: str = ""
    at_most: int = 3
    newer_than_days: float = 0.0
    send_to: str = ""


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What rules look at; an empty set is not known.

    `made` is Study Date and Time, or when it was received, in ns since 1970. `body_parts` are
    regions (`vna.workflow.anatomy`), `procedures` descriptions and codes as `folded` gives them.
    """

    study_uid: str = ""
    made: int = 0
    modalities: frozenset[str] = field(default_factory=frozenset)
    body_parts: frozenset[str] = field(default_factory=frozenset)
    procedures: frozenset[str] = field(default_factory=frozenset)
    stations: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Choice:
    """A prior that was chosen: by which rule, why, and to which AE titles it is sent."""

    study_uid: str
    made: int
    rule: str
    reason: str
    send_to: tuple[str, ...] = ()


def folded(text: str) -> str:
    """Return a description as it is compared: upper case, single spaces."""
    return " ".join(text.upper().split())


def choose_priors(
    arriving: StudyFacts,
    candidates: Iterable[StudyFacts],
    rules: Sequence[PrefetchRule],
    now: int,
) -> list[Choice]:
    """Return the priors of one patient that rules choose at `now` (ns since 1970), the newest first.

    `candidates` are the patient's studies; the arriving one and those of a later day are none. Of
    several rules that choose a study the first gives the reason; it is sent wherever one says.
    """
    before = [
        each
        for each in candidates
        if each.study_uid != arriving.study_uid and each.made // DAY_NS <= arriving.made // DAY_NS
    ]
    before.sort(key=lambda each: (-each.made, each.study_uid))
    chosen: dict[str, Choice] = {}
    for rule in rules:
        if not _holds(rule, arriving):
            continue
        fits = ((prior, _fit(rule, arriving, prior, now)) for prior in before)
        found = [(prior, fit) for prior, fit in fits if fit is not None]
        found.sort(key=lambda each: not each[1].sure)  # stable: the newest of each first
        for prior, fit in found[: rule.at_most]:
            first = chosen.get(prior.study_uid) or Choice(
                prior.study_uid, prior.made, rule.name, fit.reason
            )
            titles = dict.fromkeys([*first.send_to, *filter(None, [rule.send_to])])
            chosen[prior.study_uid] = Choice(
                first.study_uid, first.made, first.rule, first.reason, tuple(titles)
            )
    return sorted(chosen.values(), key=lambda each: (-each.made, each.study_uid))


@dataclass(frozen=True, slots=True)
class _Fit:
    sure: bool
    reason: str


def _holds(rule: PrefetchRule, arriving: StudyFacts) -> bool:
    """Say whether a rule is for a study; what is not known of it may be."""
    verdicts = (
        _meets(rule.modalities, arriving.modalities),
        _meets(_regions(rule.body_parts), arriving.body_parts),
        _meets(rule.stations, arriving.stations),
        _reads(rule.procedure, arriving.procedures),
    )
    return False not in verdicts


def _fit(rule: PrefetchRule, arriving: StudyFacts, prior: StudyFacts, now: int) -> _Fit | None:
    """Return how a prior fits a rule, None where it does not."""
    if rule.newer_than_days and now - prior.made > rule.newer_than_days * DAY_NS:
        return None
    asked = {
        "modality": (
            rule.prior_modalities,
            prior.modalities,
            _meets(rule.prior_modalities, prior.modalities, arriving.modalities),
        ),
        "body part": (
            rule.prior_body_parts,
            prior.body_parts,
            _meets(_regions(rule.prior_body_parts), prior.body_parts, arriving.body_parts),
        ),
        "procedure": (
            rule.prior_procedure,
            prior.procedures,
            _reads(rule.prior_procedure, prior.procedures, arriving.procedures),
        ),
    }
    verdicts = [verdict for _, _, verdict in asked.values()]
    if False in verdicts:
        return None
    reasons = [
        f"{what} {'/'.join(sorted(known))}" if verdict else f"{what} perhaps"
        for what, (wanted, known, verdict) in asked.items()
        if wanted
    ]
    return _Fit(None not in verdicts, ", ".join(reasons) or "any prior")


def _meets(
    wanted: Collection[str], known: frozenset[str], arriving: frozenset[str] = frozenset()
) -> bool | None:
    """Say whether what is known of a study has something wanted; None where that is not known."""
    if not wanted:
        return True
    accepted = (set(wanted) - {SAME}) | (arriving if SAME in wanted else set())
    if not known.isdisjoint(accepted):
        return True
    return None if not known or (SAME in wanted and not arriving) else False


def _reads(
    pattern: str, known: frozenset[str], arriving: frozenset[str] = frozenset()
) -> bool | None:
    """Say whether a description or code fits a pattern; None where there is none."""
    if pattern == SAME:
        return _meets((SAME,), known, arriving)
    if not pattern:
        return True
    return any(map(text_test(folded(pattern)), known)) if known else None


def _regions(terms: Sequence[str]) -> frozenset[str]:
    """Return terms of a rule as regions."""
    same = frozenset({SAME}) if SAME in terms else frozenset[str]()
    return same | regions_named(term for term in terms if term != SAME)
