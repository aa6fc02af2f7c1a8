"""What is decided about objects once they are kept: a pure plan first, then the archive executes it.

It follows the archive's feed and asks the archive, and declares what else it needs as ports, into
which `app` plugs what it has.

Glossary
    policy      which series are to be on which tier
    watermark   how full a tier may be
    facts       what a policy knows of a series and of a tier, and a rule of a study
    plan        the moves that policies ask for at a moment
    following   planning and moving, again and again
    prior       an earlier study of the same patient
    rule        which studies want which of their priors at hand
    region      a coarse part of the body, to which terms and words of descriptions are brought
    order       a study that is expected
    backlog     priors that are to be recalled or sent
    trace       what arrived and was read, or might be
    setup       tiers, policies and rules that a trace is replayed against
    outcome     what came of it
"""

from vna.workflow.following import TieringSettings, follow_plan, follow_policies, planned_moves
from vna.workflow.orders import Order, Orders
from vna.workflow.prefetch import Prefetch, PrefetchingSettings, Send, priors_of_order
from vna.workflow.priors import SAME, Choice, PrefetchRule, StudyFacts, choose_priors
from vna.workflow.simulation import (
    FIGURES,
    Arrival,
    Outcome,
    Read,
    Setup,
    SimulatedTier,
    Trace,
    log_trace,
    read_trace,
    replay,
    simulation_page,
    synthetic_year,
)
from vna.workflow.tiering import PlannedMove, PolicySettings, Since, plan

__all__ = [
    "FIGURES",
    "SAME",
    "Arrival",
    "Choice",
    "Order",
    "Orders",
    "Outcome",
    "PlannedMove",
    "PolicySettings",
    "Prefetch",
    "PrefetchRule",
    "PrefetchingSettings",
    "Read",
    "Send",
    "Setup",
    "SimulatedTier",
    "Since",
    "StudyFacts",
    "TieringSettings",
    "Trace",
    "choose_priors",
    "follow_plan",
    "follow_policies",
    "log_trace",
    "plan",
    "planned_moves",
    "priors_of_order",
    "read_trace",
    "replay",
    "simulation_page",
    "synthetic_year",
]
