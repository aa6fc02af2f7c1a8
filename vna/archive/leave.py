"""Which tiers let go of a blob once another has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["leaving"]


def leaving(holding: Iterable[int], to: int, copies: Mapping[int, int]) -> set[int]:
    """Return the tiers that let go of a blob when tier `to` has it, of those above that hold it.

    Numbers grow from hot to cold. A tier lets go when as many tiers below it keep the blob as
    `copies` says of it; one where it says nothing.
    """
    held = set(holding)
    keep = {tier for tier in held if tier > to} | {to}
    gone = set()
    for tier in sorted((tier for tier in held if tier < to), reverse=True):
        if len(keep) >= copies.get(tier, 1):
            gone.add(tier)
        else:
            keep.add(tier)
    return gone
