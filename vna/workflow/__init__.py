"""What is decided about objects once they are kept: a pure plan first, then the archive executes it.

Glossary
    policy      which series are to be on which tier
    watermark   how full a tier may be
    facts       what a policy knows of a series, and of a tier
    plan        the moves that policies ask for at a moment
    following   planning and moving, again and again
"""

from vna.workflow.following import TieringSettings, follow_policies, planned_moves
from vna.workflow.tiering import PlannedMove, PolicySettings, Since, plan

__all__ = [
    "PlannedMove",
    "PolicySettings",
    "Since",
    "TieringSettings",
    "follow_policies",
    "plan",
    "planned_moves",
]
