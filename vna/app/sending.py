"""The port by which the workflow sends studies, plugged with our own SCU."""

from __future__ import annotations

import asyncio
import logging
import threading

from vna.archive import Archive
from vna.dimse import DimseSettings, send_objects
from vna.errors import NotFound
from vna.workflow import Send

__all__ = ["sender"]

log = logging.getLogger(__name__)


def sender(archive: Archive, settings: DimseSettings, stop: threading.Event) -> Send:
    """Return what sends a study to a known application entity, and blocks until it is there."""

    def send(study_uid: str, ae_title: str) -> None:
        remote = settings.remote(ae_title)
        if remote is None:
            raise NotFound(f"{ae_title} is no [[remote]] any more")
        objects = archive.objects(study_uid)
        failed = asyncio.run(send_objects(archive, objects, remote, settings, stop))
        log.info(
            "sent study %s to %s: %d of %d instances taken",
            study_uid,
            ae_title,
            len(objects) - failed,
            len(objects),
        )

    return send
