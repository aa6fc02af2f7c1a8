"""`vna versions`: what the archive keeps of instances, replaced and deleted ones included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from vna.archive import History
from vna.cli.options import (
    ConfigOption,
    DataOption,
    JsonOption,
    configure,
    open_archive,
    print_json,
)

__all__ = ["register"]


class Line(msgspec.Struct, frozen=True):
    """A version, as the report has it."""

    study: str
    series: str
    instance: str
    version: int
    time: str
    bytes: int
    transfer_syntax: str
    source: str
    current: bool
    deleted: str
    reason: str
    purged: str
    purge_reason: str


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("versions")(versions)


def versions(
    uid: Annotated[str, typer.Argument(metavar="UID", help="UID of an instance, series or study.")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of an instance, or of all in a series or study, deleted ones included.

    Each with its number, which `vna restore` takes, when it was stored (UTC), size, transfer
    syntax and source; newest first. What was purged is gone for good: its record alone is left.
    """
    with open_archive(configure(config, {"--data": data}), "versions") as archive:
        if as_json:
            found = [line for history in archive.histories(uid) for line in _lines(history)]
            print_json({"uid": uid, "versions": found})
        else:
            for history in archive.histories(uid):
                _print(history, _lines(history))


def _lines(history: History) -> list[Line]:
    return [
        Line(
            study=history.study_uid,
            series=history.series_uid,
            instance=history.sop_uid,
            version=version.stamp,
            time=_time(version.stamp),
            bytes=version.length,
            transfer_syntax=version.transfer_syntax,
            source=version.source,
            current=number == 0 and not history.deleted,
            deleted=history.deleted,
            reason=history.reason,
            purged=_time(purge.stamp) if purge else "",
            purge_reason=purge.reason if purge else "",
        )
        for number, (version, purge) in enumerate(
            zip(history.versions, history.purges, strict=True)
        )
    ]


def _time(stamp: int) -> str:
    return datetime.fromtimestamp(stamp // 10**9, UTC).isoformat()


def _print(history: History, lines: list[Line]) -> None:
    gone = f"  deleted with its {history.deleted}" if history.deleted else ""
    if history.deleted == "instance":
        gone = "  deleted"
    typer.echo(f"{history.sop_uid}{gone}{f': {history.reason}' if history.reason else ''}")
    for line in lines:
        state = "current " if line.current else "deleted " if line.deleted else "replaced"
        if line.purged:
            state = "purged  "
        typer.echo(
            f"  {line.version}  {line.time}  {state}  {line.bytes:>12,}  {line.transfer_syntax}  "
            f"{line.source}"
            + (f"  purged {line.purged}: {line.purge_reason}" if line.purged else "")
        )
