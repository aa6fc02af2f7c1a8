"""Logs, with labels only: a data set can never reach a log line by type.

Rooms log with `logging.getLogger(__name__)`; a message is made of fixed words and of labels
(UIDs, AE titles, counts, reasons). `start_logging` is called once by each process.
"""

from vna.observe.log import LogSettings, start_logging

__all__ = ["LogSettings", "start_logging"]
