"""Trying policies out: what would be where, and how long readers would wait, had they been in force.

trace      what arrives and what is read: of a file, of the archive's own log, or of a made-up year
setup      tiers with what they cost and how quick they are, policies, rules of prefetch
replay     a trace met by a setup, day by day, planned by the function that the daemon follows
outcome    what came of it
"""

from vna.workflow.simulation.hospital import synthetic_year
from vna.workflow.simulation.outcome import Outcome
from vna.workflow.simulation.page import FIGURES, simulation_page
from vna.workflow.simulation.replay import replay
from vna.workflow.simulation.setup import Setup, SimulatedTier
from vna.workflow.simulation.trace import Arrival, Read, Trace, log_trace, read_trace

__all__ = [
    "FIGURES",
    "Arrival",
    "Outcome",
    "Read",
    "Setup",
    "SimulatedTier",
    "Trace",
    "log_trace",
    "read_trace",
    "replay",
    "simulation_page",
    "synthetic_year",
]
