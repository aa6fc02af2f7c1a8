"""A log line is one line, made of labels only."""

import io
import json
import logging
import os
import re
import sys
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from vna.observe import LogSettings, log_line, start_logging


@pytest.fixture
def logger():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield logging.getLogger("vna.test")
    root.handlers[:], _ = before
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)


def test_text_line(logger, capsys):
    start_logging(LogSettings(), "worker-1")
    logger.info("stored sop=%s bytes=%d from=%s", "1.2.3", 42, Path("/a"))
    logger.debug("not at this level")
    (line,) = capsys.readouterr().err.splitlines()
    stamp, rest = line.split(" ", 1)
    assert rest == "INFO worker-1 vna.test: stored sop=1.2.3 bytes=42 from=/a"
    assert stamp.endswith("Z")


def test_json_line_with_error(logger, capsys):
    start_logging(LogSettings(level="warning", form="json"), "supervisor")
    logger.info("not at this level")
    try:
        raise ValueError("because")
    except ValueError:
        logger.exception("failed count=%d", 3)
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert event["level"] == "error"
    assert event["process"] == "supervisor"
    assert event["message"] == "failed count=3"
    assert "ValueError: because" in event["error"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_data_set_cannot_reach_the_log(logger, capsys, form):
    patient = Dataset()
    patient.PatientName = "Secret^Name"
    start_logging(LogSettings(form=form), "p")
    logger.warning("odd %s %s %s", patient, [patient.PatientName], b"Secret")
    logger.warning("odd %(it)s", {"it": patient})
    written = capsys.readouterr().err
    assert "Secret" not in written
    assert "<Dataset> <list> <bytes>" in written


def test_a_label_cannot_pass_for_a_second_line(logger, capsys):
    start_logging(LogSettings(), "p")
    logger.warning("called by %s", "AE\n2026-01-01T00:00:00.000Z INFO p vna: forged")
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_said_of_every_request_looks_like_all_else(logger, capsys, form):
    start_logging(LogSettings(form=form), "p")
    for say in (logger.info, lambda message: log_line(logger, message)):
        say("GET /studies 200\n2026-01-01T00:00:00.000Z INFO p vna: forged")
    first, second = (
        re.sub(r"2\d{3}-.{18}Z", "*", line, count=1)
        for line in capsys.readouterr().err.splitlines()
    )
    assert first == second
    assert "*" in first


def test_it_heeds_levels_and_other_handlers(logger, capsys, caplog):
    start_logging(LogSettings(level="warning"), "p")
    log_line(logger, "not at this level")
    start_logging(LogSettings(), "p")
    logging.getLogger().addHandler(caplog.handler)
    log_line(logger, "100 %s")
    assert caplog.messages == ["100 %s"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("100 %s")


def test_a_line_that_cannot_be_written_fails_nobody(logger, monkeypatch):
    start_logging(LogSettings(), "p")
    (handler,) = logging.getLogger().handlers
    failed = []
    monkeypatch.setattr(handler, "stream", io.StringIO())
    monkeypatch.setattr(handler, "handleError", failed.append)
    handler.stream.close()
    log_line(logger, "nobody reads this")
    assert [record.getMessage() for record in failed] == ["nobody reads this"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_name_that_is_no_text_loses_no_line(logger, monkeypatch, form):
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), errors=sys.__stderr__.errors))
    start_logging(LogSettings(form=form), "p")
    name = os.fsdecode(b"/in/M\xfcller.dcm")
    logger.warning("skipped %s", Path(name))
    log_line(logger, f"called by {name}")
    try:
        raise ValueError(name)
    except ValueError:
        logger.exception("failed")
    lines = sys.stderr.buffer.getvalue().decode().splitlines()
    if form == "json":
        lines = [json.loads(line) for line in lines]
        assert lines[2].pop("error").endswith("/in/M\\udcfcller.dcm")
        lines = [line["message"] for line in lines]
    assert lines[0].endswith("skipped /in/M\\udcfcller.dcm")
    assert lines[1].endswith("called by /in/M\\udcfcller.dcm")
