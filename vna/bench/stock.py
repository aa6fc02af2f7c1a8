"""What a bench stores, by number: every study and instance has UIDs and values of fixed lengths.

Nothing is remembered between runs: run, study and instance numbers say what an object is called,
so that a second process, or a second command, finds what a first one stored.
"""

from __future__ import annotations

from datetime import date, timedelta
from hashlib import blake2b

import msgspec

__all__ = ["PLACEHOLDER", "ROOT", "RUNS", "STUDIES", "Stock", "study_values", "values"]

ROOT = "1.2.826.0.1.3680043.10.1559.9"
DAYS = 3_650
RUNS = 100_000_000
"""Numbers of runs: eight digits."""
STUDIES = 1_000_000
"""Studies of a run, and instances of a study, at the most: six digits."""
FIRST_DAY = date(2015, 1, 1)


def study_values(run: int, study: int) -> dict[str, bytes]:
    """Return what is the same in all instances of a study, by field."""
    uid = f"{ROOT}{run:08}.1{study:06}"
    day = FIRST_DAY + timedelta(days=study * 37 % DAYS)
    texts = {
        "study": uid,
        "series": f"{uid}.1",
        "patient": f"B{run:08}{study:06}",
        "name": f"Phantom{study:06}^Bench",
        "accession": f"A{study:06}R{run:08}",
        "date": f"{day:%Y%m%d}",
    }
    return {field: text.encode() for field, text in texts.items()}


def values(run: int, study: int, instance: int) -> dict[str, bytes]:
    """Return what tells an instance from others, by field; `stamp` makes its pixels its own."""
    uid = f"{ROOT}{run:08}.1{study:06}.1.1{instance:06}"
    number = int.from_bytes(blake2b(f"{run}.{study}.{instance}".encode(), digest_size=6).digest())
    # As pixels of 16 bit these stay below 4096, as those around them do.
    seal = b"".join((number >> shift & 0xFFF).to_bytes(2, "little") for shift in (0, 12, 24, 36))
    return {"sop": uid.encode(), "number": f"{instance:06}".encode(), "stamp": seal}


PLACEHOLDER = study_values(99_999_999, 999_999) | values(99_999_999, 999_999, 999_999)
"""The values with which phantoms are made; each place that holds one is overwritten in sending."""


class Stock(msgspec.Struct, frozen=True):
    """Studies that a scenario finds stored: `studies` of `instances` each, of one modality."""

    run: int
    modality: str = "CT"
    studies: int = 4
    instances: int = 100

    def study(self, number: int) -> dict[str, str]:
        """Return the values of a study as text."""
        return {field: value.decode() for field, value in study_values(self.run, number).items()}

    def instance(self, study: int, number: int) -> str:
        """Return a SOP Instance UID."""
        return values(self.run, study, number)["sop"].decode()

    def path(self, study: int, instance: int | None = None) -> str:
        """Return the DICOMweb path of a study or of an instance, below the service's root."""
        found = self.study(study)
        if instance is None:
            return f"/studies/{found['study']}"
        return (
            f"/studies/{found['study']}/series/{found['series']}"
            f"/instances/{self.instance(study, instance)}"
        )
