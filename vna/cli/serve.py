"""`vna serve`: the daemon."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vna import __version__
from vna.app import Listeners, run
from vna.cli.options import ConfigOption, DataOption, JsonOption, configure, print_json
from vna.config import Config

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    *,
    data: DataOption = None,
    ae_title: Annotated[
        str | None, typer.Option("--ae-title", metavar="T", help="The archive's AE title.")
    ] = None,
    dimse_port: Annotated[
        int | None,
        typer.Option("--dimse-port", metavar="N", help="Port for DIMSE; 0 takes a free one."),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option("--http-port", metavar="N", help="Port for HTTP; 0 takes a free one."),
    ] = None,
    bind: Annotated[
        str | None, typer.Option("--bind", metavar="ADDR", help="IP address to listen on.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Processes that serve; 0 is one per processor, up to 4."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the archive until SIGTERM or Ctrl-C, then drain and exit with 0.

    Prints what listens where, once both fronts accept; the log goes to standard error.
    """
    settings = configure(
        config,
        {
            "--data": data,
            "--ae-title": ae_title,
            "--dimse-port": dimse_port,
            "--http-port": http_port,
            "--bind": bind,
            "--workers": workers,
        },
    )

    def announce(listeners: Listeners) -> None:
        report = _report(settings, listeners)
        if as_json:
            print_json(report)
        else:
            typer.echo(_banner(settings, listeners))

    run(settings, announce)


def _host(config: Config) -> str:
    """Return an address at which a client on this machine reaches the archive."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.listen.bind, config.listen.bind)  # noqa: S104


def _url(config: Config, port: int) -> str:
    host = _host(config)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{config.web.prefix}"


def _report(config: Config, listeners: Listeners) -> dict[str, object]:
    return {
        "version": __version__,
        "process": os.getpid(),
        "workers": config.process.worker_count,
        "data": str(config.archive.data.resolve()),
        "bind": config.listen.bind,
        "ae_title": config.dimse.ae_title,
        "dimse_port": listeners.dimse_port,
        "http_port": listeners.http_port,
        "dicomweb": _url(config, listeners.http_port),
    }


def _banner(config: Config, listeners: Listeners) -> str:
    title, host, port = config.dimse.ae_title, _host(config), listeners.dimse_port
    url = _url(config, listeners.http_port)
    return f"""\
vna {__version__} serves {config.archive.data.resolve()} with {config.process.worker_count} workers
  DIMSE     {title} on {config.listen.bind} port {port}
  DICOMweb  {url}
Try:
  storescu -aec {title} {host} {port} FILE.dcm
  findscu -aec {title} -S -k QueryRetrieveLevel=STUDY -k PatientName -k StudyInstanceUID {host} {port}
  curl '{url}/studies'"""
