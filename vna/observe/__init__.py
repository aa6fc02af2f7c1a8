"""Logs and metrics, with labels only: a data set can never reach a log line or a metric by type.

Rooms log with `logging.getLogger(__name__)`; a message is made of fixed words and of labels
(UIDs, AE titles, counts, reasons). `start_logging` is called once by each process.

Glossary
    metric     a number with a name, one row of the table `vna.observe.metrics`
    label      what tells the series of one metric apart; its values stand in the table
    row        the part of the shared memory in which one process counts
    reading    a number of the whole archive, looked up when somebody asks
"""

from vna.observe.exposition import CONTENT_TYPE, Readings, exposition, metrics_page
from vna.observe.log import LogSettings, log_line, start_logging
from vna.observe.registry import Reading

__all__ = [
    "CONTENT_TYPE",
    "LogSettings",
    "Reading",
    "Readings",
    "exposition",
    "log_line",
    "metrics_page",
    "start_logging",
]
