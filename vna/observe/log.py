"""One line per event to standard error: text for people, JSON for collectors."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import msgspec

__all__ = ["LogSettings", "log_line", "start_logging"]

LABELS = (str, int, float, type(None), BaseException, PurePath)
"""What may stand in a log line. Anything else shows as its type's name: data sets, bytes, lists."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How much is logged, and how a line looks."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    form: Literal["text", "json"] = "text"


def start_logging(settings: LogSettings, process: str) -> None:
    """Send this process's log to standard error; `process` names it in each line."""
    handler = LineHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(process) if settings.form == "json" else TextFormatter(process)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    # Libraries log what passes through them; only their warnings are wanted.
    for library in ("pydicom", "pynetdicom", "aiohttp", "asyncio"):
        logging.getLogger(library).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)
    # No line shows these, and they cost each line a walk up the stack and three look-ups.
    logging._srcfile = None  # noqa: SLF001  # the switch that logging documents
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def log_line(logger: logging.Logger, message: str) -> None:
    """Log a message of labels alone, at INFO: what `logger.info` does, in a fifth of its steps.

    For what is said of every request. Only the handlers of the root are asked.
    """
    if logger.isEnabledFor(logging.INFO):
        match logging.root.handlers:
            case [LineHandler() as handler]:
                handler.line(logger.name, message)
            case _:
                logger.info(message)


class LineHandler(logging.StreamHandler):  # type: ignore[type-arg]  # takes no argument at run time
    """Writes what is logged, with labels only; with fewer steps a line than the handler it is made of."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record, and return that it was."""
        only_labels(record)
        self.acquire()
        try:
            self.emit(record)
        finally:
            self.release()
        return True

    def line(self, logger: str, message: str) -> None:
        """Write what is said at INFO, of labels alone."""
        assert isinstance(self.formatter, TextFormatter), "as `start_logging` made it"
        text = self.formatter.line(time.time(), "INFO", logger, message)
        self.acquire()
        try:
            self.stream.write(f"{text}{self.terminator}")
            self.flush()
        except Exception:  # noqa: BLE001  # loop boundary: what failed to be logged is served
            self.handleError(logging.makeLogRecord({"name": logger, "msg": message}))
        finally:
            self.release()

    def flush(self) -> None:
        """Have the line leave; its writer has the lock."""
        self.stream.flush()


def only_labels(record: logging.LogRecord) -> None:
    """Replace arguments that are not labels by the names of their types."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            [arg if isinstance(arg, LABELS) else _label(arg) for arg in record.args]
        )
    elif isinstance(record.args, Mapping):
        record.args = {name: _label(value) for name, value in record.args.items()}


def _label(value: object) -> object:
    return value if isinstance(value, LABELS) else f"<{type(value).__name__}>"


class TextFormatter(logging.Formatter):
    """`2025-01-31T10:20:30.123Z INFO worker-1 vna.dimse: message`."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self, process: str) -> None:
        super().__init__("%(asctime)s")  # the time is used; `formatMessage` makes the line
        self._process = process
        self._second = 0, ""

    def line(self, created: float, level: str, logger: str, message: str) -> str:
        """Return the line of a message; a line break in a label cannot pass for another line."""
        front = f"{self._time(created)} {level} {self._process} {logger}"
        return f"{front}: {message}".replace("\n", "\\n")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802, ARG002
        """Return when it was."""
        return self._time(record.created)

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as it is written."""
        if record.exc_info or record.exc_text or record.stack_info:
            return super().format(record)
        return self.line(record.created, record.levelname, record.name, record.getMessage())

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Return the line that stands before a traceback."""
        return self.line(record.created, record.levelname, record.name, record.message)

    def _time(self, created: float) -> str:
        """Return a time as it is written; the text of a second is made once."""
        second = int(created)
        known, text = self._second
        if second != known:
            text = time.strftime(self.default_time_format, time.gmtime(second))
            self._second = second, text
        return f"{text}.{int((created - second) * 1000):03d}Z"


class JsonFormatter(TextFormatter):
    """One JSON object per line: time, level, process, logger, message, and error where there is one."""

    def line(self, created: float, level: str, logger: str, message: str, **more: str) -> str:
        """Return a message as one line of JSON, with `more` of it behind.

        Bytes of a name that are no text are spelled out, as standard error does it for text.
        """
        front = {"time": self._time(created), "level": level.lower(), "process": self._process}
        event = {**front, "logger": logger, "message": message, **more}
        try:
            return msgspec.json.encode(event).decode()
        except UnicodeEncodeError:
            return msgspec.json.encode(
                {name: _text(value) for name, value in event.items()}
            ).decode()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        error = {"error": self.formatException(record.exc_info)} if record.exc_info else {}
        message = record.getMessage()
        return self.line(record.created, record.levelname, record.name, message, **error)


def _text(value: str) -> str:
    return value.encode(errors="backslashreplace").decode()
