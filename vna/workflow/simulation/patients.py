"""Patients and their studies as they arrive, and which priors rules choose for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vna.workflow.anatomy import regions_named
from vna.workflow.prefetch import PrefetchingSettings
from vna.workflow.priors import Choice, PrefetchRule, StudyFacts, choose_priors
from vna.workflow.simulation.trace import Arrival

__all__ = ["Patients"]

DAY_NS = 86_400 * 10**9


class Patients:
    """Who was here, with what; asks the rules once for each study that arrives."""

    def __init__(
        self,
        rules: Sequence[PrefetchRule],
        settings: PrefetchingSettings,
        known: Mapping[str, StudyFacts],
    ) -> None:
        """`known` are facts of studies that are known better than by their series."""
        self._rules = rules
        self._within = settings.arrived_within_days * DAY_NS
        self._known = known
        self._studies: dict[str, dict[str, StudyFacts]] = {}

    def keep(self, arrival: Arrival) -> list[Choice]:
        """Take note of a series; return the priors to have at hand if its study is new."""
        if not self._rules or not arrival.patient:
            return []
        studies = self._studies.setdefault(arrival.patient, {})
        new = arrival.study not in studies
        facts = self._known.get(arrival.study) or _joined(arrival, studies.get(arrival.study))
        studies[arrival.study] = facts
        if not new or (self._within and arrival.time - facts.made > self._within):
            return []
        return choose_priors(facts, studies.values(), self._rules, arrival.time)


def _joined(arrival: Arrival, before: StudyFacts | None) -> StudyFacts:
    """Return the facts of a study with one series more."""
    before = before or StudyFacts()
    same_day = arrival.study_date // DAY_NS == arrival.time // DAY_NS
    made = arrival.time if same_day or not arrival.study_date else arrival.study_date
    parts = regions_named([arrival.body_part]) if arrival.body_part else frozenset()
    return StudyFacts(
        arrival.study,
        before.made or made,
        before.modalities | _named(arrival.modality),
        before.body_parts | parts,
        stations=before.stations | _named(arrival.station),
    )


def _named(text: str) -> frozenset[str]:
    return frozenset([text]) if text else frozenset()
