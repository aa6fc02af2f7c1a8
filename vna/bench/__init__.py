"""The bench: load on any DICOM server through its standard interfaces, and what it showed.

Glossary
    target     the server under measurement, an address; nothing of this project's own is asked of it
    scenario   one kind of load, a class in `vna.bench.scenarios`
    lane       one association or connection and what happens on it: a generator, run by a reactor
    worker     a process of the load generator, at most one per processor; each runs many lanes
    gate       where lanes wait, connected and ready, until the measurement begins
    template   an object encoded once, whose UIDs and a few values are overwritten in place
    stock      studies that a scenario finds stored
    tally      what a lane counted
    sample     one result of one server in one round of a comparison; figures, the medians of its rounds

Sending and receiving are made so cheap that the client is not what is measured: requests are built
before the start, bodies are counted in the kernel (MSG_TRUNC) and not copied. The client's processor
time is reported beside the server's.
"""

from vna.bench.comparison import Comparison, Figures, Goal, Sample, figures, machine
from vna.bench.material import prepare
from vna.bench.probe import Probe, Usage
from vna.bench.report import page
from vna.bench.run import Result, fill, measure
from vna.bench.scenarios import SCENARIOS
from vna.bench.stage import Load, Scenario
from vna.bench.stock import RUNS, STUDIES, Stock
from vna.bench.tally import Operations, timed
from vna.bench.target import Target
from vna.bench.templates import Template

__all__ = [
    "RUNS",
    "SCENARIOS",
    "STUDIES",
    "Comparison",
    "Figures",
    "Goal",
    "Load",
    "Operations",
    "Probe",
    "Result",
    "Sample",
    "Scenario",
    "Stock",
    "Target",
    "Template",
    "Usage",
    "figures",
    "fill",
    "machine",
    "measure",
    "page",
    "prepare",
    "timed",
]
