"""The versions of one instance, folded from its stores; pure, and the same for every order.

A *history* lists contents, newest first by the stamp of their newest store or restore. A content's version is
that of its oldest store, so bytes that come again are not stored again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from vna.types import Version

__all__ = ["Held", "History", "Merge", "content", "content_id", "history_of", "merge", "same_data"]


class Held(NamedTuple):
    """A content of an instance: its first version, and the stamp of its newest store or restore."""

    stamp: int
    version: Version

    @property
    def order(self) -> tuple[int, bytes, str, bytes]:
        """Sorts contents by age; equal stamps by digest."""
        return self.stamp, *content(self.version)


History = tuple[Held, ...]


class Merge(NamedTuple):
    """What a store makes of a history.

    `repeated`: its bytes were there. `seen`: this store, or an older and a newer one of the same
    bytes, were there. `newest`: it says where the instance is and what its attributes are.
    `before` is what was held of its content, `after` what is.
    """

    history: History
    repeated: bool
    seen: bool
    newest: bool
    before: Held | None
    after: Held


def content(version: Version) -> tuple[bytes, str, bytes]:
    """Return what makes two stores of an instance the same bytes, what precedes a data set included.

    A data set that comes again in another wrapping is committed only where the first is damaged.
    It must then not be taken for those bytes: its header is intact.
    """
    return version.digest, version.transfer_syntax, version.header


def content_id(version: Version) -> bytes:
    """Return a short name of a version's content, within its instance."""
    digest, transfer_syntax, header = content(version)
    return blake2b(digest + header + transfer_syntax.encode(), digest_size=16).digest()


def same_data(one: Version, other: Version) -> bool:
    """Return whether two stores are of the same data set; what precedes it does not count."""
    return content(one)[:2] == content(other)[:2]


def history_of(version: Version, older: list[Version], stamps: list[int]) -> History:
    """Return the history that an instance or tombstone keeps."""
    return tuple(map(Held, stamps, [version, *older]))


def merge(history: History, version: Version, stamp: int) -> Merge:
    """Return `history` with the store of `version` in it, or with its restore at `stamp`."""
    if not history:
        held = Held(stamp, version)
        return Merge((held,), repeated=False, seen=False, newest=True, before=None, after=held)
    same = next((held for held in history if content(held.version) == content(version)), None)
    if same is None:
        held = Held(stamp, version)
    elif version.stamp < same.version.stamp:
        held = Held(max(stamp, same.stamp), version)
    else:
        held = Held(max(stamp, same.stamp), same.version)
    others = [other for other in history if other is not same]
    merged = tuple(sorted([held, *others], key=lambda h: h.order, reverse=True))
    return Merge(
        history=merged,
        repeated=same is not None,
        seen=same is not None and same.version.stamp <= version.stamp and stamp <= same.stamp,
        newest=merged[0] is held and held.stamp == stamp,
        before=same,
        after=held,
    )
