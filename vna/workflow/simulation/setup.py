"""What a trace meets: tiers with what they cost and how quick they are, and policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from vna.archive import TierSettings
from vna.workflow.following import TieringSettings
from vna.workflow.prefetch import PrefetchingSettings
from vna.workflow.priors import PrefetchRule
from vna.workflow.tiering import PolicySettings

__all__ = ["CODEC_RATIOS", "Setup", "SimulatedTier"]

CODEC_RATIOS: Final[Mapping[str, float]] = {"raw": 1.0, "zstd": 2.0, "fast": 3.0, "strong": 3.1}
"""How many bytes of data sets are one stored byte, about: CT, MR and CR of docs/codecs.md."""


@dataclass(frozen=True, slots=True)
class SimulatedTier:
    """A tier: its settings, and what its kind costs and takes where they say nothing of it.

    A read takes `first_byte_ms`, then its bytes at `bytes_per_s`.
    """

    settings: TierSettings
    cost_per_gb_month: float
    first_byte_ms: float
    bytes_per_s: float

    @classmethod
    def of(cls, settings: TierSettings, *, first: bool) -> Self:
        """Return a tier as its settings have it: SSD if it is the first, else HDD or S3 store."""
        kind = "ssd" if first else settings.kind
        cost, wait, rate = {
            "ssd": (0.10, 0.2, 1000e6),
            "directory": (0.03, 12.0, 150e6),
            "s3": (0.012, 60.0, 80e6),
        }[kind]
        return cls(
            settings,
            settings.cost_per_gb_month or cost,
            settings.first_byte_ms or wait,
            settings.bytes_per_s or rate,
        )

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name

    def stored(self, size: int) -> float:
        """Return the bytes that data sets of so many take on it."""
        return size / CODEC_RATIOS[self.settings.codec]

    def takes_s(self, size: float) -> float:
        """Return how long a read of so many bytes takes."""
        return self.first_byte_ms / 1e3 + size / self.bytes_per_s


@dataclass(frozen=True, slots=True)
class Setup:
    """Tiers from hot to cold, policies, rules of prefetch, and how hard all that is followed.

    `name` is for the report.
    """

    name: str
    tiers: Sequence[SimulatedTier]
    policies: Sequence[PolicySettings] = ()
    tiering: TieringSettings = field(default_factory=TieringSettings)
    cache_bytes: int = 0
    prefetches: Sequence[PrefetchRule] = ()
    prefetching: PrefetchingSettings = field(default_factory=PrefetchingSettings)

    @property
    def moved_a_day(self) -> float:
        """Bytes that may move in a day."""
        hours = (self.tiering.end_hour - self.tiering.begin_hour) % 24 or 24
        return float(self.tiering.rate_bytes_s) * hours * 3600
