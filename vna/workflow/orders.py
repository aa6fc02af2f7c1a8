"""Studies that are expected: the port for worklists, orders (HL7) and the command line.

    Orders(data).leave(Order("A4711", patient_id="P1", modality="CT", body_part="CHEST"))

Any process of the archive may leave one; it is durable on return, and the background process takes it
up within seconds. A later order of the same key replaces one that still waits, a cancelled one takes
it back. Each order is a file of `DATA/prefetch/orders`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from vna.clock import Clock, SystemClock
from vna.dicom.attributes import ISSUER_OF_PATIENT_ID, PATIENT_ID, patient_key
from vna.errors import Unavailable
from vna.folders import make_folder, write_durably
from vna.workflow.anatomy import regions_named, regions_told
from vna.workflow.priors import StudyFacts, folded

__all__ = ["Order", "Orders"]

log = logging.getLogger(__name__)

FOLDER: Final = "prefetch/orders"


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A study of a patient that is expected, or read soon; what is empty is not known.

    `key` names the order in the system that sent it, such as its Accession Number. `scheduled` is in
    ns since 1970, 0 for now. `study_uid` may name a study that is in the archive already.
    """

    key: str = ""
    patient_id: str = ""
    issuer: str = ""
    study_uid: str = ""
    modality: str = ""
    body_part: str = ""
    procedure: str = ""
    station: str = ""
    scheduled: int = 0
    cancelled: bool = False

    @property
    def patient(self) -> str:
        """The patient key of the archive; empty without a Patient ID."""
        if not self.patient_id.strip():
            return ""
        return patient_key({PATIENT_ID: [self.patient_id], ISSUER_OF_PATIENT_ID: [self.issuer]})

    def facts(self, now: int) -> StudyFacts:
        """Return what rules look at; the time of an order that is not scheduled is `now`."""
        named = regions_named([self.body_part])
        return StudyFacts(
            study_uid=self.study_uid,
            made=self.scheduled or now,
            modalities=_known(self.modality),
            body_parts=named or regions_told([self.procedure]),
            procedures=_known(folded(self.procedure)),
            stations=_known(self.station),
        )


class Orders:
    """The orders of an archive that wait. Safe beside other processes."""

    def __init__(self, data: Path, clock: Clock | None = None) -> None:
        self._folder = data / FOLDER
        self._clock = clock or SystemClock()
        self._forgotten: set[str] = set()
        """What could not be removed when it was done."""

    def leave(self, order: Order) -> None:
        """Have priors for an order made hot in its time; durable on return.

        Waits for the disk: call it off the event loop. Raises Unavailable.
        """
        name = f"{self._clock.stamp():016x}-{self._clock.token(4).hex()}.json"
        try:
            make_folder(self._folder)
            write_durably(self._folder / name, msgspec.json.encode(order))
        except OSError as error:
            raise Unavailable(f"an order cannot be kept: {error}") from error

    def due(self, now: int, ahead: int) -> Iterator[tuple[str, Order]]:
        """Yield the orders that are scheduled before `now` and `ahead` ns, the oldest first, and a name.

        Those that another one has replaced or cancelled are removed.
        """
        waiting: dict[str, tuple[str, Order]] = {}
        for path in self._listed():
            if path.name in self._forgotten:
                self.done(path.name)
                continue
            order = self._read(path)
            if order is None:
                continue
            key = order.key or path.name
            if key in waiting:
                self.done(waiting.pop(key)[0])
            if order.cancelled:
                self.done(path.name)
            else:
                waiting[key] = path.name, order
        yield from (each for each in waiting.values() if each[1].scheduled <= now + ahead)

    def done(self, name: str) -> None:
        """Forget an order. One that cannot be removed now is when `due` comes upon it again."""
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            if name not in self._forgotten:
                log.warning("order %s is done, and cannot be removed yet: %s", name, error)
            self._forgotten.add(name)
        else:
            self._forgotten.discard(name)

    def _listed(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.json"))
        except OSError as error:
            log.warning("orders cannot be listed: %s", error)
            return []

    def _read(self, path: Path) -> Order | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Order)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s cannot be read now: %s", path, error)
            return None
        except msgspec.MsgspecError as error:
            log.warning("%s is no order, and is removed: %s", path, error)
            self.done(path.name)
            return None


def _known(text: str) -> frozenset[str]:
    return frozenset(filter(None, [text.strip()]))
