"""The tiers of a store: which one has a pack is in the pack's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vna.storage.tier import HotTier, PackReader, Tier
    from vna.types import PackId

__all__ = ["HOT", "TierSet", "tier_of"]

HOT: Final = 0
"""The number of the tier on which objects arrive."""
_SHIFT: Final = 56


def tier_of(pack: PackId) -> int:
    """Return the number of the tier that a pack is on."""
    return pack >> _SHIFT


class TierSet:
    """The hot tier, and those below it by number."""

    def __init__(self, hot: HotTier, lower: Mapping[int, Tier]) -> None:
        self.hot = hot
        self.lower = dict(lower)

    def tier(self, number: int) -> Tier:
        """Return a tier. ConnectionError for one that this process was not told of."""
        if number == HOT:
            return self.hot
        tier = self.lower.get(number)
        if tier is None:
            raise ConnectionError(f"tier {number} is not among the tiers configured")
        return tier

    def open(self, pack: PackId) -> PackReader:
        """Open a pack where it is."""
        return self.tier(tier_of(pack)).open(pack)

    def has(self, pack: PackId) -> bool:
        """Say whether a pack is there; of tiers below the hot one that is taken for granted."""
        return tier_of(pack) != HOT or self.hot.has(pack)

    def reserve(self, node: int, number: int) -> PackId:
        """Return an id for a new pack of tier `number`, never given before on any tier."""
        return number << _SHIFT | self.hot.reserve(node)
