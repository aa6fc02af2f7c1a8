"""`vna prefetch`: priors of a patient at hand before somebody reads."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from vna.app import sender
from vna.archive import Archive
from vna.cli.exits import Exit
from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    Update,
    configure,
    open_archive,
    print_json,
    progress,
)
from vna.config import Config
from vna.errors import VnaError
from vna.workflow import Choice, Order, Orders, priors_of_order

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prefetch")(prefetch)


@dataclass(frozen=True, slots=True)
class Line:
    """A prior in the report: `state` is what became of it, `bytes` were recalled."""

    study_uid: str
    made: str
    rule: str
    reason: str
    send_to: Sequence[str]
    state: Literal["chosen", "ordered", "hot", "failed"]
    bytes: int = 0
    problem: str = ""


def prefetch(
    *,
    patient: Annotated[
        str | None, typer.Option("--patient", metavar="ID", help="Patient ID.")
    ] = None,
    issuer: Annotated[
        str, typer.Option("--issuer", metavar="NAME", help="Issuer of the Patient ID.")
    ] = "",
    study: Annotated[
        str | None,
        typer.Option(
            "--study", metavar="UID", help="A study in the archive, as if it arrived now."
        ),
    ] = None,
    modality: Annotated[
        str, typer.Option("--modality", metavar="CS", help="Modality of the study expected.")
    ] = "",
    body_part: Annotated[
        str, typer.Option("--body-part", metavar="CS", help="Its Body Part Examined.")
    ] = "",
    procedure: Annotated[
        str, typer.Option("--procedure", metavar="TEXT", help="Its description or procedure code.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is chosen and why, and do nothing.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Recall and send here and now, at full speed, not by the daemon."
        ),
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the priors of a patient made hot, as the [[prefetch]] tables choose them.

    For a study that is in the archive, or for one that is expected; what is not said of it excludes
    nothing. Works beside a running daemon, and leaves the work to it: to the next one, if none runs.
    Exits with 1 when a prior could not be recalled or sent.
    """
    if not patient and not study:
        raise typer.BadParameter("name --patient or --study")
    settings = configure(config, {"--data": data})
    if not settings.prefetches:
        raise typer.BadParameter("there is no [[prefetch]] table in the settings")
    if not settings.prefetching.rate_bytes_s and not wait and not dry_run:
        raise typer.BadParameter("[prefetching] rate_bytes_s is 0: the daemon recalls nothing")
    order = Order(
        patient_id=patient or "",
        issuer=issuer,
        study_uid=study or "",
        modality=modality,
        body_part=body_part,
        procedure=procedure,
    )
    with open_archive(settings, "prefetch") as archive:
        choices = priors_of_order(archive, settings.prefetches, order)
        if dry_run or not choices:
            lines = [_line(choice, "chosen") for choice in choices]
        elif wait:
            with progress("priors") as update:
                lines = _fetch(archive, settings, choices, update)
        else:
            Orders(settings.archive.data).leave(order)
            lines = [_line(choice, "ordered") for choice in choices]
    _report(lines, as_json=as_json)
    failed = any(line.state == "failed" for line in lines)
    raise typer.Exit(Exit.FOUND if failed else Exit.OK)


def _fetch(
    archive: Archive, config: Config, choices: Sequence[Choice], update: Update
) -> list[Line]:
    """Recall priors, the newest first, and send each to whom it is sent."""
    send = sender(archive, config.dimse, threading.Event())
    lines = []
    for number, choice in enumerate(choices):
        update(number, len(choices))
        try:
            size = archive.warm_cache(choice.study_uid)
            for title in choice.send_to:
                send(choice.study_uid, title)
        except VnaError as error:
            lines.append(_line(choice, "failed", problem=str(error)))
        else:
            lines.append(_line(choice, "hot", size))
    return lines


def _line(
    choice: Choice,
    state: Literal["chosen", "ordered", "hot", "failed"],
    size: int = 0,
    problem: str = "",
) -> Line:
    made = f"{datetime.fromtimestamp(choice.made // 10**9, UTC):%Y-%m-%d}"
    return Line(
        choice.study_uid, made, choice.rule, choice.reason, choice.send_to, state, size, problem
    )


def _report(lines: Sequence[Line], *, as_json: bool) -> None:
    if as_json:
        print_json({"priors": lines})
        return
    for line in lines:
        to = f", sent to {', '.join(line.send_to)}" if line.send_to else ""
        typer.echo(
            f"{line.state:8}{line.study_uid}  {line.made}  {line.bytes:>13,} bytes  "
            f"rule {line.rule}: {line.reason}{to}{': ' if line.problem else ''}{line.problem}"
        )
    typer.echo(f"{len(lines)} priors")
